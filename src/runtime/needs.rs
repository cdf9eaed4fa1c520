//! What a plan needs that must be there before anything runs: users, programs, directories, crontab files, something to do.
//! Looked up and not touched, by the boot, by a reload, and by `init check`, so that they agree.

use super::env::Environment;
use super::state_dir::{self, Needed};
use super::{Mode, crontabs, migrate, supervise};
use crate::config::plan::{CronPlan, Env, Plan, ProbePlan, ServicePlan};
use crate::exit;
use crate::files;
use crate::sys::capabilities;
use crate::sys::spawn::Command;
use crate::sys::users::{Identity, UsersError};
use std::collections::BTreeSet;
use std::path::Path;

/// One thing that must be mended before the container can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What the boot exits with.
    pub code: u8,
    pub text: String,
}

/// Who runs what: enough to find the program.
struct Wanted<'a> {
    what: String,
    command: &'a [String],
    user: Option<&'a str>,
    env: &'a Env,
    dir: Option<&'a Path>,
}

/// Looks up whom a child runs as: this user, else the plan's.
pub type FindUser<'a> = &'a mut dyn FnMut(Option<&str>) -> Result<Option<Identity>, UsersError>;

/// Whom a child of the plan runs as. `None` when init is not root, and so cannot choose. May be asked on the loop: /etc/passwd
/// lies where the program itself does, and each name is looked up once.
///
/// # Errors
/// The user or group is not in /etc/passwd or /etc/group.
pub fn identity(plan: &Plan, own_uid: u32, user: Option<&str>) -> Result<Option<Identity>, UsersError> {
    match user.or(plan.user.as_deref()) {
        Some(name) if own_uid == 0 => files::read_users()?.find(name).map(Some),
        _ => Ok(None),
    }
}

/// All that `plan` needs and this container does not have, as the boot of a container of services would find it.
pub fn of_container(plan: &Plan, own_uid: u32) -> Vec<Problem> {
    let mut problems = Vec::new();
    match identity(plan, own_uid, None) {
        Ok(app) => {
            problems.extend(powerless(app.as_ref()));
            problems.extend(no_state_directory(plan, own_uid, app.as_ref()));
        }
        Err(error) => problems.push(no_user(&error)),
    }
    let environment = Environment::of_plan(plan, &plan.env);
    let mut look_up = |user: Option<&str>| identity(plan, own_uid, user);
    problems.extend(unmet(plan, &Mode::Supervise, &environment, &mut look_up));
    problems
}

/// The plan's own user cannot be looked up.
pub fn no_user(error: &UsersError) -> Problem {
    Problem { code: exit::CONFIG, text: format!("cannot use user of the plan: {error}") }
}

/// What is not there of what `mode` needs.
pub fn unmet(plan: &Plan, mode: &Mode, environment: &Environment, identity: FindUser<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut all = wanted(plan, mode);
    match no_script(plan, mode) {
        Some(text) => problems.push(Problem { code: exit::NOT_FOUND, text }),
        None => problems.extend(no_directory(plan, &all)),
    }
    problems.extend(nothing(plan, mode));
    let crontabs = crontabs(plan, mode, &mut problems);
    all.extend(crontabs.iter().map(entry));
    for wanted in &all {
        find_program(plan, wanted, environment, identity, &mut problems);
    }
    problems
}

/// What keeps root from running things as the application's user, and from stopping them.
pub fn powerless(app: Option<&Identity>) -> Option<Problem> {
    let app = app.filter(|app| !app.is_root())?;
    let missing = capabilities::missing();
    (!missing.is_empty()).then(|| Problem {
        code: exit::OS,
        text: format!(
            "cannot run anything as {app}: root has no {} in this container: add the capabilities (--cap-add), or run the \
             container as {app} itself (--user {}:{})",
            missing.join(", "),
            app.uid,
            app.gid
        ),
    })
}

/// The state directory, where a file is to be placed in it, is none that root may use.
fn no_state_directory(plan: &Plan, own_uid: u32, app: Option<&Identity>) -> Option<Problem> {
    if state_dir::needed(plan, &Mode::Supervise) != Needed::Required {
        return None;
    }
    let text = state_dir::foresee(plan, own_uid, app).err()?;
    Some(Problem { code: exit::CANT_CREATE, text })
}

