//! Configuration that processes of root's read and the application's user could change: who can is root.
//!
//! The state directory is another matter ([`super::state_dir`]): what init puts there itself must be safe, and is refused
//! otherwise. These files are the image's, and an image that worked goes on working, with a warning.

use super::env::Environment;
use super::fpm;
use super::needs::identity;
use crate::config::plan::{Plan, ServicePlan};
use crate::doctor::words::{file_name, is_fpm};
use crate::files;
use crate::schedule::crontab::{self, Dialect};
use crate::sys::users::Identity;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const NGINX: &str = "/etc/nginx/nginx.conf";

/// A line for each path that `app` may change and a process of root's reads, or reads something below, with the remedy.
pub fn exposed(plan: &Plan, own_uid: u32, app: Option<&Identity>) -> Vec<String> {
    let Some(app) = app.filter(|app| own_uid == 0 && !app.is_root()) else { return Vec::new() };
    let mut found = BTreeMap::new();
    for (reader, file) in read_by_root(plan, own_uid) {
        // What is not there, or cannot be looked at, is told by whoever needs it.
        let Err(error) = files::is_roots_alone(&file) else { continue };
        if let Some(path) = error.changeable_by(app) {
            found.entry(path.to_owned()).or_insert((reader, file));
        }
    }
    let line = |(path, (reader, file)): (PathBuf, (String, PathBuf))| {
        let (quoted, path, file) = (quoted(&path), path.display(), file.display());
        format!(
            "{reader} reads {file} as root, and {app} could make itself root, since it may change {path}: chown -h root {quoted} \
             && chmod go-w {quoted}"
        )
    };
    found.into_iter().map(line).collect()
}

/// For a shell, which people paste it into: the application may have chosen the name.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-+@:".contains(char);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Who reads which configuration as root.
fn read_by_root(plan: &Plan, own_uid: u32) -> Vec<(String, PathBuf)> {
    let is_root = |user: Option<&str>| {
        identity(plan, own_uid, user).is_ok_and(|identity| identity.is_none_or(|identity| identity.is_root()))
    };
    let environment = Environment::of_plan(plan, &plan.env);
    let by_init = plan.config_file.iter().filter(|path| is_plain(path));
    let mut all: Vec<(String, PathBuf)> = by_init.map(|path| ("init".to_owned(), path.clone())).collect();
    for service in plan.services.iter().filter(|service| is_root(service.user.as_deref())) {
        let reader = format!("service \"{}\"", service.name);
        all.extend(of_service(service, &environment).into_iter().map(|path| (reader.clone(), path)));
    }
    for path in &plan.crontabs {
        // A file with a column for the user can name root.
        let of_root = Dialect::of(path) == Dialect::System || is_root(crontab::owner(path));
        all.extend(of_root.then(|| ("a crontab's command".to_owned(), path.clone())));
    }
    all
}

/// Not a descriptor that somebody opened for init, nor /dev/null.
fn is_plain(path: &Path) -> bool {
    !path.starts_with("/dev") && !path.starts_with("/proc")
}

fn of_service(service: &ServicePlan, environment: &Environment) -> Vec<PathBuf> {
    if is_fpm(service) {
        let named = fpm::config_of(&service.command)
            .or_else(|| service.fpm.as_ref().and_then(|fpm| fpm.config.clone()));
        let main = named.or_else(fpm::find_config);
        let env = environment.of(None, &service.env);
        return main.map_or_else(Vec::new, |main| {
            fpm::scan(&main, &service.command, &env).sources.into_iter().collect()
        });
    }
    match service.command.first() {
        Some(program) if file_name(program) == "nginx" => {
            let flag = service.command.iter().position(|word| word == "-c");
            let named = flag.and_then(|flag| service.command.get(flag.saturating_add(1)));
            vec![named.map_or_else(|| PathBuf::from(NGINX), PathBuf::from)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve::{Layers, resolve};
    use crate::config::tree::Source;
    use crate::sys::users::Users;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    #[test]
    fn a_name_is_no_command_of_the_remedys_shell() {
        assert_eq!(
            quoted(Path::new("/usr/local/etc/php-fpm.d/www.conf")),
            "/usr/local/etc/php-fpm.d/www.conf"
        );
        assert_eq!(quoted(Path::new("/d/a;$(touch x)'b")), "'/d/a;$(touch x)'\\''b'");
    }

    fn app() -> Identity {
        Users::parse("www-data:x:33:33::/:/bin/sh", "").find("www-data").unwrap()
    }

    fn plan(dir: &Path) -> Plan {
        let text = "preset = 'none'\nuser = 'www-data'\n\
            crontabs = ['@/crontabs/root', '@/crontabs/www-data', '@/cron.d/x', '@/none/root']\n\
            [service.fpm]\nuser = 'root'\ncommand = ['php-fpm', '-y', '@/fpm.conf']\n\
            [service.nginx]\nuser = 'root'\ncommand = ['nginx', '-c', '@/nginx.conf']\n\
            [service.theirs]\nuser = 'www-data'\ncommand = ['nginx', '-c', '@/theirs.conf']\n";
        let text = text.replace('@', dir.to_str().unwrap());
        let layers = Layers::parse(vec![Source { name: "test".into(), text }], "/srv".into()).unwrap();
        let plan = resolve(&layers, &|_| None, None).unwrap();
        Plan { config_file: Some(dir.join("init.toml")), ..plan }
    }

    #[test]
    fn what_root_reads_and_the_application_may_change_is_told_once_each() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        for name in ["pools", "crontabs", "cron.d"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        let files =
            ["init.toml", "nginx.conf", "theirs.conf", "crontabs/root", "crontabs/www-data", "cron.d/x"];
        for name in files.iter().chain(&["pools/a.conf", "pools/b.conf"]) {
            fs::write(dir.join(name), "").unwrap();
        }
        fs::write(dir.join("fpm.conf"), format!("include = {}/pools/*.conf\n", dir.display())).unwrap();
        let plan = plan(dir);
        let told = || {
            let mut lines = exposed(&plan, 0, Some(&app()));
            lines.iter_mut().for_each(|line| *line = line.rsplit_once("go-w ").unwrap().1.to_owned());
            lines
                .iter()
                .map(|path| path.strip_prefix(dir.to_str().unwrap()).unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        for name in ["theirs.conf", "crontabs/www-data"] {
            chown(dir.join(name), Some(33), Some(33)).unwrap();
        }
        // Others' than the application's.
        chown(dir.join("nginx.conf"), Some(34), Some(34)).unwrap();
        assert_eq!(told(), [""; 0]);
        for name in ["pools", "pools/a.conf", "crontabs/root", "cron.d/x"] {
            chown(dir.join(name), Some(33), Some(33)).unwrap();
        }
        fs::set_permissions(dir.join("nginx.conf"), fs::Permissions::from_mode(0o666)).unwrap();
        chown(dir.join("init.toml"), Some(0), Some(33)).unwrap();
        fs::set_permissions(dir.join("init.toml"), fs::Permissions::from_mode(0o664)).unwrap();
        assert_eq!(told(), ["/cron.d/x", "/crontabs/root", "/init.toml", "/nginx.conf", "/pools"]);
        let lines = exposed(&plan, 0, Some(&app()));
        let file = dir.join("nginx.conf").display().to_string();
        assert!(
            lines[3].starts_with(&format!("service \"nginx\" reads {file} as root, and www-data")),
            "{lines:?}"
        );
        assert!(exposed(&plan, 33, Some(&app())).is_empty() && exposed(&plan, 0, None).is_empty());
    }
}
