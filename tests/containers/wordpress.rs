//! WordPress on MariaDB behind nginx: code on a read-only mount, secrets from S3 with the task's role, wp-cron by init.

use super::NEEDS;
use super::pod::{Layout, PATIENCE, Pod, SOMEBODY, docker_says, images};
use super::support::{eventually, need, repository};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PASSWORD: &str = "of-the-database";

/// What MariaDB runs before it listens, a statement a line.
const DATABASE: &str = "CREATE DATABASE wordpress;
CREATE USER wp@'%' IDENTIFIED BY 'of-the-database';
GRANT ALL ON wordpress.* TO wp@'%';
";

/// Tells a visitor whether the cron event ran. The event is scheduled by each request until it has run, as plugins do it:
/// WordPress keeps all events in one option, and whoever writes it while wp-cron.php runs may lose what others added.
const PLUGIN: &str = r"<?php
add_action('init', function () {
    if (!get_option('php_init_ran') && !wp_next_scheduled('php_init_event')) {
        wp_schedule_single_event(time() - 1, 'php_init_event');
    }
});
add_action('php_init_event', fn () => update_option('php_init_ran', 'as ' . posix_geteuid() . ' by ' . PHP_SAPI));
add_action('send_headers', fn () => header('X-Event: ' . get_option('php_init_ran', 'not yet')));
";

const INSTALL: &str = r"
define('WP_INSTALLING', true);
require 'wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
wp_install('A blog under init', 'admin', 'admin@example.com', true, '', 'password');
update_option('siteurl', 'https://localhost');
update_option('home', 'https://localhost');
";

/// As an editor and a plugin do it: a file among the uploads, and a try at the code.
const USE: &str = r"
require 'wp-load.php';
$up = wp_upload_bits('note.txt', null, 'an upload');
file_put_contents(wp_upload_dir()['path'] . '/shell.php', '<?php echo 1;');
$code = @file_put_contents(ABSPATH . 'index.php', '');
echo json_encode(['url' => $up['url'], 'code' => $code]);
";

/// What PHP-FPM's opcache holds of the blog, a script a line.
const LOOK: &str =
    "<?php foreach (opcache_get_status(true)['scripts'] as $path => $_) { echo $path, \"\\n\"; }";

/// An event that one run of wp-cron.php loses is run by the second after it.
const TWO_TURNS: Duration = Duration::from_secs(120);

struct Blog {
    pod: Pod,
    image: String,
    options: Vec<String>,
}

impl Blog {
    fn start(layout: Layout, user: Option<u32>) -> Self {
        let [parts, wordpress, nginx] = images(layout, ["parts", "wordpress", "nginx-wordpress"]);
        let mut pod = Pod::new(&parts, user);
        let code = Self::code(&pod, &parts);
        let uploads = pod.directory.path().join("uploads");
        let cache = pod.directory.path().join("cache");
        for directory in [&uploads, &cache] {
            fs::create_dir(directory).unwrap();
            // www-data's, where init is root.
            let owner = user.unwrap_or(33);
            std::os::unix::fs::chown(directory, Some(owner), Some(owner)).unwrap();
        }
        Self::database(&mut pod, &parts);
        Self::secrets(&mut pod);

        let mounts = [
            format!("--volume={}:/var/www/html:ro", code.display()),
            format!("--volume={}:/var/www/html/wp-content/uploads", uploads.display()),
        ];
        let state = pod.directory.path().join("nginx-state");
        fs::create_dir(&state).unwrap();
        pod.hand_over(&state, 0o755);
        let state = format!("--volume={}:/opt/php", state.display());
        let volumes = &["/tmp", "/var/cache/nginx", "/var/lib/amazon", "/var/log/amazon"];
        pod.start("nginx", volumes, &[&mounts[0], &mounts[1], &state], &[&nginx]);

        let mut options = mounts.to_vec();
        // Docker asks each ten seconds otherwise.
        options.push("--health-interval=1s".into());
        options.push(format!("--volume={}:/var/www/html/wp-content/cache", cache.display()));
        for variable in [
            "CONFIG_BUCKET=blog",
            "AWS_REGION=eu-west-1",
            "AWS_ENDPOINT_URL_S3=http://127.0.0.1:9090",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/blog",
        ] {
            options.push(format!("--env={variable}"));
        }
        let mut blog = Self { pod, image: wordpress, options };
        let (code, said) = blog.once(INSTALL);
        assert_eq!(code, 0, "{said}");
        let image = blog.image.clone();
        blog.run(|pod, options, volumes| pod.start("php", volumes, options, &[&image]));
        blog
    }

