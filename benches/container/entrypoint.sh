#!/bin/bash
aws s3 cp --quiet --endpoint-url "$AWS_ENDPOINT_URL_S3" "s3://$CONFIG_BUCKET/$APP_ENV/.env" /opt/php/.env || exit 1
chown www-data /opt/php/.env
mkdir -p /var/www/html/storage/framework/{cache/data,sessions,views} /var/www/html/storage/{app,logs}
chown -R www-data /var/www/html/storage
cd /var/www/html || exit 1

su -s /bin/sh www-data -c "php artisan optimize"

if [ -n "$RUN_MIGRATIONS" ]; then
    su -s /bin/sh www-data -c "php artisan migrate --no-interaction --force --isolated"
else
    /usr/bin/supervisord -c /etc/supervisord.conf
fi
