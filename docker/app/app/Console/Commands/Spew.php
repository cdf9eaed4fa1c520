<?php

namespace App\Console\Commands;

use Illuminate\Console\Command;

class Spew extends Command
{
    protected $signature = 'demo:spew {--bytes=100000 : Length of a line} {--lines=100} {--letter=x}
        {--reopen : Write to /proc/self/fd/2 opened anew, as PHP-FPM does}';
    protected $description = 'Write long lines, each of one letter';

    public function handle(): int
    {
        $line = str_repeat($this->option('letter'), (int) $this->option('bytes')) . "\n";
        $out = fopen($this->option('reopen') ? '/proc/self/fd/2' : 'php://stdout', 'a');
        if ($out === false) {
            return 1;
        }
        for ($i = 0; $i < (int) $this->option('lines'); $i++) {
            fwrite($out, $line);
        }

        return 0;
    }
}
