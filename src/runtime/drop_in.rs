//! Writes PHP-FPM's drop-in into the state directory and points the service's command at it.

use super::fpm;
use super::shell::Shell;
use crate::config::plan::{FpmPlan, Plan, ProbePlan, ServicePlan};
use crate::fetch::place::{Target, place};
use crate::supervisor::words::Words;
use crate::sys::files;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Readable by FPM's master only: it runs as root or as init's own user.
const MODE: u32 = 0o640;

/// Points every service of `plan` that has a drop-in at it, and its probe at where its pool listens. What cannot be
/// generated is told and left out: the image's own configuration still works.
pub fn prepare(shell: &mut Shell, plan: &mut Plan) {
    let mut services = std::mem::take(&mut plan.services);
    for service in &mut services {
        let Some(drop_in) = service.fpm.clone() else { continue };
        let name = service.name.as_str();
        let named = fpm::config_of(&service.command).or_else(|| drop_in.config.clone());
        let Some(main) = named.or_else(fpm::find_config) else {
            tracing::warn!(
                service = name,
                "cannot find php-fpm.conf: going on without init's defaults; name it with config in [service.{name}.fpm]"
            );
            continue;
        };
        let scan = fpm::scan(&main);
        warn_about_timeout(name, &scan, plan.stop_timeout);
        follow_listen(service, &scan);
        let path = write(shell, plan, service, &drop_in, &main, &scan);
        let dir = path.as_ref().map(|_| plan.state_dir.as_path());
        let mut pages = shell.board.status_pages.borrow_mut();
        pages.retain(|page| page.service != service.name);
        pages.extend(fpm::status_pages(&service.name, &drop_in, &scan, dir));
        if let Some(path) = path {
            service.command = fpm::command(&service.command, &path);
        }
    }
    plan.services = services;
}

/// The image decides where FPM listens; a probe elsewhere would end a working service.
fn follow_listen(service: &mut ServicePlan, scan: &fpm::Scan) {
    let addresses: Vec<String> = scan.listens.values().map(|listen| fpm::reachable(listen)).collect();
    let probes = [
        service.ready.as_mut().map(|ready| &mut ready.probe),
        service.live.as_mut().map(|live| &mut live.probe),
    ];
    for probe in probes.into_iter().flatten() {
        let (ProbePlan::FastCgi { address, .. }, Some(first)) = (probe, addresses.first()) else { continue };
        if addresses.contains(address) {
            continue;
        }
        tracing::info!(
            service = service.name.as_str(),
            "php-fpm's configuration listens on {first}, not on {address}: probing it there"
        );
        first.clone_into(address);
    }
}

fn write(
    shell: &mut Shell,
    plan: &Plan,
    service: &ServicePlan,
    drop_in: &FpmPlan,
    main: &Path,
    scan: &fpm::Scan,
) -> Option<PathBuf> {
    let name = service.name.as_str();
    let identity = shell.identity(service.user.as_deref()).ok().flatten();
    let env = shell.environment.of(identity.as_ref(), &service.env);
    let keys = plan.env.keys().chain(service.env.keys()).map(String::as_str);
    let text = fpm::render((name, &plan.state_dir), drop_in, main, scan, keys, |name| {
        env.contains_key(OsStr::new(name))
    });
    let path = plan.state_dir.join(format!("{name}.fpm.conf"));
    let (uid, gid) = identity.map_or((None, None), |identity| (Some(identity.uid), Some(identity.gid)));
    match place(text.as_bytes(), &Target { path: path.clone(), mode: MODE, uid, gid }) {
        Ok(_) => Some(path),
        Err(error) => {
            // The preflight has told already why the state directory cannot be written.
            let told = files::probe_writable(&plan.state_dir, None).is_err();
            let why = if told { String::new() } else { format!("{error}: ") };
            tracing::warn!(
                service = name,
                "{why}runs with the image's configuration alone; set process_control_timeout in it, or a stop cuts \
                 requests, and ping.path = {}",
                drop_in.ping_path
            );
            None
        }
    }
}

/// The image's own value wins over init's. Zero means that a stop resets the requests in flight.
fn warn_about_timeout(name: &str, scan: &fpm::Scan, budget: Duration) {
    let Some(text) = &scan.process_control_timeout else { return };
    match fpm::seconds(text) {
        Some(0) => tracing::warn!(
            service = name,
            "process_control_timeout is 0 in php-fpm's configuration: a stop resets the requests in flight; set it to a few \
             seconds below stop-timeout ({})",
            Words(budget)
        ),
        Some(seconds) if Duration::from_secs(seconds) >= budget => tracing::warn!(
            service = name,
            "process_control_timeout is {text} in php-fpm's configuration, not below stop-timeout ({}): requests that take \
             longer are killed with it",
            Words(budget)
        ),
        _ => {}
    }
}
