//! The configuration as it is written: one struct per table, one field per key.
//!
//! The doc comments are the user's reference: `config/reference.toml` and `config/schema.json` are generated from
//! them by a test, which also proves each `default` named here. Every key is optional to serde, since layers are
//! partial; what is required is checked in [`super::resolve()`].

mod decrypt;
mod observe;
mod probe;
mod service;
mod warm_up;

pub use decrypt::Decrypt;
pub use observe::{Ecs, Health};
pub use probe::{Live, Ready};
pub use service::{Backoff, Cron, Fpm, GiveUp, Service};
pub use warm_up::WarmUp;

use super::plan::{FileFormat, LogFormat, LogLevel, OnStall, Verify};
use super::values::{At, Command, Dur, Maybe, Mode, Named, OnChange, Plain, Size, Word};
use serde::Deserialize;

/// The most that `instances` may be.
pub const MAX_INSTANCES: u16 = 1000;
/// The most that `parallel` of a warm-up may be.
pub const MOST_PARALLEL: u16 = 64;

/// Configuration of init, the PID 1 of a PHP container.
///
/// It is layered over a preset: tables are merged key by key, `[service.NAME]`, `[cron.NAME]`, `[[boot]]` and
/// `[[file]]` by their names, anything else is replaced. In a list, `"..."` stands for the elements of the preset's list.
///
/// Every string takes `${VAR}`, `${VAR:-default}`, `${VAR:+text}`, `${VAR:?message}` and `$$` for a `$`; numbers and
/// switches may be given as such strings too. `${state-dir}`, `${work-dir}` and `${dotenv-dir}` (the directory of the
/// fetched dotenv file, if there is one) stand for those paths. What consists of references alone and expands to
/// nothing counts as not written, in lists too.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// What is under this file: `laravel`, `wordpress`, `php`, `nginx` or `none`. Chosen by the directory when it is not
    /// given: `artisan` means laravel, `wp-config.php` or `wp-load.php` wordpress, anything else php.
    #[cfg_attr(test, schemars(extend("examples" = ["none"])))]
    pub preset: Option<At<String>>,
    /// The one directory that init itself writes: fetched files and what it adds to PHP-FPM's configuration. As root, init
    /// makes it root's when it boots, entered by the application's group; where it cannot, or where another user may
    /// write a directory above it, the boot ends with 73.
    #[cfg_attr(test, schemars(extend("default" = "/opt/php")))]
    pub state_dir: Option<At<String>>,
    /// Where processes run, and what relative paths are relative to. Not given, it is the current directory or
    /// `/var/www/html`, whichever holds an application; where neither does, the current directory unless that is `/`.
    #[cfg_attr(test, schemars(extend("examples" = ["/var/www/html"])))]
    pub work_dir: Option<At<String>>,
    /// Who runs everything that does not say otherwise: a name, `name:group` or numeric ids. Not given, it is the
    /// user that init runs as. Ignored, with one notice, when init is not root.
    #[cfg_attr(test, schemars(extend("examples" = ["www-data"])))]
    pub user: Option<At<Plain>>,
    /// The whole stop, from the signal to init's own exit. Keep it below the platform's: ECS kills after 30 s
    /// unless the task definition's `stopTimeout` says otherwise.
    #[cfg_attr(test, schemars(extend("default" = "25s")))]
    pub stop_timeout: Option<At<Dur>>,
    /// Variables of every process, over the container's own environment.
    #[cfg_attr(test, schemars(extend("examples" = [{"APP_ENV_PATH": "/opt/php"}])))]
    pub env: Option<Named<Plain>>,
    /// init's own secrets (AWS keys, decryption keys) that processes get all the same. `*` at the end matches the
    /// rest of a name.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["AWS_ACCESS_KEY_ID", "AWS_SECRET_*"]])))]
    pub pass_env: Option<Vec<At<String>>>,
    /// Paths that the application must be able to write. Probed at boot by writing, all problems told at once.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["/tmp", "storage", "bootstrap/cache"]])))]
    pub writable: Option<Vec<At<String>>>,
    /// Directories that are made, with the application's user as owner, where they are missing.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["storage/framework/views", "storage/logs"]])))]
    pub directories: Option<Vec<At<String>>>,
    /// Crontab files that run as they are, each as the user of its name.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["/etc/crontabs/www-data"]])))]
    pub crontabs: Option<Vec<At<String>>>,
    /// How lines are written to the container's stdout and stderr.
    pub log: Option<Log>,
    /// How init is asked and steered while it runs: `init status`, `init health` and their like.
    pub control: Option<Control>,
    /// Health and metrics over HTTP.
    pub health: Option<Health>,
    /// What init does where it runs as a task of ECS.
    pub ecs: Option<Ecs>,
    /// Files to fetch before anything of the application runs, in order. An entry of the preset is met by its
    /// `name` or its `path`.
    pub file: Option<Vec<At<File>>>,
    /// Commands to run before the services, in order. An entry of the preset is met by its `name`.
    pub boot: Option<Vec<At<Boot>>>,
    /// What `init reload`, SIGHUP and `refresh` make anew, beside what files and boot steps say.
    pub reload: Option<Reload>,
    /// What `init --migrate` runs.
    pub migrate: Option<At<Migrate>>,
    /// Programs that are kept running. The name is what log lines call it.
    pub service: Option<Named<Service>>,
    /// Programs that run on a schedule.
    pub cron: Option<Named<Cron>>,
}

