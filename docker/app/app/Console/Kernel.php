<?php

namespace App\Console;

use Illuminate\Console\Scheduling\Schedule;
use Illuminate\Foundation\Console\Kernel as ConsoleKernel;

class Kernel extends ConsoleKernel
{
    protected $commands = [
        Commands\Tick::class,
        Commands\Dispatch::class,
        Commands\Ends::class,
        Commands\Hang::class,
        Commands\Orphan::class,
        Commands\HoldLock::class,
        Commands\Spew::class,
    ];

    protected function schedule(Schedule $schedule): void
    {
        $schedule->command('demo:tick')->everyMinute();
        // Laravel starts this one in a subshell and forgets it: an orphan for as long as it takes.
        $schedule->command('demo:tick', ['--background', '--seconds=' . config('demo.background_seconds')])
            ->everyMinute()->runInBackground();
    }
}
