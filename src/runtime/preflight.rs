//! Everything that would fail later, found before anything starts, and told at once with its remedy.

use super::Mode;
use super::boot::End;
use super::exposed;
use super::needs::{self, Problem};
use super::shell::Site;
use super::state_dir::{self, Needed};
use crate::exit;
use crate::files::{self, Made};
use crate::sys::users::Identity;
use std::collections::BTreeSet;
use std::path::Path;

/// Mode of directories that init makes for the application.
const DIRECTORY_MODE: u32 = 0o755;

/// Checks and prepares; every problem is logged. For a thread of its own: any of the paths may be on a file system that does
/// not answer.
///
/// `sweep` removes what an earlier init left, which may be what fills a file system; a reload has nothing to sweep.
///
/// Without a boot none of them ends anything: whoever asks for that wants to
/// look at a container that has some.
///
/// # Errors
/// [`End::Failed`] with the code of the first problem.
pub fn preflight(shell: &mut Site, mode: &Mode, sweep: &dyn Fn(&mut Site)) -> Result<(), End> {
    let plan = shell.plan.clone();
    if let (Some(user), true) = (&plan.user, shell.own_uid != 0) {
        tracing::info!("user \"{user}\" is ignored: init runs as uid {}, so everything does", shell.own_uid);
    }
    let mut problems = Vec::new();
    let app = match shell.identity(None) {
        Ok(app) => app,
        Err(error) => {
            problems.push(needs::no_user(&error));
            None
        }
    };
    if let Some(problem) = needs::powerless(app.as_ref()) {
        problems.push(problem);
        // What the application may write cannot be found out either.
        return report(&problems, mode);
    }
    state_directory(shell, mode, app.as_ref(), sweep, &mut problems);
    if *mode == Mode::Supervise {
        for warning in exposed::exposed(&plan, shell.own_uid, app.as_ref()) {
            tracing::warn!("{warning}");
        }
    }
    if mode.boots() {
        file_directories(shell, app.as_ref(), &mut problems);
        unreachable(shell, app.as_ref());
    }
    // A state directory that the plan gives away was refused, and stays as it is.
    for path in plan.writable.iter().chain(&plan.directories).filter(|path| **path != plan.state_dir) {
        shell.progress.at(path);
        hand_over(path, app.as_ref());
    }
    writable(shell, app.as_ref(), &mut problems);
    shell.progress.at(&plan.work_dir);
    let environment = shell.environment.clone();
    problems.extend(needs::unmet(&plan, mode, &environment, &mut |user| shell.identity(user)));
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
                tracing::error!("{} problems must be mended first", problems.len());
            }
            Err(End::Failed(first.code))
        }
        None => Ok(()),
    }
}

/// Makes or takes over the state directory, where something is to be placed in it. For a boot it is swept before it is probed.
fn state_directory(
    shell: &mut Site,
    mode: &Mode,
    app: Option<&Identity>,
    sweep: &dyn Fn(&mut Site),
    problems: &mut Vec<Problem>,
) {
    let needed = state_dir::needed(&shell.plan, mode);
    shell.progress.at(&shell.plan.state_dir);
    let mut made = Ok(());
    if needed != Needed::No {
        made = state_dir::claim(&shell.plan, shell.own_uid, app).map(drop);
    }
    if mode.boots() {
        sweep(shell);
    }
    if needed == Needed::No {
        return;
    }
    shell.progress.at(&shell.plan.state_dir);
    let Err(error) = made.and_then(|()| state_dir::prepare(&shell.plan, shell.own_uid, app)) else { return };
    if needed == Needed::Required {
        problems.push(Problem { code: exit::CANT_CREATE, text: error });
    } else {
        tracing::warn!("{error}; going on without what init keeps in its state-dir (PHP-FPM's drop-in)");
    }
}

/// Where files are placed outside the state directory. Without root also the directories below it.
fn file_directories(shell: &Site, app: Option<&Identity>, problems: &mut Vec<Problem>) {
    let state = &shell.plan.state_dir;
    let directories = shell.plan.files.iter().filter_map(|file| file.path.parent());
    let directories: BTreeSet<&Path> = directories.filter(|dir| dir != state).collect();
    for dir in directories {
        shell.progress.at(dir);
        let usable = match dir.starts_with(state) {
            // They had their turn with it.
            true if shell.own_uid == 0 => Ok(()),
            true => state_dir::make_own(shell.own_uid, dir, app),
            false => files::probe_writable(dir, None).map_err(|error| error.to_string()),
        };
        if let Err(text) = usable {
            problems.push(Problem { code: exit::CANT_CREATE, text });
        }
    }
}

/// Warns of a directory that the application may not enter, such as a tmpfs of mode 0700: it would start without any
/// error and without its .env. No failure, since a file may be meant for root.
fn unreachable(shell: &Site, app: Option<&Identity>) {
    let Some(app) = app else { return };
    for file in shell.plan.files.iter().filter(|file| file.owner.is_none()) {
        let Some(dir) = file.path.parent() else { continue };
        shell.progress.at(dir);
        let entered = files::as_user(Some(app), || files::metadata(&dir.join("."))).and_then(|result| result);
        if entered.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
            tracing::warn!(
                "{app} cannot read {}: it may not enter {}; give that directory the group of {app} and mode 0750, or mode 0755",
                file.path.display(),
                dir.display()
            );
        }
    }
}

/// Gives the application an empty directory of root's that it cannot write: a volume that the platform made is so,
/// whatever the image had in its place. /tmp is empty and root's too, and can be written.
fn hand_over(path: &Path, app: Option<&Identity>) {
    let Some(app) = app else { return };
    if !files::is_directory(path) || files::probe_writable(path, Some(app)).is_ok() {
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
fn writable(shell: &Site, app: Option<&Identity>, problems: &mut Vec<Problem>) {
    let plan = &shell.plan;
    let problem = |text: String| Problem { code: exit::CANT_CREATE, text };
    let mut unmade = Vec::new();
    for path in &plan.directories {
        shell.progress.at(path);
        match files::make_directory(path, app, DIRECTORY_MODE) {
            Ok(Made::Created) => tracing::debug!("made {}", path.display()),
            Ok(Made::Existed) => {}
            Err(error) => unmade.push((path, error.to_string())),
        }
    }
    let mut refused: Vec<&Path> = Vec::new();
    for path in &plan.writable {
        shell.progress.at(path);
        if let Err(error) = files::probe_writable(path, app) {
            refused.push(path);
            problems.push(problem(error.to_string()));
        }
    }
    unmade.retain(|(path, _)| !refused.iter().any(|refused| path.starts_with(refused)));
    problems.extend(unmade.into_iter().map(|(_, text)| problem(text)));
}
