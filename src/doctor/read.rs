//! The answers of PHP, PHP-FPM and the kernel as facts. Pure: text in, facts out.

use super::facts::{FpmConf, Ini, LaravelConfig, Pool};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Stands before the one line of JSON, whatever else a script of the image prints.
pub const MARK: char = '\u{1e}';

/// The settings that are looked at.
pub const SETTINGS: &[&str] = &[
    "memory_limit",
    "display_errors",
    "expose_php",
    "opcache.enable",
    "opcache.validate_timestamps",
    "opcache.memory_consumption",
    "opcache.max_accelerated_files",
    "opcache.jit",
    "opcache.jit_buffer_size",
    "opcache.preload",
    "opcache.preload_user",
];

/// What `php -r` runs to tell of itself.
pub fn ini_script() -> String {
    let names = SETTINGS.join("','");
    format!(
        "$v=[];foreach(['{names}'] as $n){{$x=ini_get($n);if($x!==false)$v[$n]=(string)$x;}}\
         echo \"\\n\\x1e\",json_encode(['version'=>PHP_VERSION,'file'=>php_ini_loaded_file()?:null,\
         'extensions'=>array_map('strtolower',get_loaded_extensions()),'values'=>(object)$v]),\"\\n\";"
    )
}

/// What `php -r` runs in the application's directory. Two of Laravel's own bootstrappers and no more: no provider is
/// registered, no manifest is written, no database is asked.
pub const LARAVEL_SCRIPT: &str = r#"error_reporting(0);
foreach (['vendor/autoload.php', 'bootstrap/autoload.php'] as $f) { if (is_file($f)) { require $f; break; } }
$a = require 'bootstrap/app.php';
$b = 'Illuminate\\Foundation\\Bootstrap\\';
$a->bootstrapWith([$b.'LoadEnvironmentVariables', $b.'LoadConfiguration']);
$c = $a['config'];
$s = function ($k) use ($c) { $v = $c->get($k); return is_scalar($v) ? (string) $v : ''; };
$q = [];
foreach ((array) $c->get('queue.connections') as $n => $x) {
    $r = isset($x['retry_after']) && is_numeric($x['retry_after']) ? max(0, (int) $x['retry_after']) : null;
    $q[$n] = ['driver' => (string) ($x['driver'] ?? ''), 'retry_after' => $r];
}
$l = [];
$w = [$s('logging.default')];
while ($w && count($l) < 16) {
    $d = (array) $c->get('logging.channels.'.array_shift($w));
    $l[] = (string) ($d['driver'] ?? '');
    foreach (is_array($d['channels'] ?? null) ? $d['channels'] : explode(',', (string) ($d['channels'] ?? '')) as $n) {
        if (is_string($n) && $n !== '') $w[] = $n;
    }
}
$store = $s('cache.default');
echo "\n\x1e", json_encode([
    'version' => (string) $a->version(), 'env' => $s('app.env'), 'debug' => (bool) $c->get('app.debug'),
    'key' => $s('app.key') !== '', 'cached' => (bool) $a->configurationIsCached(), 'env_file' => (string) $a->environmentFilePath(),
    'cache_store' => $store, 'cache_driver' => $s("cache.stores.$store.driver"),
    'session_driver' => $s('session.driver'), 'queue' => $s('queue.default'), 'connections' => (object) $q,
    'log_drivers' => $l, 'database_driver' => $s('database.connections.'.$s('database.default').'.driver'),
    'redis_client' => $s('database.redis.client'),
]), "\n";
"#;

/// The JSON of [`ini_script`].
pub fn ini(output: &str) -> Option<Ini> {
    serde_json::from_str(marked(output)?).ok()
}

/// The JSON of [`LARAVEL_SCRIPT`].
pub fn laravel(output: &str) -> Option<LaravelConfig> {
    serde_json::from_str(marked(output)?).ok()
}

fn marked(output: &str) -> Option<&str> {
    output.rsplit_once(MARK)?.1.lines().next()
}

/// `php-fpm -i`: `name => local => master`, with the name of each extension on a line of its own. What comes after
/// `Environment` is not read: it has values.
pub fn fpm_info(output: &str) -> Ini {
    let mut found = Ini::default();
    for line in output.lines().map(str::trim).take_while(|line| *line != "Environment") {
        let Some((name, rest)) = line.split_once(" => ") else {
            if !line.is_empty() && line.len() <= 40 {
                found.extensions.insert(line.to_ascii_lowercase());
            }
            continue;
        };
        let value = rest.split(" => ").next().unwrap_or_default();
        match name {
            "PHP Version" if found.version.is_empty() => value.clone_into(&mut found.version),
            "Loaded Configuration File" => found.file = (value != "(none)").then(|| value.to_owned()),
            name if SETTINGS.contains(&name) => {
                let value = if value == "no value" { "" } else { value };
                found.values.insert(name.to_owned(), value.to_owned());
            }
            _ => {}
        }
    }
    found
}

