<?php
// encrypt.php FORM CIPHER KEY: encrypts standard input as `artisan env:encrypt --key=KEY --cipher=CIPHER` does.
//
// FORM is laravel (the framework's own Encrypter), whole or readable (the same with PHP's OpenSSL: Debian's framework knows
// neither GCM nor --readable).

[, $form, $cipher, $key] = $argv;
$raw = str_starts_with($key, 'base64:') ? base64_decode(substr($key, 7)) : $key;
$plain = stream_get_contents(STDIN);

if ($form === 'laravel') {
    require 'Illuminate/autoload.php';
    echo (new Illuminate\Encryption\Encrypter($raw, strtoupper($cipher)))->encrypt($plain);
    exit;
}

$seal = function (string $text) use ($cipher, $raw): string {
    $iv = random_bytes(openssl_cipher_iv_length($cipher));
    $gcm = str_ends_with($cipher, 'gcm');
    $tag = '';
    $value = $gcm
        ? openssl_encrypt($text, $cipher, $raw, 0, $iv, $tag)
        : openssl_encrypt($text, $cipher, $raw, 0, $iv);
    $iv = base64_encode($iv);
    $mac = $gcm ? '' : hash_hmac('sha256', $iv . $value, $raw);
    return base64_encode(json_encode(['iv' => $iv, 'value' => $value, 'mac' => $mac, 'tag' => base64_encode($tag)]));
};

if ($form === 'whole') {
    echo $seal(serialize($plain));
} else {
    foreach (array_filter(explode("\n", $plain)) as $line) {
        [$name, $value] = explode('=', $line, 2);
        echo "$name={$seal($value)}\n";
    }
}