    fn run<T>(&mut self, what: impl FnOnce(&mut Pod, &[&str], &[&str]) -> T) -> T {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        what(&mut self.pod, &options, &["/opt/php", "/tmp", "/var/lib/amazon", "/var/log/amazon"])
    }

    /// A one-off task of the image.
    fn once(&mut self, php: &str) -> (i32, String) {
        let image = self.image.clone();
        self.run(|pod, options, volumes| {
            pod.complete("once", volumes, options, &[&image, "--", "php", "-r", php])
        })
    }

    /// What another machine puts on the shared file system.
    fn code(pod: &Pod, parts: &str) -> PathBuf {
        let code = pod.directory.path().join("code");
        let copier = docker_says(&["create", parts]);
        docker_says(&["cp", &format!("{copier}:/opt/wordpress"), code.to_str().unwrap()]);
        docker_says(&["rm", &copier]);
        for directory in ["wp-content/uploads", "wp-content/cache", "wp-content/mu-plugins"] {
            let _ = fs::remove_dir_all(code.join(directory));
            fs::create_dir_all(code.join(directory)).unwrap();
        }
        fs::copy(repository("docker/wordpress/wp-config.php"), code.join("wp-config.php")).unwrap();
        fs::write(code.join("wp-content/mu-plugins/event.php"), PLUGIN).unwrap();
        code
    }

    fn database(pod: &mut Pod, parts: &str) {
        let sql = pod.file("database.sql", DATABASE, 0o444);
        let sql = format!("--volume={}:/database.sql:ro", sql.display());
        let script = "[ \"$(id -u)\" != 0 ] || root=--user=root; \
            mariadb-install-db --no-defaults $root --datadir=/tmp/db >/dev/null \
            && exec mariadbd --no-defaults $root --datadir=/tmp/db --socket=/tmp/db.sock --pid-file=/tmp/db.pid \
               --bind-address=127.0.0.1 --skip-name-resolve --innodb-flush-log-at-trx-commit=0 \
               --init-file=/database.sql";
        pod.start("db", &[], &["--tmpfs=/tmp", &sql, "--entrypoint=sh"], &[parts, "-c", script]);
        eventually("MariaDB listens", PATIENCE, || {
            let table = pod.inside("ss").args(["-Hltn", "sport", "=", ":3306"]).output().unwrap();
            (!table.stdout.is_empty()).then_some(())
        });
    }

    /// S3 on the pod's loopback, which hands out the file to the task's role alone.
    fn secrets(pod: &mut Pod) {
        let bucket = pod.directory.path().join("s3/blog/production");
        fs::create_dir_all(&bucket).unwrap();
        let mut text = format!(
            "<?php\ndefine('DB_NAME', 'wordpress');\ndefine('DB_USER', 'wp');\ndefine('DB_PASSWORD', '{PASSWORD}');\n\
             define('DB_HOST', '127.0.0.1');\n"
        );
        for key in ["AUTH", "SECURE_AUTH", "LOGGED_IN", "NONCE"] {
            text +=
                &format!("define('{key}_KEY', 'key of {key}');\ndefine('{key}_SALT', 'salt of {key}');\n");
        }
        fs::write(bucket.join("wp-secrets.php"), text).unwrap();
        let added =
            pod.inside("ip").args(["address", "add", "169.254.170.2/32", "dev", "lo"]).status().unwrap();
        assert!(added.success());
        // Beside the binary under test, which `INIT_BINARY` may have moved elsewhere.
        let server = Path::new(env!("CARGO_BIN_EXE_init")).with_file_name("examples").join("s3-server");
        assert!(server.is_file(), "{} is not built: cargo build --example s3-server", server.display());
        let mut command = pod.inside(server.to_str().unwrap());
        command.arg("--root").arg(pod.directory.path().join("s3"));
        command.args(["--s3", "127.0.0.1:9090", "--credentials", "169.254.170.2:80"]);
        command.env("OWNER_KEY", "AKIAOWNER").env("OWNER_SECRET", "of the owner");
        pod.serve(command);
        eventually("the S3 server listens", PATIENCE, || {
            let table = pod.inside("ss").args(["-Hltn", "sport", "=", ":9090"]).output().unwrap();
            (!table.stdout.is_empty()).then_some(())
        });
    }