/// What the first boot step is to run but is not there, such as `artisan`: the application is not where init looks for
/// it. Nothing but a fetched file could come between, so later commands are not looked at.
fn no_script(plan: &Plan, mode: &Mode) -> Option<String> {
    let step = plan.boot.first().filter(|_| mode.boots())?;
    let [program, script, ..] = step.command.as_slice() else { return None };
    if Path::new(program).file_name()? != "php" || script.starts_with('-') {
        return None;
    }
    let dir = step.work_dir.as_deref().unwrap_or(&plan.work_dir);
    let path = dir.join(script);
    // Only what is certainly not there: what may not be looked at is PHP's to tell.
    let gone = files::link_metadata(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    (gone && !plan.files.iter().any(|file| file.path == path)).then(|| {
        format!(
            "cannot run boot step \"{}\": there is no {script} in {}: copy the application there, set work-dir, or choose \
             another preset than {}",
            step.name,
            dir.display(),
            plan.preset
        )
    })
}

/// The directories in which the commands run that come first, as far as they are not there: boot steps may make those of
/// what comes after them. Each is told once.
fn no_directory(plan: &Plan, wanted: &[Wanted<'_>]) -> Vec<Problem> {
    let first = if plan.boot.is_empty() { wanted } else { wanted.get(..1).unwrap_or_default() };
    let mut seen: BTreeSet<&Path> = BTreeSet::new();
    let mut problems = Vec::new();
    for wanted in first {
        let dir = wanted.dir.unwrap_or(&plan.work_dir);
        let mut made = plan.directories.iter().chain(plan.files.iter().map(|file| &file.path));
        if !seen.insert(dir) || made.any(|path| path.starts_with(dir)) {
            continue;
        }
        // Only what is certainly not there: what may not be looked at is the kernel's to tell.
        if files::metadata(dir).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            let text = format!(
                "cannot start {}: there is no directory {}: make it in the image, or set another work-dir",
                wanted.what,
                dir.display()
            );
            problems.push(Problem { code: exit::NOT_EXECUTABLE, text });
        }
    }
    problems
}

/// Nothing to do in this mode.
pub fn nothing(plan: &Plan, mode: &Mode) -> Option<Problem> {
    let text = match mode {
        // Crontab files may be fetched, and so are read after it.
        Mode::Supervise => {
            let empty = plan.services.is_empty() && plan.crons.is_empty() && plan.crontabs.is_empty();
            empty.then(|| supervise::nothing(plan))
        }
        Mode::Migrate => plan.migrate.is_none().then(|| migrate::NOTHING.to_owned()),
        Mode::OneOff { .. } => None,
    };
    text.map(|text| Problem { code: exit::CONFIG, text })
}

/// The entries of the crontab files that are there already, with what is wrong in them.
fn crontabs(plan: &Plan, mode: &Mode, problems: &mut Vec<Problem>) -> Vec<CronPlan> {
    let zone = std::env::var("TZ").ok();
    let mut entries = Vec::new();
    for path in crontabs::of_image(plan).filter(|_| *mode == Mode::Supervise) {
        match crontabs::read(path, zone.as_deref()) {
            Ok((read, _)) => entries.extend(read),
            Err(lines) => {
                problems.extend(lines.into_iter().map(|text| Problem { code: exit::CONFIG, text }));
            }
        }
    }
    entries
}

fn entry(cron: &CronPlan) -> Wanted<'_> {
    Wanted {
        what: format!("cron entry \"{}\"", cron.name),
        command: &cron.command,
        user: cron.user.as_deref(),
        env: &cron.env,
        dir: cron.work_dir.as_deref(),
    }
}

/// The programs that its probes run.
fn probes(service: &ServicePlan) -> impl Iterator<Item = Wanted<'_>> {
    let ready = service.ready.as_ref().map(|ready| ("readiness", &ready.probe));
    let live = service.live.as_ref().map(|live| ("liveness", &live.probe));
    ready.into_iter().chain(live).filter_map(|(what, probe)| match probe {
        ProbePlan::Command { command } => Some(Wanted {
            what: format!("the {what} probe of service \"{}\"", service.name),
            command,
            user: service.user.as_deref(),
            env: &service.env,
            dir: service.work_dir.as_deref(),
        }),
        _ => None,
    })
}

fn wanted<'a>(plan: &'a Plan, mode: &Mode) -> Vec<Wanted<'a>> {
    let mut all = Vec::new();
    for step in plan.boot.iter().filter(|_| mode.boots()) {
        all.push(Wanted {
            what: format!("boot step \"{}\"", step.name),
            command: &step.command,
            user: step.user.as_deref(),
            env: &step.env,
            dir: step.work_dir.as_deref(),
        });
    }
    match mode {
        Mode::Supervise => {
            for service in &plan.services {
                all.push(Wanted {
                    what: format!("service \"{}\"", service.name),
                    command: &service.command,
                    user: service.user.as_deref(),
                    env: &service.env,
                    dir: service.work_dir.as_deref(),
                });
                all.extend(probes(service));
            }
            all.extend(plan.crons.iter().map(entry));
        }
        Mode::Migrate => {
            if let Some(migrate) = &plan.migrate {
                all.push(Wanted {
                    what: "migrate".to_owned(),
                    command: &migrate.command,
                    user: migrate.user.as_deref(),
                    env: &migrate.env,
                    dir: None,
                });
            }
        }
        Mode::OneOff { .. } => {}
    }
    all
}

/// Looks up the user and the program of one entry.
fn find_program(
    plan: &Plan,
    wanted: &Wanted<'_>,
    environment: &Environment,
    identity: FindUser<'_>,
    problems: &mut Vec<Problem>,
) {
    let identity = match identity(wanted.user) {
        Ok(identity) => identity,
        // The plan's own user was reported once already.
        Err(_) if wanted.user.is_none() => return,
        Err(error) => {
            problems
                .push(Problem { code: exit::CONFIG, text: format!("cannot start {}: {error}", wanted.what) });
            return;
        }
    };
    let command = Command {
        env: environment.of(identity.as_ref(), wanted.env).into_iter().collect(),
        dir: wanted.dir.unwrap_or(&plan.work_dir).to_owned(),
        identity,
        ..Command::new(wanted.command)
    };
    if let Err(error) = command.look_up() {
        problems.push(Problem { code: error.code(), text: format!("cannot start {}: {error}", wanted.what) });
    }
}
