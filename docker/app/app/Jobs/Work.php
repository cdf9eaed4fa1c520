<?php

namespace App\Jobs;

use App\Events;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/** A job that takes `seconds` and then ends as asked: `ok`, `fail` (throws), `exit` (exit 3) or `kill` (its worker dies). */
class Work implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    private string $name;
    private float $seconds;
    private string $end;

    public function __construct(string $name, float $seconds, string $end = 'ok')
    {
        $this->name = $name;
        $this->seconds = $seconds;
        $this->end = $end;
    }

    public function handle(): void
    {
        Events::add('job-started', $this->name);
        $end = microtime(true) + $this->seconds;
        while (microtime(true) < $end) {
            usleep(20000);
        }
        switch ($this->end) {
            case 'fail':
                throw new \RuntimeException("the job {$this->name} fails, as asked");
            case 'exit':
                exit(3);
            case 'kill':
                posix_kill(getmypid(), SIGKILL);
        }
        Events::add('job-done', $this->name);
    }
}
