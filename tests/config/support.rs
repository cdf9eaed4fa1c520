//! Loading texts as files.

use php_init::config::load::layers;
use php_init::config::plan::{CronPlan, Plan, ServicePlan};
use php_init::config::resolve::Layers;
use php_init::config::tree::Source;
use php_init::config::{ConfigError, resolve};
use std::path::Path;

pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The layers of a file `/etc/init.toml` with this text, in a container with nothing in it.
pub fn layers_of(text: &str, env: Lookup<'_>) -> Result<Layers, Vec<ConfigError>> {
    let source = Source { name: "/etc/init.toml".into(), text: text.into() };
    layers(Some(source), None, env, &|path| path == Path::new("/var/www/html"), Some(Path::new("/")))
}

pub fn no_env(_: &str) -> Option<String> {
    None
}

pub fn plan_for(text: &str, env: Lookup<'_>, role: Option<&str>) -> Plan {
    let layers = layers_of(text, env).unwrap_or_else(|errors| panic!("{}", show(&errors)));
    resolve(&layers, env, role).unwrap_or_else(|errors| panic!("{}", show(&errors)))
}

pub fn plan(text: &str) -> Plan {
    plan_for(text, &no_env, None)
}

pub fn service<'a>(plan: &'a Plan, name: &str) -> &'a ServicePlan {
    plan.services.iter().find(|service| service.name == name).unwrap_or_else(|| panic!("no service {name}"))
}

pub fn cron<'a>(plan: &'a Plan, name: &str) -> &'a CronPlan {
    plan.crons.iter().find(|cron| cron.name == name).unwrap_or_else(|| panic!("no cron entry {name}"))
}

pub fn show(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| format!("{error}\n\n")).collect()
}
