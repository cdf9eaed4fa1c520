<?php

namespace App\Console;

use Illuminate\Foundation\Console\OptimizeCommand as FrameworkCommand;

/** `optimize` that goes wrong as DEMO_OPTIMIZE says, in the ways in which newer Laravel's does (see config/demo.php). */
class OptimizeCommand extends FrameworkCommand
{
    public function handle()
    {
        switch (config('demo.optimize')) {
            case 'fail':
                // Laravel 9 and later print one line a task, swallow its code and exit 0.
                $this->newLine();
                $this->line('   <bg=blue;fg=white> INFO </> Caching framework bootstrap, configuration, and metadata.  ');
                $this->newLine();
                foreach (['config' => 'FAIL', 'events' => 'DONE', 'routes' => 'DONE', 'views' => 'DONE'] as $task => $end) {
                    $colour = $end === 'FAIL' ? 'red' : 'green';
                    $dots = str_repeat('.', 70 - strlen($task));
                    $this->line("  $task <fg=gray>$dots</> <fg=gray>12.34ms</> <fg=$colour;options=bold>$end</>");
                }

                return 0;
            case 'nothing':
                $this->info('Files cached successfully!');

                return 0;
            case 'hang':
                while (true) {
                    usleep(20000);
                }
            default:
                return parent::handle();
        }
    }
}
