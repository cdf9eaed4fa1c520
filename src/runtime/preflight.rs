//! Everything that would fail later, found before anything starts, and told at once with its remedy.

use super::boot::End;
use super::shell::Shell;
use super::{Mode, crontabs, migrate, supervise};
use crate::config::plan::{CronPlan, Env, Plan, ProbePlan, ServicePlan};
use crate::exit;
use crate::sys::capabilities;
use crate::sys::files::{self, Made};
use crate::sys::spawn::Command;
use crate::sys::users::Identity;
use std::collections::BTreeSet;
use std::path::Path;

/// Mode of directories that init makes for the application, and of its own state directory: the application's group
/// may enter it to read `.env`, others may not.
const DIRECTORY_MODE: u32 = 0o755;
const STATE_MODE: u32 = 0o750;

/// One thing that must be mended before the container can start.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    code: u8,
    text: String,
}

/// Who runs what: enough to find the program.
struct Wanted<'a> {
    what: String,
    command: &'a [String],
    user: Option<&'a str>,
    env: &'a Env,
    dir: Option<&'a Path>,
}

/// Checks and prepares; every problem is logged. Without a boot none of them ends anything: whoever asks for that wants to
/// look at a container that has some.
///
/// # Errors
/// [`End::Failed`] with the code of the first problem.
pub fn preflight(shell: &mut Shell, mode: &Mode) -> Result<(), End> {
    let plan = shell.plan.clone();
    if let (Some(user), true) = (&plan.user, shell.own_uid != 0) {
        tracing::info!("user \"{user}\" is ignored: init runs as uid {}, so everything does", shell.own_uid);
    }
    let mut problems = Vec::new();
    let app = match shell.identity(None) {
        Ok(app) => app,
        Err(error) => {
            problems
                .push(Problem { code: exit::CONFIG, text: format!("cannot use user of the plan: {error}") });
            None
        }
    };
    if let Some(text) = powerless(app.as_ref()) {
        problems.push(Problem { code: exit::OS, text });
        // What the application may write cannot be found out either.
        return report(&problems, mode);
    }
    state_directory(shell, mode, app.as_ref(), &mut problems);
    if mode.boots() {
        file_directories(shell, app.as_ref(), &mut problems);
        unreachable(shell, app.as_ref());
    }
    for path in plan.writable.iter().chain(&plan.directories) {
        hand_over(path, app.as_ref());
    }
    writable(&plan, app.as_ref(), &mut problems);
    problems.extend(no_script(&plan, mode).map(|text| Problem { code: exit::NOT_FOUND, text }));
    problems.extend(missing(&plan, mode).map(|text| Problem { code: exit::CONFIG, text }));
    let crontabs = crontabs(&plan, mode, &mut problems);
    for wanted in wanted(&plan, mode).into_iter().chain(crontabs.iter().map(entry)) {
        find_program(shell, &wanted, &mut problems);
    }
    report(&problems, mode)
}

fn report(problems: &[Problem], mode: &Mode) -> Result<(), End> {
    if !mode.boots() {
        problems.iter().for_each(|problem| tracing::warn!("{}", problem.text));
        return Ok(());
    }
    for problem in problems {
        tracing::error!("{}", problem.text);
    }
    match problems.first() {
        Some(first) => {
            if problems.len() > 1 {
                tracing::error!("{} problems must be mended before this container can start", problems.len());
            }
            Err(End::Failed(first.code))
        }
        None => Ok(()),
    }
}

/// What keeps root from running things as the application's user, and from stopping them.
fn powerless(app: Option<&Identity>) -> Option<String> {
    let app = app.filter(|app| !app.is_root())?;
    let missing = capabilities::missing();
    (!missing.is_empty()).then(|| {
        format!(
            "cannot run anything as {app}: root has no {} in this container: add the capabilities (--cap-add), or run the \
             container as {app} itself (--user {}:{})",
            missing.join(", "),
            app.uid,
            app.gid
        )
    })
}

/// Makes the state directory, where something is to be placed in it: a file, or PHP-FPM's drop-in.
fn state_directory(shell: &Shell, mode: &Mode, app: Option<&Identity>, problems: &mut Vec<Problem>) {
    let plan = &shell.plan;
    let file = mode.boots() && plan.files.iter().any(|file| file.path.starts_with(&plan.state_dir));
    let drop_in = *mode == Mode::Supervise && plan.services.iter().any(|service| service.fpm.is_some());
    if !file && !drop_in {
        return;
    }
    let Err(error) = make_own(shell, &plan.state_dir, app) else { return };
    if file {
        problems.push(Problem { code: exit::CANT_CREATE, text: error });
    } else {
        tracing::warn!("{error}; going on without what init keeps in its state-dir (PHP-FPM's drop-in)");
    }
}

