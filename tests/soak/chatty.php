<?php
// Lines that can be checked: "chatty RUN N LENGTH PAYLOAD", N from 1, PAYLOAD one letter LENGTH times.
//
// /tmp/chatty.RUN holds the N of the last line that was written whole. At TERM the last one is "chatty RUN end N".

$stop = false;
pcntl_async_signals(true);
pcntl_signal(SIGTERM, function () use (&$stop) { $stop = true; });

$run = getmypid() . '-' . hrtime(true);
$count = fopen("/tmp/chatty.$run", 'w');

// A signal may come in the middle of a write.
$write = function (string $bytes): void {
    while ($bytes !== '') {
        $bytes = substr($bytes, (int) @fwrite(STDOUT, $bytes));
    }
};

for ($n = 1; !$stop; $n++) {
    // Now and then longer than a pipe's buffer, and in two pieces with time between them.
    $length = $n % 500 === 0 ? 100000 : ($n * 37) % 300;
    $line = "chatty $run $n $length " . str_repeat(chr(97 + $n % 26), $length) . "\n";
    $half = $n % 10 === 0 ? intdiv(strlen($line), 2) : strlen($line);
    $write(substr($line, 0, $half));
    if ($half < strlen($line)) {
        usleep(1000);
        $write(substr($line, $half));
    }
    fseek($count, 0);
    fwrite($count, sprintf('%012d', $n));
    usleep(10000);
}
$write("chatty $run end " . ($n - 1) . "\n");
