<?php

namespace App\Console\Commands;

use App\Console\MigrateCommand;
use Illuminate\Console\Command;

class HoldLock extends Command
{
    protected $signature = 'demo:hold-lock {--seconds=5} {--until= : let go once this file is there}';
    protected $description = 'Hold the lock of `migrate --isolated`, as a migration in another task would';

    public function handle(): int
    {
        $lock = $this->laravel['cache']->store()->getStore()->lock(MigrateCommand::LOCK, 3600);
        if (! $lock->get()) {
            $this->line('locked already');

            return 1;
        }
        $this->line('locked');
        $end = microtime(true) + $this->option('seconds');
        while (microtime(true) < $end && ! ($this->option('until') && file_exists($this->option('until')))) {
            usleep(20000);
            clearstatcache();
        }
        $lock->release();

        return 0;
    }
}
