//! PURE: a new plan in the place of the old one, with every index staying what it was.

use crate::config::plan::{CronPlan, Env, Plan, ServicePlan};
use std::collections::BTreeSet;

/// Both plans as one.
pub struct Merged {
    /// The new plan; its services and cron entries go on, index for index, from those of the old one.
    pub plan: Plan,
    /// Services that the new plan lacks.
    pub retired: Vec<u16>,
    /// Services whose processes must be replaced: what they were started as is no longer what is wanted.
    pub changed: Vec<u16>,
    /// Cron entries that the new plan lacks.
    pub retired_crons: Vec<u16>,
}

/// Merges. `caches` are the variables that a reload sets: their values change each time, which alone replaces nothing.
pub fn merge(old: &Plan, mut new: Plan, caches: &BTreeSet<String>) -> Merged {
    let wanted = std::mem::take(&mut new.services);
    let (services, retired) = line_up(&old.services, wanted, |service| &service.name);
    let crons = std::mem::take(&mut new.crons);
    let (crons, retired_crons) = line_up(&old.crons, crons, |cron: &CronPlan| &cron.name);
    let pairs = (0..=u16::MAX).zip(old.services.iter().zip(&services));
    let changed = pairs
        .filter(|(index, (before, after))| {
            !retired.contains(index) && differs(old, before, &new, after, caches)
        })
        .map(|(index, _)| index)
        .collect();
    Merged { plan: Plan { services, crons, ..new }, retired, changed, retired_crons }
}

/// The entries of `old` with their successors of the same name in `new`, then what is new; and the indexes of those that
/// have no successor.
fn line_up<T: Clone>(old: &[T], new: Vec<T>, name: impl Fn(&T) -> &String) -> (Vec<T>, Vec<u16>) {
    let mut rest: Vec<Option<T>> = new.into_iter().map(Some).collect();
    let mut retired = Vec::new();
    let mut all = Vec::with_capacity(old.len().max(rest.len()));
    for (index, before) in (0..=u16::MAX).zip(old) {
        let found = rest.iter_mut().find(|entry| entry.as_ref().is_some_and(|new| name(new) == name(before)));
        match found.and_then(Option::take) {
            Some(after) => all.push(after),
            None => {
                retired.push(index);
                all.push(before.clone());
            }
        }
    }
    all.extend(rest.into_iter().flatten());
    (all, retired)
}

fn differs(
    old: &Plan,
    before: &ServicePlan,
    new: &Plan,
    after: &ServicePlan,
    caches: &BTreeSet<String>,
) -> bool {
    let start = |plan: &Plan, service: &ServicePlan| {
        let user = service.user.clone().or_else(|| plan.user.clone());
        let dir = service.work_dir.clone().unwrap_or_else(|| plan.work_dir.clone());
        (service.command.clone(), user, dir, service.open_files, service.umask, plan.pass_env.clone())
    };
    let environment = |plan: &Plan, service: &ServicePlan| {
        let mut env: Env = plan.env.clone();
        env.extend(service.env.clone());
        env.retain(|name, value| !(caches.contains(name) || after.fpm.is_some() && is_literal(value)));
        env
    };
    start(old, before) != start(new, after) || environment(old, before) != environment(new, after)
}

/// PHP-FPM's drop-in can say the value: a reload of its master brings it to the workers.
pub fn is_literal(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-:,@+".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve::{Layers, resolve};
    use crate::config::tree::Source;

    fn plan(text: &str) -> Plan {
        let source = Source { name: "test".into(), text: text.into() };
        let layers = Layers::parse(vec![source], "/srv".into()).unwrap();
        resolve(&layers, &|_| None, None).unwrap()
    }

    fn merged(old: &str, new: &str) -> Merged {
        merge(&plan(old), plan(new), &BTreeSet::from(["CACHE".to_owned()]))
    }

    fn names(merged: &Merged) -> Vec<&str> {
        merged.plan.services.iter().map(|service| service.name.as_str()).collect()
    }

    #[test]
    fn every_index_stays_what_it_was() {
        let old = "[service.a]\ncommand = ['a']\n[service.b]\ncommand = ['b']\n[cron.x]\nschedule='@daily'\ncommand=['x']\n";
        let new = "[service.c]\ncommand = ['c']\n[service.b]\ncommand = ['b']\n[cron.y]\nschedule='@daily'\ncommand=['y']\n";
        let one = merged(old, new);
        assert_eq!(names(&one), ["a", "b", "c"]);
        assert_eq!((one.retired.as_slice(), one.changed.as_slice()), ([0].as_slice(), [].as_slice()));
        assert_eq!(one.retired_crons, [0]);
        assert_eq!(one.plan.crons.iter().map(|cron| cron.name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
        // One that comes back takes its own place again.
        let back = merge(&one.plan, plan(old), &BTreeSet::new());
        assert_eq!(names(&back), ["a", "b", "c"]);
        assert_eq!(
            (back.retired.as_slice(), back.retired_crons.as_slice()),
            ([2].as_slice(), [1].as_slice())
        );
    }

    #[test]
    fn a_service_is_replaced_for_what_its_process_was_started_as() {
        let with = |more: &str| format!("{more}\n[service.a]\ncommand = ['a']\n");
        let changed = |old: &str, new: &str| !merged(old, new).changed.is_empty();
        assert!(!changed(&with(""), &with("env = { CACHE = '1' }")));
        assert!(changed(&with(""), &with("env = { A = '1' }")));
        assert!(changed(&with(""), &with("user = 'www'")));
        assert!(changed(&with(""), &with("work-dir = '/x'")));
        assert!(!changed(&with(""), &with("stop-timeout = '3s'")));
        assert!(!changed(&with(""), &format!("{}instances = 3\n", with(""))));
        let fpm = |env: &str| format!("env = {{ A = '{env}' }}\n[service.f]\ncommand = ['f']\nfpm = {{}}\n");
        assert!(!changed(&fpm("1"), &fpm("/new/path")), "the drop-in brings it");
        assert!(changed(&fpm("1"), &fpm("a \"b\"")));
    }
}
