<?php
// Compiles PHP files into the opcache of the PHP-FPM that runs this, without executing them. init asks for it over
// FastCGI, with a JSON object as the body; the answer is a JSON object.
//
// It lies outside of the document root, so no web server maps a request to it; whoever can speak FastCGI to the pool
// needs no script of ours to run code.

$job = json_decode(file_get_contents('php://input'), true);
$end = microtime(true) + $job['seconds'];
$result = ['opcache' => false, 'compiled' => 0, 'cached' => 0, 'failed' => 0, 'left' => 0, 'full' => false, 'names' => [], 'fatal' => null];
$current = null;

// Some faults of a file end the request. The answer then names it, and init asks again without it.
register_shutdown_function(function () use (&$result, &$current) {
    $result['fatal'] = $current;
    echo json_encode($result, JSON_INVALID_UTF8_SUBSTITUTE);
});
ini_set('display_errors', '0');
ini_set('log_errors', '0');
set_time_limit((int) ceil($job['seconds']) + 5);

$status = function_exists('opcache_get_status') ? @opcache_get_status(false) : false;
if (!$status || empty($status['opcache_enabled'])) {
    return;
}
$result['opcache'] = true;
$skip = array_flip($job['skip']);
$exclude = array_flip($job['exclude']);

$wanted = function (SplFileInfo $file) use ($exclude) {
    if (isset($exclude[$file->getPathname()])) {
        return false;
    }
    return $file->isDir() ? !str_starts_with($file->getFilename(), '.') : $file->getExtension() === 'php';
};
foreach ($job['paths'] as $path) {
    if (is_file($path)) {
        $files = [new SplFileInfo($path)];
    } elseif (is_dir($path)) {
        // A directory that may not be read is left out, as the application would fail on it too.
        $all = new RecursiveDirectoryIterator($path, FilesystemIterator::SKIP_DOTS | FilesystemIterator::CURRENT_AS_FILEINFO);
        $files = new RecursiveIteratorIterator(
            new RecursiveCallbackFilterIterator($all, $wanted),
            RecursiveIteratorIterator::LEAVES_ONLY,
            RecursiveIteratorIterator::CATCH_GET_CHILD
        );
    } else {
        $result['failed']++;
        $result['names'][] = $path;
        continue;
    }
    foreach ($files as $file) {
        $name = $file->getPathname();
        if (crc32($name) % $job['parts'] !== $job['part'] || isset($skip[$name])) {
            continue;
        }
        if (microtime(true) > $end) {
            $result['left']++;
            continue;
        }
        if (opcache_is_script_cached($name)) {
            $result['cached']++;
            continue;
        }
        $current = $name;
        try {
            // A file younger than opcache.file_update_protection is compiled and not kept, and that is called a success.
            $good = @opcache_compile_file($name) && opcache_is_script_cached($name);
        } catch (Throwable) {
            $good = false;
        }
        $current = null;
        if ($good) {
            $result['compiled']++;
        } else {
            $result['failed']++;
            if (count($result['names']) < 5) {
                $result['names'][] = $name;
            }
        }
    }
}
$result['full'] = (bool) (@opcache_get_status(false)['cache_full'] ?? false);
