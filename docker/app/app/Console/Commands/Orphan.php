<?php

namespace App\Console\Commands;

use Illuminate\Console\Command;

class Orphan extends Command
{
    protected $signature = 'demo:orphan {--seconds=2} {--session : In a session of its own}';
    protected $description = 'Leave a process behind, print its pid, and exit 0';

    public function handle(): int
    {
        $pid = pcntl_fork();
        if ($pid > 0) {
            $this->line("orphan $pid");

            return 0;
        }
        if ($this->option('session')) {
            posix_setsid();
        }
        pcntl_exec('/bin/sleep', [$this->option('seconds')]);

        return 1;
    }
}