/// How lines are written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Log {
    /// What a line of a process looks like.
    #[cfg_attr(test, schemars(extend("default" = "plain")))]
    pub format: Option<Word<LogFormat>>,
    /// The least severe of init's own lines that is written.
    #[cfg_attr(test, schemars(extend("default" = "info")))]
    pub level: Option<Word<LogLevel>>,
    /// What happens to a process that writes while the container's output is not read.
    #[cfg_attr(test, schemars(extend("default" = "block")))]
    pub on_stall: Option<Word<OnStall>>,
    /// The longest line that is kept whole, 1KiB to 16MiB. The default fits an event of CloudWatch (256 KiB) even
    /// when JSON is wrapped around it.
    #[cfg_attr(test, schemars(extend("default" = "128KiB")))]
    pub max_line: Option<At<Size>>,
}

/// How init is asked and steered while it runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Control {
    /// The unix socket that init answers on, for root and the user that init runs as; relative to `state-dir`. `"none"`: there
    /// is none, and nothing but signals steers this init.
    #[cfg_attr(test, schemars(extend("default" = "init.sock")))]
    pub socket: Option<At<Maybe<String>>>,
    /// How much of what was written last is kept in memory for `init logs` and `init events`, of all services together, up
    /// to 16MiB. A service that writes much takes nothing from one that writes little. 0 keeps nothing.
    #[cfg_attr(test, schemars(extend("default" = "64KiB")))]
    pub log_tail: Option<At<Size>>,
}

/// A file to fetch.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct File {
    /// What it is called in messages, and the name by which a preset's entry is met.
    #[cfg_attr(test, schemars(extend("examples" = ["env"])))]
    pub name: Option<At<String>>,
    /// `false` leaves the entry out.
    #[cfg_attr(test, schemars(extend("default" = true)))]
    pub enabled: Option<bool>,
    /// `s3://bucket/key[?versionId=…]`, `arn:aws:s3:::bucket/key`, `file:///path` or an absolute path; or
    /// `self-signed:NAME,…`, a certificate and its key made here, in one file. An entry whose source expands to
    /// nothing is left out.
    #[cfg_attr(test, schemars(extend("examples" = ["s3://example-config/production/.env"])))]
    pub source: Option<At<String>>,
    /// Where it is put; relative to `state-dir`.
    #[cfg_attr(test, schemars(extend("examples" = ["/opt/php/.env"])))]
    pub path: Option<At<String>>,
    /// What it is checked as, before it is put there.
    #[cfg_attr(test, schemars(extend("default" = "raw", "examples" = ["dotenv"])))]
    pub format: Option<Word<FileFormat>>,
    /// Its permission bits, in octal. A dotenv file may give nothing to others.
    #[cfg_attr(test, schemars(extend("default" = "0440")))]
    pub mode: Option<At<Mode>>,
    /// Its owner: a name, `name:group` or numeric ids. Not given, it is root and the group of the top-level `user`, who may
    /// read it and not change it; with a mode that lets no group read, it is that user. Without root it is init's own.
    #[cfg_attr(test, schemars(extend("examples" = ["root:www-data"])))]
    pub owner: Option<Plain>,
    /// `false`: a missing or forbidden source is told and survived. An invalid file never is.
    #[cfg_attr(test, schemars(extend("default" = true)))]
    pub required: Option<bool>,
    /// For the whole fetch, all attempts included.
    #[cfg_attr(test, schemars(extend("default" = "20s")))]
    pub timeout: Option<At<Dur>>,
    /// The largest size that is accepted.
    #[cfg_attr(test, schemars(extend("default" = "1MiB")))]
    pub max_size: Option<At<Size>>,
    /// Keys that a dotenv file must define, and not as empty.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["APP_KEY", "DB_HOST"]])))]
    pub require_keys: Option<Vec<At<String>>>,
    /// For a private key in a PEM file: the `name` (or `path`) of the file with its certificate. A file without a key, or
    /// with the key of another certificate, is refused; neither is looked at or replaced without the other.
    #[cfg_attr(test, schemars(extend("examples" = ["certificate"], "x-live" = false)))]
    pub certificate: Option<At<String>>,
    /// How it is decrypted; `"none"`: it is not encrypted.
    pub decrypt: Option<At<Maybe<Decrypt>>>,
    /// Another S3 endpoint than AWS's own. Not given: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`.
    #[cfg_attr(test, schemars(extend("examples" = ["https://minio.internal:9000"])))]
    pub endpoint: Option<At<String>>,
    /// The bucket's region. Not given: `AWS_REGION`, `AWS_DEFAULT_REGION`, then what ECS or EC2 tells.
    #[cfg_attr(test, schemars(extend("examples" = ["eu-central-1"])))]
    pub region: Option<String>,
    /// `true`: `endpoint/bucket/key` instead of `bucket.endpoint/key`. Not given, that is done for every endpoint
    /// that is not AWS's own, and for buckets with dots in their names.
    #[cfg_attr(test, schemars(extend("examples" = [true])))]
    pub path_style: Option<bool>,
    /// How often the source is looked at for a change, give or take a tenth; S3 is asked by ETag. Not given, or
    /// `"none"`: only `init reload` looks.
    #[cfg_attr(test, schemars(extend("default" = "none", "examples" = ["5m"])))]
    pub refresh: Option<At<Maybe<Dur>>>,
    /// What a change leads to that `refresh` finds: `"reload"` of everything; `"none"`, which only puts the file into its
    /// place; or a signal to a service after that, such as `{ signal = "HUP", service = "nginx" }` for certificates.
    #[cfg_attr(test, schemars(extend("default" = "reload")))]
    pub on_change: Option<OnChange>,
}

