//! Writes PHP-FPM's drop-in into the state directory and points the service's command at it.

use super::fpm::{self, StatusPage};
use super::shell::Site;
use super::state_dir;
use crate::config::plan::{Plan, ProbePlan, ServicePlan};
use crate::fetch::place::{Target, place};
use crate::probe::warm_up::SCRIPT;
use crate::supervisor::words::Words;
use crate::sys::users::Identity;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

/// Readable by FPM's master only, whatever user that runs as.
const MODE: u32 = 0o640;

/// The name of a service's drop-in in the state directory.
pub fn name(service: &str) -> String {
    format!("{service}.fpm.conf")
}

/// The drop-in of one service, not written yet.
pub struct DropIn {
    /// The service's index in the plan.
    pub index: usize,
    pub name: String,
    pub target: Target,
    pub text: String,
    ping_path: String,
    /// Where the pools tell of their status with the drop-in, and without it.
    pages: Vec<StatusPage>,
    own_pages: Vec<StatusPage>,
}

impl DropIn {
    /// The command of the service with the drop-in at `path`.
    pub fn command(&self, plan: &Plan, path: &Path) -> Vec<String> {
        plan.services.get(self.index).map(|service| fpm::command(&service.command, path)).unwrap_or_default()
    }

    /// Where the pools' status is asked for; `used`: with the drop-in.
    pub fn pages(&self, used: bool) -> &[StatusPage] {
        if used { &self.pages } else { &self.own_pages }
    }

    /// Points the service at the drop-in.
    pub fn apply(&self, plan: &mut Plan) {
        let command = self.command(plan, &self.target.path);
        if let Some(service) = plan.services.get_mut(self.index) {
            service.command = command;
        }
    }
}

/// Writes the drop-ins and points their services at them. What cannot be written is told and left out: the image's own
/// configuration still works. For a thread of its own; where the pools tell of their status.
pub fn prepare(site: &mut Site) -> Vec<StatusPage> {
    let trusted = state_dir::trusted(site);
    let progress = site.progress.clone();
    progress.at(&site.plan.state_dir);
    let put = |text: &str, target: &Target| {
        trusted
            .clone()
            .and_then(|()| place(text.as_bytes(), target).map(drop).map_err(|error| error.to_string()))
    };
    warm_ups(&mut site.plan.services, |target| put(SCRIPT, target));
    let mut pages = Vec::new();
    for drop_in in render(site, &|_, _| None) {
        progress.at(&drop_in.target.path);
        let placed = put(&drop_in.text, &drop_in.target);
        pages.extend_from_slice(drop_in.pages(placed.is_ok()));
        match placed {
            Ok(()) => drop_in.apply(&mut site.plan),
            Err(error) => {
                // The preflight has told already why the state directory is not init's own.
                let why = if trusted.is_err() { String::new() } else { format!("{error}: ") };
                tracing::warn!(
                    service = drop_in.name,
                    "{why}runs with the image's configuration alone; set process_control_timeout in it, or a stop cuts \
                     requests, and ping.path = {}",
                    drop_in.ping_path
                );
            }
        }
    }
    pages
}

/// Puts the script of every warm-up into its place by `put`, readable by every pool's user: it is no secret. A warm-up whose
/// script cannot be written is left out.
pub fn warm_ups(services: &mut [ServicePlan], mut put: impl FnMut(&Target) -> Result<(), String>) {
    for service in services {
        let Some(ready) = &mut service.ready else { continue };
        let Some(warm_up) = &ready.warm_up else { continue };
        let target =
            Target { path: warm_up.script.clone(), directory: None, mode: 0o444, uid: None, gid: None };
        if let Err(error) = put(&target) {
            tracing::warn!(service = service.name, "no opcache warm-up: {error}");
            ready.warm_up = None;
        }
    }
}

/// The drop-in of every service that has one; its probe is pointed at where its pool listens. `literal` gives the values
/// that are written out.
pub fn render(site: &mut Site, literal: &dyn Fn(&ServicePlan, &str) -> Option<String>) -> Vec<DropIn> {
    let mut all = Vec::new();
    let mut services = std::mem::take(&mut site.plan.services);
    for (index, service) in services.iter_mut().enumerate() {
        let Some(mut settings) = service.fpm.clone() else { continue };
        let name = service.name.as_str();
        let named = fpm::config_of(&service.command).or_else(|| settings.config.clone());
        let Some(main) = named.or_else(fpm::find_config) else {
            tracing::warn!(
                service = name,
                "cannot find php-fpm.conf: going on without init's defaults; name it with config in [service.{name}.fpm]"
            );
            continue;
        };
        site.progress.at(&main);
        let identity = site.identity(service.user.as_deref()).ok().flatten();
        let env = site.environment.of(identity.as_ref(), &service.env);
        let scan = fpm::scan(&main, &service.command, &env);
        warn_about_timeout(name, &scan, site.plan.stop_timeout);
        follow_listen(service, &scan);
        // A master that is not root may not make sockets in root's directory: its pools are asked where they listen.
        settings.status_socket &= identity.as_ref().is_none_or(Identity::is_root);
        // As root, its master reads it by its group, and may not change it.
        let (uid, gid) = identity.as_ref().map_or((None, None), |identity| (Some(0), Some(identity.gid)));
        let plan = &site.plan;
        let keys = plan.env.keys().chain(service.env.keys()).map(String::as_str);
        let has = |name: &str| env.contains_key(OsStr::new(name));
        let value = |name: &str| literal(service, name);
        let text = fpm::render((&service.name, &plan.state_dir), &settings, &main, &scan, keys, has, value);
        let path = plan.state_dir.join(self::name(&service.name));
        let pages = |dir| fpm::status_pages(&service.name, &settings, &scan, dir);
        all.push(DropIn {
            index,
            name: service.name.clone(),
            target: Target { path, directory: None, mode: MODE, uid, gid },
            text,
            ping_path: settings.ping_path.clone(),
            pages: pages(Some(plan.state_dir.as_path())),
            own_pages: pages(None),
        });
    }
    site.plan.services = services;
    all
}

/// The image decides where FPM listens; a probe elsewhere would end a working service.
fn follow_listen(service: &mut ServicePlan, scan: &fpm::Scan) {
    let addresses: Vec<String> = scan.listens.values().map(|listen| fpm::reachable(listen)).collect();
    let written = scan.written.values().next().map_or("", String::as_str);
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
            "php-fpm's configuration listens on {written}, not where the plan has its probe: probing it there"
        );
        first.clone_into(address);
    }
}

/// The image's own value wins over init's. Zero means that a stop resets the requests in flight.
fn warn_about_timeout(name: &str, scan: &fpm::Scan, budget: Duration) {
    let Some((value, text)) = &scan.process_control_timeout else { return };
    match fpm::seconds(value) {
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
