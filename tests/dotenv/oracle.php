<?php
// Reads cases from stdin, one JSON object a line: {"text": hex, "file": bool, "real": {name: value}}.
// Answers one JSON object a line with what phpdotenv makes of it. One process for all cases.
// argv[1] (optional): an autoloader of another phpdotenv than the system's.
error_reporting(E_ALL & ~E_DEPRECATED);
require $argv[1] ?? '/usr/share/php/Dotenv/autoload.php';

use Dotenv\Loader\Loader;
use Dotenv\Parser\Parser;
use Dotenv\Repository\Adapter\ArrayAdapter;
use Dotenv\Repository\RepositoryBuilder;
use Dotenv\Store\FileStore;

/** As the array adapter, but starts with what the environment has. */
function adapter(array $real)
{
    $adapter = ArrayAdapter::create()->get();
    foreach ($real as $name => $value) {
        $adapter->write((string) $name, $value);
    }
    return $adapter;
}

/** @return array{error: ?string, entries?: list<array>, values?: array<string, string>} */
function read(string $text, bool $file, array $real, string $path): array
{
    try {
        if ($file) {
            file_put_contents($path, $text);
            $text = (new FileStore([$path], true))->read();
        }
        $entries = (new Parser())->parse($text);
    } catch (Dotenv\Exception\InvalidFileException $e) {
        preg_match('/Encountered (.*?) at \[/s', $e->getMessage(), $m);
        return ['error' => $m[1] ?? 'unknown'];
    }
    $repository = RepositoryBuilder::createWithNoAdapters()->addAdapter(adapter($real))->immutable()->make();
    (new Loader())->load($repository, $entries);
    $raw = [];
    $values = [];
    foreach ($entries as $entry) {
        $name = $entry->getName();
        $chars = $entry->getValue()->map(fn ($value) => bin2hex($value->getChars()))->getOrElse(null);
        $raw[] = [bin2hex($name), $chars];
        $value = $repository->get($name);
        if ($value !== null && !isset($real[$name])) {
            $values[bin2hex($name)] = bin2hex($value);
        }
    }
    return ['error' => null, 'entries' => $raw, 'values' => (object) $values];
}

$path = tempnam(sys_get_temp_dir(), 'dotenv');
$unicode = true;
try {
    (new Parser())->parse("\u{c9}=1");
} catch (Dotenv\Exception\InvalidFileException $e) {
    $unicode = false;
}
echo json_encode(['dialect' => $unicode ? 'V5_6' : 'V5_4']), "\n";
while (($line = fgets(STDIN)) !== false) {
    $case = json_decode($line, true, 8, JSON_THROW_ON_ERROR);
    echo json_encode(read(hex2bin($case['text']), $case['file'], $case['real'], $path), JSON_THROW_ON_ERROR), "\n";
}
unlink($path);
