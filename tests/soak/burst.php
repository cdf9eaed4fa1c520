<?php
// Takes `mb` megabytes, each page of them touched, for `ms` milliseconds.

$bytes = str_repeat('x', (int) $_GET['mb'] << 20);
usleep((int) $_GET['ms'] * 1000);
echo 'burst of ', strlen($bytes) >> 20;
