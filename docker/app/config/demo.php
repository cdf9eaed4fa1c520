<?php

return [
    // Shown by / and /status: tells which .env was read.
    'greeting' => env('DEMO_GREETING', 'no .env was read'),

    // How `artisan optimize` goes wrong: fail (prints FAIL, exits 0), nothing (says success, caches nothing),
    // throw (an exception), hang. Empty: it works.
    'optimize' => env('DEMO_OPTIMIZE'),

    // What `throw` stumbles over: a closure cannot be cached.
    'unserializable' => env('DEMO_OPTIMIZE') === 'throw' ? static fn () => null : null,

    'migrate_seconds' => (float) env('DEMO_MIGRATE_SECONDS', 0),
    'background_seconds' => (float) env('DEMO_BACKGROUND_SECONDS', 1),
];
