<?php

namespace App\Console\Commands;

use Illuminate\Console\Command;

class Ends extends Command
{
    protected $signature = 'demo:exit {code} {--after=0 : Seconds} {--signal= : Die by this signal instead}';
    protected $description = 'Exit with a code: a service that crashes';

    public function handle(): int
    {
        usleep((int) ($this->option('after') * 1e6));
        if ($this->option('signal')) {
            posix_kill(getmypid(), (int) $this->option('signal'));
        }

        return (int) $this->argument('code');
    }
}
