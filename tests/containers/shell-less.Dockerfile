# A root file system without a shell, coreutils or a package manager: PHP, the libraries it loads, and init.
ARG PHP_IMAGE
ARG INIT_IMAGE
# hadolint ignore=DL3006
FROM ${INIT_IMAGE} AS init

# hadolint ignore=DL3006
FROM ${PHP_IMAGE} AS php
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN root=/shell-less; \
    fpm=$(realpath /usr/local/sbin/php-fpm); \
    extensions=$(php -r 'echo ini_get("extension_dir");'); \
    mkdir -p "$root"/{usr/local/sbin,usr/bin,opt/php,tmp,etc,var/www/html}; \
    { echo "$fpm"; find "$extensions" -name '*.so'; \
        ldd "$fpm" "$extensions"/*.so | awk '$2 == "=>" { print $3 } $1 ~ "^/.*ld-linux" && NF == 2 { print $1 }'; } \
        | sort -u | xargs cp --parents --dereference --target-directory "$root"; \
    ln -s "$fpm" "$root/usr/local/sbin/php-fpm"; \
    cp -r --parents /usr/local/etc "$root"; \
    cp -r --parents /etc/php "$root"; \
    cp /etc/passwd /etc/group "$root/etc/"; \
    echo '<?php echo "no shell: ", var_export(file_exists("/bin/sh"), true), ", uid ", posix_geteuid();' \
        >"$root/var/www/html/index.php"; \
    cp -P --parents /usr/etc "$root"; \
    chmod 1777 "$root/tmp" "$root/opt/php"

FROM scratch
COPY --from=php /shell-less/ /
COPY --from=init /init /usr/bin/init
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /var/www/html
VOLUME ["/opt/php", "/tmp"]
ENTRYPOINT ["/usr/bin/init"]
