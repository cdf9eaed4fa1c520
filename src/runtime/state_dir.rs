//! init's own directory: made, or taken over, before anything in it is used.
//!
//! Root's children read what lies there: PHP-FPM's master its drop-in, nginx its key. As root, init therefore owns the
//! directory, and those below it, so that the application can replace nothing; files in it belong to root as well
//! ([`super::fetching`]). What cannot be made so is not trusted: a file that is to be placed there ends the boot with
//! the remedy, and PHP-FPM runs without its drop-in. Without root, init and all its children are one user, who owns it.

use super::Mode;
use super::shell::Site;
use crate::config::plan::Plan;
use crate::files::{self, DirectoryError, Kind, Owned};
use crate::sys::users::Identity;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// The application's group may enter it to read `.env`, others may not.
const MODE: u32 = 0o750;

/// What every program of a container writes: not root's to take over.
const SHARED: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// What init places in the directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    No,
    /// PHP-FPM's drop-in or the script of its warm-up: PHP-FPM runs without, if need be.
    Optional,
    /// A `[[file]]`: without it nothing runs.
    Required,
}

/// Whether init places anything in the state directory.
pub fn needed(plan: &Plan, mode: &Mode) -> Needed {
    let file = mode.boots() && plan.files.iter().any(|file| file.path.starts_with(&plan.state_dir));
    let drop_in = *mode == Mode::Supervise && plan.services.iter().any(|service| service.fpm.is_some());
    match (file, drop_in) {
        (true, _) => Needed::Required,
        (false, true) => Needed::Optional,
        (false, false) => Needed::No,
    }
}

/// Makes the state directory or takes it over.
///
/// # Errors
/// Why it cannot be used, with the remedy.
pub fn claim(plan: &Plan, own_uid: u32, app: Option<&Identity>) -> Result<Option<Owned>, String> {
    let dir = plan.state_dir.as_path();
    if own_uid != 0 {
        files::make_directory(dir, None, MODE).map_err(|error| error.to_string())?;
        return Ok(None);
    }
    refused_by_plan(plan, app)?;
    let owned = own(dir, app)?;
    if owned.taken_from.is_some() {
        forget_drop_ins(plan, &owned);
    }
    Ok(Some(owned))
}

/// Makes the state directory or takes it over, and whatever the plan has below it, and probes it.
///
/// # Errors
/// Why it cannot be used, with the remedy.
pub fn prepare(plan: &Plan, own_uid: u32, app: Option<&Identity>) -> Result<(), String> {
    let dir = plan.state_dir.as_path();
    if let Some(owned) = claim(plan, own_uid, app)? {
        for file in plan.files.iter().filter(|file| file.path.starts_with(dir)) {
            make_way(&owned.dir, dir, &file.path, Kind::File, app)?;
        }
        if let Some(socket) = &plan.control.socket {
            make_way(&owned.dir, dir, socket, Kind::Socket, app)?;
        }
    }
    files::probe_writable(dir, None).map_err(|error| error.to_string())
}

/// What [`prepare`] will refuse, as far as it can be told without changing anything.
///
/// # Errors
/// Why the state directory cannot be used, with the remedy.
pub fn foresee(plan: &Plan, own_uid: u32, app: Option<&Identity>) -> Result<(), String> {
    if own_uid != 0 {
        return Ok(());
    }
    refused_by_plan(plan, app)?;
    let dir = plan.state_dir.as_path();
    match files::is_roots_alone(dir) {
        Ok(()) if !files::is_directory(dir) => {
            Err(DirectoryError::NotADirectory { path: dir.to_owned() }.to_string())
        }
        // The boot takes it over, if root may.
        Ok(()) | Err(DirectoryError::Foreign { .. }) => Ok(()),
        // The boot makes it: what is above it is in order.
        Err(error) if error.io().is_some_and(|why| why.kind() == ErrorKind::NotFound) => Ok(()),
        Err(error) => Err(refusal(&error)),
    }
}

/// Makes a directory that init writes and the application's group may enter; as root one that nobody else may change.
///
/// # Errors
/// Why it cannot be used, with the remedy.
pub fn make_own(own_uid: u32, dir: &Path, app: Option<&Identity>) -> Result<(), String> {
    if own_uid == 0 {
        own(dir, app)?;
    } else {
        files::make_directory(dir, None, MODE).map_err(|error| error.to_string())?;
    }
    files::probe_writable(dir, None).map_err(|error| error.to_string())
}

