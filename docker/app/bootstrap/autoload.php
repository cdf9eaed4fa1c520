<?php

// Debian packages the framework as /usr/share/php/Illuminate, with an autoloader of its own: no Composer, no vendor/.
// Laravel 8 was written before PHP 8.2, which calls a few of its habits deprecated while its files are loaded.
error_reporting(E_ALL & ~E_DEPRECATED);

spl_autoload_register(static function (string $class): void {
    if (strncmp($class, 'App\\', 4) === 0) {
        $file = dirname(__DIR__) . '/app/' . strtr(substr($class, 4), '\\', '/') . '.php';
        if (is_file($file)) {
            require $file;
        }
    }
});

require_once 'Illuminate/autoload.php';