/// What a reload makes anew.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reload {
    /// Variables that name what boot steps write and processes read, such as Laravel's caches. Each reload makes a new
    /// directory in `state-dir` and sets these variables to paths in it, for the boot steps and from then on for every
    /// process, so that running processes keep the earlier ones. A directory ends in `/`. The first boot sets none of them.
    #[cfg_attr(test, schemars(extend(
        "default" = {}, "examples" = [{"APP_CONFIG_CACHE": "config.php", "VIEW_COMPILED_PATH": "views/"}]
    )))]
    pub caches: Option<Named<At<String>>>,
}

/// A command to run before the services.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Boot {
    /// What it is called in messages, and the name by which a preset's entry is met.
    #[cfg_attr(test, schemars(extend("examples" = ["optimize"])))]
    pub name: Option<At<String>>,
    /// `false` leaves the entry out.
    #[cfg_attr(test, schemars(extend("default" = true)))]
    pub enabled: Option<bool>,
    /// The program and its arguments. Its failure ends the container with its exit code.
    #[cfg_attr(test, schemars(extend("examples" = [["php", "artisan", "optimize"]])))]
    pub command: Option<At<Command>>,
    /// Who runs it. Not given, it is the top-level `user`.
    #[cfg_attr(test, schemars(extend("examples" = ["www-data"])))]
    pub user: Option<At<Plain>>,
    /// Where it runs. Not given, it is the top-level `work-dir`.
    #[cfg_attr(test, schemars(extend("examples" = ["/var/www/html"])))]
    pub work_dir: Option<At<String>>,
    /// Variables over those of the top level.
    #[cfg_attr(test, schemars(extend("examples" = [{"LOG_CHANNEL": "stderr"}])))]
    pub env: Option<Named<Plain>>,
    /// After which it is stopped and the boot fails with 124.
    #[cfg_attr(test, schemars(extend("default" = "60s")))]
    pub timeout: Option<At<Dur>>,
    /// What is checked once it said success.
    #[cfg_attr(test, schemars(extend("examples" = ["laravel-optimize"])))]
    pub verify: Option<Maybe<Word<Verify>>>,
    /// File mode creation mask, in octal. The default keeps the configuration cache, which holds every secret, from
    /// others.
    #[cfg_attr(test, schemars(extend("default" = "0027")))]
    pub umask: Option<Mode>,
}

/// What `init --migrate` runs, after files and boot steps.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Migrate {
    /// `false`: there is no migration, and `init --migrate` is an error.
    #[cfg_attr(test, schemars(extend("default" = true)))]
    pub enabled: Option<bool>,
    /// The program and its arguments.
    #[cfg_attr(test, schemars(extend(
        "examples" = [["php", "artisan", "migrate", "--no-interaction", "--force", "--isolated=75"]]
    )))]
    pub command: Option<At<Command>>,
    /// Who runs it. Not given, it is the top-level `user`.
    #[cfg_attr(test, schemars(extend("examples" = ["www-data"])))]
    pub user: Option<At<Plain>>,
    /// Variables over those of the top level.
    #[cfg_attr(test, schemars(extend("examples" = [{"DB_USERNAME": "migrator"}])))]
    pub env: Option<Named<Plain>>,
    /// How long to wait for another migration to end. After it: exit code 75.
    #[cfg_attr(test, schemars(extend("default" = "10m")))]
    pub lock_timeout: Option<At<Dur>>,
    /// The exit code of the command that means "another process is migrating". Not given, it is the number in the
    /// command's `--isolated=N`, or 75.
    #[cfg_attr(test, schemars(extend("default" = 75)))]
    pub lock_code: Option<At<u8>>,
    /// How long the migration may take; not given, or `"none"`: for ever.
    #[cfg_attr(test, schemars(extend("default" = "none", "examples" = ["30m"])))]
    pub timeout: Option<At<Maybe<Dur>>>,
}
