<?php
/**
 * wp-config.php for containers whose code is read-only: everything secret comes from the file that init fetched.
 *
 * That file, wp-secrets.php, defines DB_NAME, DB_USER, DB_PASSWORD, DB_HOST and WordPress's eight keys and salts.
 */
require '/opt/php/wp-secrets.php';

defined('DB_CHARSET') || define('DB_CHARSET', 'utf8mb4');
defined('DB_COLLATE') || define('DB_COLLATE', '');
$table_prefix = 'wp_';

// init runs wp-cron.php each minute, whether there are visitors or not, and none of them waits for it.
define('DISABLE_WP_CRON', true);

// Code comes by deployment: nothing here may change it, and nobody is asked to.
define('DISALLOW_FILE_MODS', true);
define('AUTOMATIC_UPDATER_DISABLED', true);

// TLS ends at the load balancer, and again at the nginx of the task.
define('FORCE_SSL_ADMIN', true);
if (($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '') === 'https') {
    $_SERVER['HTTPS'] = 'on';
}

// To the container's log, through PHP-FPM's stderr; never into a page or a file beside the code.
define('WP_DEBUG', false);
define('WP_DEBUG_DISPLAY', false);

defined('ABSPATH') || define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
