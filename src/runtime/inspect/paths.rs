//! The paths of the plan: probed by writing as the preflight does, their mounts, their room.

use super::super::shell::Shell;
use crate::doctor::facts::{PathFacts, Purpose, Space};
use crate::doctor::read::{self, Mount};
use crate::files::{self, ProbeError};
use crate::sys::users::Identity;
use crate::sys::{fd, kernel, users};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Every path that init or the application writes.
pub fn look(shell: &mut Shell, sockets: &[PathBuf]) -> Vec<PathFacts> {
    let plan = shell.plan.clone();
    let app = shell.identity(None).ok().flatten();
    let mounts = read::mounts(&kernel::read("/proc/self/mountinfo").unwrap_or_default());
    let mut found: Vec<PathFacts> = Vec::new();
    let mut look = |path: &Path, purpose: Purpose, user: Option<&Identity>| {
        if !found.iter().any(|one| one.path == path) {
            let made =
                purpose == Purpose::State || plan.directories.iter().any(|made| made.starts_with(path));
            found.push(one(path, purpose, user, made, &mounts));
        }
    };
    let placed = plan.files.iter().any(|file| file.path.starts_with(&plan.state_dir));
    if placed || plan.services.iter().any(|service| service.fpm.is_some()) {
        look(&plan.state_dir, Purpose::State, None);
    }
    plan.writable.iter().for_each(|path| look(path, Purpose::Writable, app.as_ref()));
    for parent in plan.files.iter().filter_map(|file| file.path.parent()) {
        if !parent.starts_with(&plan.state_dir) {
            look(parent, Purpose::Writable, None);
        }
    }
    sockets.iter().for_each(|path| look(path, Purpose::Socket, None));
    found
}

fn one(path: &Path, purpose: Purpose, user: Option<&Identity>, made: bool, mounts: &[Mount]) -> PathFacts {
    let refused = files::probe_writable(path, user).err();
    let mended = refused.as_ref().is_some_and(|error| will_be_mended(path, user, made, error));
    let mount = read::mount_of(mounts, path);
    PathFacts {
        path: path.to_owned(),
        purpose,
        mended,
        refused: refused.map(|error| error.to_string()),
        file_system: mount.map(|mount| mount.file_system.clone()).unwrap_or_default(),
        options: mount.map(|mount| mount.options.clone()).unwrap_or_default(),
        mount: mount.map(|mount| PathBuf::from(&mount.point)).unwrap_or_default(),
        space: fd::space(path).ok().map(|(bytes, bytes_free, inodes, inodes_free)| Space {
            bytes,
            bytes_free,
            inodes,
            inodes_free,
        }),
    }
}

/// The preflight makes what is missing, and gives an empty directory of root's to the application.
fn will_be_mended(path: &Path, user: Option<&Identity>, made: bool, error: &ProbeError) -> bool {
    if error.is_missing() {
        let above = path.ancestors().skip(1).find(|above| files::is_directory(above));
        let makes = |user| above.is_some_and(|above| files::probe_writable(above, user).is_ok());
        return made && (makes(user) || makes(None));
    }
    let foreign = user.is_some_and(|user| !user.is_root());
    let of_root = files::metadata(path).is_ok_and(|data| data.is_dir() && data.uid() == 0);
    let empty = files::list(path).is_ok_and(|names| names.iter().all(|name| name == "lost+found"));
    foreign && users::own_uid() == 0 && of_root && empty && files::probe_writable(path, None).is_ok()
}