/// Whether what is found in the state directory is what init put there.
///
/// # Errors
/// Who else may change it.
pub fn trusted(site: &Site) -> Result<(), String> {
    if site.own_uid != 0 {
        return Ok(());
    }
    files::is_roots_alone(&site.plan.state_dir).map_err(|error| error.to_string())
}

/// No state directory of root's can be where the plan has it.
fn refused_by_plan(plan: &Plan, app: Option<&Identity>) -> Result<(), String> {
    let dir = plan.state_dir.as_path();
    if let Some(path) = given_away(plan, app) {
        return Err(format!(
            "cannot use state-dir {}: it lies in {}, which the application may write according to the plan, and could replace \
             what root reads there: choose another state-dir, or take that path out of writable and directories",
            dir.display(),
            path.display()
        ));
    }
    if SHARED.iter().any(|shared| dir == Path::new(shared)) {
        return Err(format!(
            "cannot use state-dir {0}: others write there as well, and root would take it from them: choose a directory in it, \
             such as {0}/php",
            dir.display()
        ));
    }
    Ok(())
}

/// A path that the plan gives to the application and that the state directory lies in.
fn given_away<'a>(plan: &'a Plan, app: Option<&Identity>) -> Option<&'a PathBuf> {
    app.filter(|app| !app.is_root())?;
    let mut theirs = plan.writable.iter().chain(&plan.directories);
    // In /tmp and its like nobody may rename what is another's, which the check of the way to it finds out.
    theirs.find(|path| plan.state_dir == **path || plan.state_dir.starts_with(path) && !is_sticky(path))
}

fn is_sticky(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    files::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o1000 != 0)
}

fn own(dir: &Path, app: Option<&Identity>) -> Result<Owned, String> {
    let group = app.map(|app| app.gid);
    let owned = files::own_directory(dir, group, MODE).map_err(|error| refusal(&error))?;
    if let Some(before) = &owned.taken_from {
        tracing::info!(
            "took {} over from {}:{} (mode {:04o}): root reads what lies there, so it is root's now",
            dir.display(),
            before.uid,
            before.gid,
            before.mode
        );
    }
    Ok(owned)
}

fn refusal(error: &DirectoryError) -> String {
    match error {
        DirectoryError::Foreign { uid, gid, .. } => {
            let run = if *uid == 0 {
                String::new()
            } else {
                format!(", or run the container as its owner (--user {uid}:{gid})")
            };
            format!(
                "{error}: root reads what lies there, so it must be root's alone: mount a tmpfs there, give it to root in \
                 the image before VOLUME, add the capability CHOWN if the container has none{run}"
            )
        }
        _ => error.to_string(),
    }
}

/// What was there before the directory was root's may be open for writing elsewhere, whoever owns it by now: an earlier
/// init wrote its drop-in into a directory of the application's.
fn forget_drop_ins(plan: &Plan, owned: &Owned) {
    for service in plan.services.iter().filter(|service| service.fpm.is_some()) {
        // One that is not there, or is a directory, is nothing that PHP-FPM would read.
        let _ = owned.dir.remove_file(super::drop_in::name(&service.name));
    }
}

/// Makes the directories of a file below the state directory, and removes what another user left in their place or in
/// its own, where a `wanted` is to be.
fn make_way(
    state: &files::Dir,
    dir: &Path,
    file: &Path,
    wanted: Kind,
    app: Option<&Identity>,
) -> Result<(), String> {
    let Ok(below) = file.strip_prefix(dir) else { return Ok(()) };
    let names: Vec<&OsStr> = below
        .components()
        .filter_map(|part| if let Component::Normal(name) = part { Some(name) } else { None })
        .collect();
    let Some((last, above)) = names.split_last() else { return Ok(()) };
    let clear = |at: &files::Dir, name: &OsStr, wanted: Kind, path: &Path| {
        let left = files::clear(at, name, wanted, app).map_err(|error| {
            let why = crate::sys::words(&error);
            format!("cannot remove {}, which another user left there: {why}", path.display())
        })?;
        if let Some(left) = left {
            tracing::warn!(
                "moved {} out of the way, to {left} beside it: its owner may not remove all that is in it, so look what it is, \
                 and remove it by hand",
                path.display()
            );
        }
        Ok::<(), String>(())
    };
    let mut path = dir.to_owned();
    let mut owned: Option<Owned> = None;
    for name in above {
        let at = owned.as_ref().map_or(state, |owned| &owned.dir);
        path.push(name);
        clear(at, name, Kind::Directory, &path)?;
        owned = Some(own(&path, app)?);
    }
    let at = owned.as_ref().map_or(state, |owned| &owned.dir);
    clear(at, last, wanted, file)
}