/// Where files are placed outside the state directory, or in directories below it. The state directory itself has had
/// its turn.
fn file_directories(shell: &Shell, app: Option<&Identity>, problems: &mut Vec<Problem>) {
    let state = &shell.plan.state_dir;
    let directories = shell.plan.files.iter().filter_map(|file| file.path.parent());
    let directories: BTreeSet<&Path> = directories.filter(|dir| dir != state).collect();
    for dir in directories {
        let usable = if dir.starts_with(state) {
            make_own(shell, dir, app)
        } else {
            files::probe_writable(dir, None).map_err(|error| error.to_string())
        };
        if let Err(text) = usable {
            problems.push(Problem { code: exit::CANT_CREATE, text });
        }
    }
}

/// Warns of a directory that the application may not enter, such as a tmpfs of mode 0700: it would start without any
/// error and without its .env. No failure, since a file may be meant for root.
fn unreachable(shell: &Shell, app: Option<&Identity>) {
    let Some(app) = app else { return };
    for file in shell.plan.files.iter().filter(|file| file.owner.is_none()) {
        let Some(dir) = file.path.parent() else { continue };
        let entered =
            files::as_user(Some(app), || std::fs::metadata(dir.join("."))).and_then(|result| result);
        if entered.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
            tracing::warn!(
                "{app} cannot read {}: it may not enter {}; give that directory the group of {app} and mode 0750, or mode 0755",
                file.path.display(),
                dir.display()
            );
        }
    }
}

/// Makes a directory that init writes and the application's group may enter.
pub fn make_own(shell: &Shell, dir: &Path, app: Option<&Identity>) -> Result<(), String> {
    let owner = app.map(|app| Identity { uid: shell.own_uid, ..app.clone() });
    files::make_directory(dir, owner.as_ref(), STATE_MODE).map_err(|error| error.to_string())?;
    files::probe_writable(dir, None).map_err(|error| error.to_string())
}

/// Gives the application an empty directory of root's that it cannot write: a volume that the platform made is so,
/// whatever the image had in its place. /tmp is empty and root's too, and can be written.
fn hand_over(path: &Path, app: Option<&Identity>) {
    let Some(app) = app else { return };
    if !path.is_dir() || files::probe_writable(path, Some(app)).is_ok() {
        return;
    }
    match files::take_ownership(path, app) {
        Ok(true) => tracing::info!("{} was empty and root's: it is {app}'s now", path.display()),
        Ok(false) => {}
        // The probe that follows tells what is wrong, with its remedy.
        Err(error) => tracing::debug!("{error}"),
    }
}

/// Makes the directories, with their parents, and probes the paths that must be writable. A directory that cannot be
/// made in a path that cannot be written is no problem of its own: mending the one mends the other.
fn writable(plan: &Plan, app: Option<&Identity>, problems: &mut Vec<Problem>) {
    let problem = |text: String| Problem { code: exit::CANT_CREATE, text };
    let mut unmade = Vec::new();
    for path in &plan.directories {
        match files::make_directory(path, app, DIRECTORY_MODE) {
            Ok(Made::Created) => tracing::debug!("made {}", path.display()),
            Ok(Made::Existed) => {}
            Err(error) => unmade.push((path, error.to_string())),
        }
    }
    let mut refused: Vec<&Path> = Vec::new();
    for path in &plan.writable {
        if let Err(error) = files::probe_writable(path, app) {
            refused.push(path);
            problems.push(problem(error.to_string()));
        }
    }
    unmade.retain(|(path, _)| !refused.iter().any(|refused| path.starts_with(refused)));
    problems.extend(unmade.into_iter().map(|(_, text)| problem(text)));
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
    let gone = path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
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

/// What the plan lacks for this mode.
fn missing(plan: &Plan, mode: &Mode) -> Option<String> {
    match mode {
        // Crontab files may be fetched, and so are read after it.
        Mode::Supervise => {
            let empty = plan.services.is_empty() && plan.crons.is_empty() && plan.crontabs.is_empty();
            empty.then(|| supervise::nothing(plan))
        }
        Mode::Migrate => plan.migrate.is_none().then(|| migrate::NOTHING.to_owned()),
        Mode::OneOff { .. } => None,
    }
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
fn find_program(shell: &mut Shell, wanted: &Wanted<'_>, problems: &mut Vec<Problem>) {
    let identity = match shell.identity(wanted.user) {
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
        env: shell.environment.of(identity.as_ref(), wanted.env).into_iter().collect(),
        dir: wanted.dir.unwrap_or(&shell.plan.work_dir).to_owned(),
        identity,
        ..Command::new(wanted.command)
    };
    if let Err(error) = command.look_up() {
        problems.push(Problem { code: error.code(), text: format!("cannot start {}: {error}", wanted.what) });
    }
}
