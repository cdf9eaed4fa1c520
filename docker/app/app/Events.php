<?php

namespace App;

use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Log;

/** What happened, in order: a table that the status page and the tests read, and a log line each. */
class Events
{
    public static function add(string $kind, string $note = ''): void
    {
        DB::table('events')->insert([
            'kind' => $kind,
            'note' => $note,
            'pid' => getmypid(),
            'at' => sprintf('%.3F', microtime(true)),
        ]);
        Log::info(trim("$kind $note"));
    }

    public static function count(string $kind): int
    {
        return DB::table('events')->where('kind', $kind)->count();
    }

    /** When events of this kind happened: seconds of the epoch, oldest first, at most the last hundred. */
    public static function times(string $kind): array
    {
        return DB::table('events')->where('kind', $kind)->orderByDesc('id')->limit(100)
            ->pluck('at')->map(fn ($at) => (float) $at)->reverse()->values()->all();
    }
}
