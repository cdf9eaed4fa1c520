<?php

namespace App\Providers;

use App\Console\MigrateCommand;
use App\Console\OptimizeCommand;
use App\Sqlite;
use Illuminate\Contracts\Console\Isolatable;
use Illuminate\Database\Connectors\SQLiteConnector;
use Illuminate\Support\ServiceProvider;

class AppServiceProvider extends ServiceProvider
{
    public function register(): void
    {
        // Laravel wants the SQLite file to exist; in an empty volume it does not.
        $this->app->bind('db.connector.sqlite', fn () => new class extends SQLiteConnector {
            public function connect(array $config)
            {
                touch($config['database']);

                return parent::connect($config);
            }

            protected function createPdoConnection($dsn, $username, $password, $options)
            {
                return new Sqlite($dsn, null, null, $options);
            }
        });

        // `migrate --isolated` came with Laravel 9.
        if (! interface_exists(Isolatable::class)) {
            $this->app->extend('command.migrate', fn ($command, $app) => new MigrateCommand($app['migrator'], $app['events']));
        }
        if (config('demo.optimize')) {
            $this->app->extend('command.optimize', fn () => new OptimizeCommand());
        }
    }
}