    /// The code is in PHP-FPM's opcache once the container counts as ready, and before anybody has asked for a page.
    fn is_warm(&self) {
        let look = self.pod.directory.path().join("uploads/look.php");
        fs::write(&look, LOOK).unwrap();
        self.pod.until_healthy("php");
        let cached = self.pod.script("/var/www/html/wp-content/uploads/look.php");
        let cached: Vec<&str> = cached
            .lines()
            .filter(|path| path.starts_with("/var/www/html/") && !path.ends_with("/look.php"))
            .collect();
        fs::remove_file(look).unwrap();
        for script in
            ["wp-load.php", "wp-settings.php", "wp-includes/class-wp-query.php", "wp-admin/admin.php"]
        {
            assert!(cached.contains(&format!("/var/www/html/{script}").as_str()), "{script}: {cached:?}");
        }
        let log = self.pod.logs("php");
        let told = format!("php-fpm: opcache warm-up: {} files compiled", cached.len());
        let (before, _) =
            log.split_once("php-fpm: ready after").unwrap_or_else(|| panic!("not ready: {log}"));
        assert!(before.contains(&told), "no {told:?}: {log}");
    }

    fn lives(&mut self, uid: u32) {
        self.is_warm();
        let page = self.pod.until("/", "the blog's page", |page| page.contains("A blog under init"));
        assert!(page.contains("Hello world!"), "{page}");
        assert_eq!(self.pod.get("/wp-login.php").0, 200);
        assert_eq!(self.pod.get("/wp-includes/css/dashicons.min.css").0, 200);
        for path in ["/wp-cron.php", "/xmlrpc.php", "/wp-config.php", "/.htaccess"] {
            assert_eq!(self.pod.get(path).0, 404, "{path}");
        }

        let (code, said) = self.once(USE);
        assert_eq!(code, 0, "{said}");
        let told = said.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{said}"));
        let told: serde_json::Value = serde_json::from_str(told).unwrap();
        assert_eq!(told["code"], false, "the code can be written");
        let url = told["url"].as_str().unwrap().strip_prefix("https://localhost").unwrap().to_owned();
        assert_eq!(self.pod.get(&url), (200, "an upload".into()));
        let script = url.replace("note.txt", "shell.php");
        assert_eq!(self.pod.get(&script).0, 404, "an uploaded script is run");

        // Nobody asks for wp-cron.php; init runs it, each minute.
        let ran = eventually("the cron event ran", TWO_TURNS + PATIENCE, || {
            let (_, headers) = self.pod.request("/", &["--head"])?;
            headers
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("x-event: as ").map(str::to_owned))
        });
        assert_eq!(ran.trim(), format!("{uid} by cli"));

        assert_eq!(self.pod.kill("php"), 137);
        self.pod.again("php");
        self.pod.until("/", "the page after a kill", |page| page.contains("A blog under init"));
        assert_eq!(self.pod.stop("nginx"), 0);
        assert_eq!(self.pod.stop("php"), 0);
    }
}

#[test]
fn wordpress_on_mariadb_as_root() {
    if need(NEEDS) && need(&["s3"]) {
        Blog::start(Layout::Since2026, None).lives(33);
    }
}

#[test]
fn wordpress_on_mariadb_as_somebody() {
    if need(NEEDS) && need(&["s3"]) {
        Blog::start(Layout::Before2026, Some(SOMEBODY)).lives(SOMEBODY);
    }
}
