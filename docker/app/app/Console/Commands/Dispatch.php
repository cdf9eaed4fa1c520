<?php

namespace App\Console\Commands;

use App\Jobs\Work;
use Illuminate\Console\Command;

class Dispatch extends Command
{
    protected $signature = 'demo:dispatch {name} {--seconds=0} {--end=ok : ok, fail, exit or kill} {--count=1}';
    protected $description = 'Put jobs on the queue';

    public function handle(): int
    {
        for ($i = 0; $i < (int) $this->option('count'); $i++) {
            Work::dispatch($this->argument('name'), (float) $this->option('seconds'), $this->option('end'));
        }

        return 0;
    }
}
