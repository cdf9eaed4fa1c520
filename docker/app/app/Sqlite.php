<?php

namespace App;

use PDO;

/**
 * Transactions that take the lock for writing when they begin, as Laravel 11 has it with `transaction_mode`.
 *
 * Else SQLite refuses the second of two workers that read a job and then write to it, at once and whatever the timeout.
 */
class Sqlite extends PDO
{
    private bool $within = false;

    public function beginTransaction(): bool
    {
        return $this->within = $this->exec('BEGIN IMMEDIATE') !== false;
    }

    public function commit(): bool
    {
        return ! $this->within = $this->exec('COMMIT') === false;
    }

    public function rollBack(): bool
    {
        return ! $this->within = $this->exec('ROLLBACK') === false;
    }

    public function inTransaction(): bool
    {
        return $this->within;
    }
}
