<?php

$app = new Illuminate\Foundation\Application(dirname(__DIR__));

// Where init puts .env: the image's own file system is read-only. An empty path means the application's directory.
$app->useEnvironmentPath(getenv('APP_ENV_PATH') ?: '');

// Newer Laravel reads this variable by itself.
if ($storage = getenv('LARAVEL_STORAGE_PATH')) {
    $app->useStoragePath($storage);
}

$app->singleton(Illuminate\Contracts\Http\Kernel::class, App\Http\Kernel::class);
$app->singleton(Illuminate\Contracts\Console\Kernel::class, App\Console\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, App\Exceptions\Handler::class);

return $app;
