<?php

namespace App\Console\Commands;

use Illuminate\Console\Command;

class Hang extends Command
{
    protected $signature = 'demo:hang {--deaf : Ignore TERM, QUIT, INT and HUP}';
    protected $description = 'Never end: a service that must be killed';

    public function handle(): int
    {
        if ($this->option('deaf')) {
            foreach ([SIGTERM, SIGQUIT, SIGINT, SIGHUP] as $signal) {
                pcntl_signal($signal, SIG_IGN);
            }
        }
        $this->line('hanging ' . getmypid());
        while (true) {
            usleep(100000);
        }
    }
}
