//! Plans as users have them: the preset, and a file over it.

use crate::config::load;
use crate::config::plan::Plan;
use crate::config::resolve;
use crate::config::tree::Source;
use std::path::Path;

/// The Laravel preset with `.env` from S3 and workers whose jobs end within the stop.
const USUAL: &str = r#"
[service.queue]
command = ["php", "artisan", "queue:work", "--timeout=20"]
"#;

pub fn laravel() -> Plan {
    with("")
}

/// The usual plan, with more of a file.
pub fn with(more: &str) -> Plan {
    of(&format!("{more}\n{USUAL}"))
}

/// A file over the preset.
pub fn of(text: &str) -> Plan {
    let source = Source { name: "init.toml".to_owned(), text: text.to_owned() };
    let env = |name: &str| (name == "INIT_ENV_SOURCE").then(|| "s3://bucket/.env".to_owned());
    let dir = Path::new("/var/www/html");
    let layers = load::layers(Some(source), Some("laravel"), &env, &|_| true, Some(dir)).unwrap();
    resolve::resolve(&layers, &env, None).unwrap()
}
