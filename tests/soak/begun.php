<?php
// auto_prepend_file: tells the client which worker has its request, before anything else is done.

if (isset($_SERVER['SOAK'])) {
    while (ob_get_level() > 0) {
        ob_end_flush();
    }
    echo 'begun ', getmypid(), "\n";
    flush();
}