/// `php-fpm -tt`: what it makes of its configuration, or its own words about why it makes nothing of it.
pub fn fpm_test(output: &str) -> Result<FpmConf, String> {
    let mut found = FpmConf::default();
    let mut errors: Vec<String> = Vec::new();
    let mut section: Option<String> = None;
    let mut successful = false;
    for line in output.lines() {
        // `[22-Nov-2026 02:46:42] NOTICE: …`, each line perhaps twice: on stderr and in the log, which is stderr.
        let Some((head, text)) = line.split_once(": ").filter(|(head, _)| head.starts_with('[')) else {
            continue;
        };
        let text = text.trim();
        if head.ends_with("ERROR") || head.ends_with("ALERT") {
            errors.push(without_value(text));
        } else if text.ends_with("test is successful") {
            successful = true;
        } else if text.contains("directive is ignored when FPM is not running as root") {
            found.user_ignored = true;
        } else if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = Some(name.to_owned());
            if name != "global" && !found.pools.iter().any(|pool| pool.name == name) {
                found.pools.push(Pool { name: name.to_owned(), ..Pool::default() });
            }
        } else if let (Some(section), Some((key, value))) =
            (&section, text.split_once(" = ").or_else(|| empty(text)))
        {
            directive(&mut found, section, key.trim(), value.trim());
        }
    }
    errors.dedup();
    match (successful, errors.first()) {
        (true, _) => Ok(found),
        (false, Some(first)) => Err(first.clone()),
        (false, None) => Err("it did not say why".to_owned()),
    }
}

fn empty(text: &str) -> Option<(&str, &str)> {
    text.strip_suffix(" =").map(|key| (key, ""))
}

fn directive(found: &mut FpmConf, section: &str, key: &str, value: &str) {
    let value = if value == "undefined" { "" } else { value };
    if section == "global" {
        found.global.insert(key.to_owned(), value.to_owned());
        return;
    }
    let Some(pool) = found.pools.iter_mut().find(|pool| pool.name == section) else { return };
    let inside = |prefix: &str| key.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(']'));
    if let Some(name) = inside("env[") {
        pool.env.insert(name.to_owned(), value.strip_prefix('$').map(str::to_owned));
    } else if let Some(name) = ["php_value[", "php_flag["].into_iter().find_map(inside) {
        pool.ini.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    } else if let Some(name) = ["php_admin_value[", "php_admin_flag["].into_iter().find_map(inside) {
        pool.ini.insert(name.to_owned(), value.to_owned());
    } else {
        pool.values.insert(key.to_owned(), value.to_owned());
    }
}

/// PHP-FPM repeats a value that it refuses in quotes, or after an equals sign: it may be a secret of `env[…]`.
fn without_value(text: &str) -> String {
    let text: String = text.chars().take(300).collect();
    match text.find("env[") {
        Some(at) => format!("{}env[…]", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// One mount of /proc/self/mountinfo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    pub point: String,
    pub file_system: String,
    pub options: BTreeSet<String>,
}

/// The mounts of /proc/self/mountinfo: `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`, proc(5).
pub fn mounts(text: &str) -> Vec<Mount> {
    let of_line = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(4);
        let point = unescape(before.next()?);
        let own = before.next()?;
        let mut after = after.split(' ');
        let file_system = after.next()?.to_owned();
        let of_super = after.nth(1).unwrap_or_default();
        let mut options: BTreeSet<String> = own.split(',').map(str::to_owned).collect();
        // Read-only may also be the whole file system's.
        options.extend(of_super.split(',').filter(|option| *option == "ro").map(str::to_owned));
        Some(Mount { point, file_system, options })
    };
    text.lines().filter_map(of_line).collect()
}

/// The mount that `path` is on: the last of the longest, since a later mount covers an earlier one.
pub fn mount_of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts.iter().filter(|mount| path.starts_with(&mount.point)).max_by_key(|mount| mount.point.len())
}

/// `\040` and its like.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// The soft limits of /proc/self/limits by name; what is unlimited is not among them.
pub fn limits(text: &str) -> BTreeMap<String, u64> {
    let of_line = |line: &str| {
        let (name, rest) = line.split_at_checked(26)?;
        Some((name.trim().to_owned(), rest.split_whitespace().next()?.parse().ok()?))
    };
    text.lines().filter_map(of_line).collect()
}

/// A hexadecimal mask of /proc/PID/status, such as `CapEff`.
pub fn mask(status: &str, name: &str) -> Option<u64> {
    let text = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    u64::from_str_radix(text.trim(), 16).ok()
}

/// `MemTotal` of /proc/meminfo, in bytes.
pub fn memory_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// There is a line that is no comment, no variable and not blank.
pub fn has_cron_entry(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        line.starts_with(|char: char| char.is_ascii_digit() || matches!(char, '*' | '@'))
            // What the distribution brings, which no container needs.
            && !["run-parts", "e2scrub", "sessionclean"].iter().any(|word| line.contains(word))
    })
}

