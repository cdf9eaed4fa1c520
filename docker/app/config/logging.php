<?php

return [
    'default' => env('LOG_CHANNEL', 'stderr'),
    'deprecations' => 'null',
    'channels' => [
        'stderr' => [
            'driver' => 'monolog',
            'handler' => Monolog\Handler\StreamHandler::class,
            'with' => ['stream' => 'php://stderr'],
        ],
        'single' => ['driver' => 'single', 'path' => storage_path('logs/laravel.log')],
        'null' => ['driver' => 'monolog', 'handler' => Monolog\Handler\NullHandler::class],
        'emergency' => ['path' => 'php://stderr'],
    ],
];
