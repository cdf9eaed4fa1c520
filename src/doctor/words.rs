//! What a command of the plan is.

use crate::config::plan::{Plan, ServicePlan};
pub use crate::config::programs::{artisan, file_name};

/// `--name=value` or `--name value`.
pub fn option<'a>(command: &'a [String], name: &str) -> Option<&'a str> {
    command.iter().enumerate().find_map(|(at, word)| {
        let rest = word.strip_prefix(name)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if rest.is_empty() => command.get(at.checked_add(1)?).map(String::as_str),
            None => None,
        }
    })
}

/// `--name` or `--name=…`.
pub fn has_option(command: &[String], name: &str) -> bool {
    command
        .iter()
        .any(|word| word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
}

/// The first word after `queue:work` that is no option: the connection.
pub fn connection(command: &[String]) -> Option<&str> {
    let at = command.iter().position(|word| word == "queue:work")?;
    let rest = command.get(at.checked_add(1)?..)?;
    rest.iter().map(String::as_str).find(|word| !word.starts_with('-') && !word.is_empty())
}

pub fn is_fpm(service: &ServicePlan) -> bool {
    service.fpm.is_some()
        || service.command.first().is_some_and(|word| file_name(word).starts_with("php-fpm"))
}

/// The first PHP-FPM of the plan.
pub fn fpm(plan: &Plan) -> Option<&ServicePlan> {
    plan.services.iter().find(|service| is_fpm(service))
}

/// Services that run one of these artisan commands.
pub fn running<'a>(plan: &'a Plan, commands: &'a [&str]) -> impl Iterator<Item = &'a ServicePlan> {
    plan.services
        .iter()
        .filter(|service| artisan(&service.command).is_some_and(|command| commands.contains(&command)))
}

/// Every command of the plan, with what it is.
pub fn commands(plan: &Plan) -> impl Iterator<Item = (String, &[String])> {
    let services =
        plan.services.iter().map(|one| (format!("service \"{}\"", one.name), one.command.as_slice()));
    let crons = plan.crons.iter().map(|one| (format!("cron \"{}\"", one.name), one.command.as_slice()));
    let steps = plan.boot.iter().map(|one| (format!("boot step \"{}\"", one.name), one.command.as_slice()));
    let migrate = plan.migrate.iter().map(|one| ("the migration".to_owned(), one.command.as_slice()));
    services.chain(crons).chain(steps).chain(migrate)
}

/// Bytes in words: `64 MB`.
pub fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes / MIB {
        0 => format!("{} kB", bytes >> 10),
        mib @ 1..=10_239 => format!("{mib} MB"),
        mib => format!("{} GB", mib >> 10),
    }
}

/// A size as php.ini writes it: `128M`, `1G`, bytes. `None` for -1, which is no limit.
pub fn php_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A time of PHP-FPM's in seconds: `10`, `10s`, `2m`, `1h`, `1d`.
pub fn fpm_seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// At most a handful of names, and how many more there are.
pub fn list<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 6;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn commands_are_taken_apart() {
        let command = words("php -d x=1 /app/artisan --ansi queue:work redis --timeout 30 --tries=3");
        assert_eq!(artisan(&command), Some("queue:work"));
        assert_eq!((option(&command, "--timeout"), option(&command, "--tries")), (Some("30"), Some("3")));
        assert_eq!(connection(&command), Some("redis"));
        assert_eq!(connection(&words("php artisan queue:work --tries=3")), None);
        assert!(has_option(&command, "--tries") && !has_option(&command, "--try"));
        assert_eq!(artisan(&words("php-fpm -F")), None);
    }

    #[test]
    fn sizes_and_times_are_read_as_php_writes_them() {
        assert_eq!(
            (php_bytes("128M"), php_bytes("1g"), php_bytes("512")),
            (Some(128 << 20), Some(1 << 30), Some(512))
        );
        assert_eq!((php_bytes("-1"), php_bytes("x")), (None, None));
        assert_eq!((fpm_seconds("10s"), fpm_seconds("2m"), fpm_seconds("x")), (Some(10), Some(120), None));
        assert_eq!(
            (size(512 << 20), size(20 << 30), size(2048)),
            ("512 MB".into(), "20 GB".into(), "2 kB".into())
        );
        assert_eq!(list(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e, f and 1 more");
    }
}