/// `name` stands in PHP code outside comments that begin a line.
pub fn calls(code: &str, name: &str) -> bool {
    code.lines().map(str::trim_start).any(|line| !line.starts_with(['#', '*', '/']) && line.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_found_behind_whatever_else_is_printed() {
        let text = "Deprecated: x\n\u{1e}{\"version\":\"8.3.1\",\"file\":null,\"extensions\":[\"pcntl\"],\"values\":{\"memory_limit\":\"128M\"}}\nbye\n";
        let found = ini(text).unwrap();
        assert!(found.has("pcntl") && found.file.is_none() && found.get("memory_limit") == "128M");
        assert!(ini("{}").is_none() && laravel("\u{1e}nonsense").is_none());
        let found = laravel("\u{1e}{\"queue\":\"redis\",\"connections\":{\"redis\":{\"driver\":\"redis\",\"retry_after\":90}}}").unwrap();
        assert_eq!(found.connections.get("redis").unwrap().retry_after, Some(90));
    }

    #[test]
    fn the_page_of_phpinfo_is_read_up_to_its_values() {
        let text = "phpinfo()\nPHP Version => 8.2.36\nLoaded Configuration File => (none)\nmemory_limit => 128M => 64M\n\nZend OPcache\n\nopcache.preload => no value => no value\nEnvironment\n\nSECRET => x\n";
        let found = fpm_info(text);
        assert_eq!(
            (found.version.as_str(), found.file.as_deref(), found.get("memory_limit")),
            ("8.2.36", None, "128M")
        );
        assert!(found.has("zend opcache") && found.get("opcache.preload").is_empty());
        assert!(!found.has("secret"));
    }

    #[test]
    fn a_test_of_the_configuration_is_read() {
        let text = "[d] NOTICE: 'user' directive is ignored when FPM is not running as root\n[d] NOTICE: [global]\n[d] NOTICE: \tprocess_control_timeout = 0s\n\
                    [d] NOTICE: [www]\n[d] NOTICE: \tping.path = undefined\n[d] NOTICE: \tclear_env = yes\n[d] NOTICE: \tenv[A] = $B\n[d] NOTICE: \tenv[KEY] = s3cret\n\
                    [d] NOTICE: \tphp_admin_value[memory_limit] = 64M\n[d] NOTICE: configuration file x test is successful\n";
        let found = fpm_test(&format!("{text}{text}")).unwrap();
        let [pool] = found.pools.as_slice() else { panic!("{found:?}") };
        assert_eq!(found.global.get("process_control_timeout").map(String::as_str), Some("0s"));
        assert!(found.user_ignored && pool.get("ping.path").is_empty() && pool.is_on("clear_env"));
        assert_eq!(pool.env.get("A").unwrap().as_deref(), Some("B"));
        assert_eq!(pool.ini.get("memory_limit").map(String::as_str), Some("64M"));
        assert!(!format!("{found:?}").contains("s3cret"));
    }

    #[test]
    fn a_refused_configuration_gives_the_first_reason_without_values() {
        let why = fpm_test(
            "[d] ERROR: [/x.conf:3] unknown entry 'pinng.path'\n[d] ERROR: FPM initialization failed\n",
        );
        assert_eq!(why.unwrap_err(), "[/x.conf:3] unknown entry 'pinng.path'");
        let why = fpm_test("[d] ERROR: unable to parse env[KEY] = s3cret\n").unwrap_err();
        assert!(!why.contains("s3cret"), "{why}");
        assert!(fpm_test("").is_err());
    }

    #[test]
    fn the_longest_mount_wins() {
        let found = mounts(
            "1 0 0:1 / / ro,relatime - overlay overlay rw\n2 1 0:2 / /opt/my\\040php rw,noexec shared:1 - nfs4 fs:/ rw,vers=4\n3 1 0:3 / /data rw - ext4 /dev/x ro\n",
        );
        let at = |path: &str| mount_of(&found, Path::new(path)).unwrap();
        assert_eq!(at("/opt/my php/x").file_system, "nfs4");
        assert!(at("/opt/my php").options.contains("noexec") && at("/data").options.contains("ro"));
        assert_eq!((at("/opt").point.as_str(), at("/opt").file_system.as_str()), ("/", "overlay"));
    }

    #[test]
    fn the_kernels_files_are_read() {
        let found = limits(
            "Limit                     Soft Limit           Hard Limit           Units     \nMax processes             96365                96365                processes \nMax cpu time              unlimited            unlimited            seconds   \n",
        );
        assert_eq!(found.get("Max processes"), Some(&96365));
        assert_eq!(found.get("Max cpu time"), None);
        assert_eq!(mask("Name:\tx\nCapEff:\t00000000a80425fb\n", "CapEff"), Some(0xa804_25fb));
        assert_eq!(memory_total("MemTotal:        2048 kB\n"), Some(2 << 20));
        assert!(
            has_cron_entry("# x\nMAILTO=a\n*/5 * * * * root x\n")
                && !has_cron_entry("# * *\nSHELL=/bin/sh\n")
        );
        assert!(calls("  $app->useEnvironmentPath(x);", "useEnvironmentPath"));
        assert!(!calls("// $app->useEnvironmentPath(x);", "useEnvironmentPath"));
    }
}
