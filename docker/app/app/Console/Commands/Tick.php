<?php

namespace App\Console\Commands;

use App\Events;
use Illuminate\Console\Command;

class Tick extends Command
{
    protected $signature = 'demo:tick {--background} {--seconds=0}';
    protected $description = 'What the schedule runs every minute';

    public function handle(): int
    {
        // Before the sleep, so that its time is that of the start.
        Events::add($this->option('background') ? 'background-tick' : 'tick');
        usleep((int) ($this->option('seconds') * 1e6));

        return 0;
    }
}
