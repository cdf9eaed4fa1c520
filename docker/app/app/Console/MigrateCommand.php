<?php

namespace App\Console;

use Illuminate\Contracts\Cache\LockProvider;
use Illuminate\Database\Console\Migrations\MigrateCommand as FrameworkCommand;
use Symfony\Component\Console\Input\InputInterface;
use Symfony\Component\Console\Input\InputOption;
use Symfony\Component\Console\Output\OutputInterface;

/**
 * `migrate --isolated[=CODE]` as Laravel 9.38 and later have it: one at a time by a lock in the default cache store.
 * Where another process holds the lock it does nothing and exits CODE, or 0 without one.
 */
class MigrateCommand extends FrameworkCommand
{
    public const LOCK = 'framework/command-migrate';

    protected function configure(): void
    {
        parent::configure();
        $this->addOption('isolated', null, InputOption::VALUE_OPTIONAL, 'Do not run while another process migrates', false);
    }

    protected function execute(InputInterface $input, OutputInterface $output): int
    {
        $isolated = $this->option('isolated');
        $store = $this->laravel['cache']->store()->getStore();
        if ($isolated === false || ! $store instanceof LockProvider) {
            return (int) parent::execute($input, $output);
        }

        $lock = $store->lock(self::LOCK, 3600);
        if (! $lock->get()) {
            $this->comment('The [migrate] command is already running.');

            return is_numeric($isolated) ? (int) $isolated : self::SUCCESS;
        }
        try {
            return (int) parent::execute($input, $output);
        } finally {
            $lock->release();
        }
    }
}
