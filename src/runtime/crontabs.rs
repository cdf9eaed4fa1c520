//! Existing crontab files, read at start and run as they are.

use super::shell::Site;
use crate::config::plan::{CronPlan, Plan};
use crate::exit;
use crate::files;
use crate::schedule::{Schedule, crontab};
use std::io;
use std::path::{Path, PathBuf};

/// Largest crontab that is read, in bytes.
const MAX: u64 = 1 << 20;

/// Adds the entries of the plan's crontab files to its cron entries. `zone` is the container's TZ. For a thread of its own.
///
/// `now` tells where the text of a file is as yet.
///
/// # Errors
/// The exit code, when a file cannot be read or has errors; every one was logged.
pub fn load(site: &mut Site, zone: Option<&str>, now: &dyn Fn(&Path) -> PathBuf) -> Result<(), u8> {
    let mut failed = false;
    for path in site.plan.crontabs.clone() {
        site.progress.at(&path);
        match read_from(&path, &now(&path), zone) {
            Ok((entries, notes)) => {
                notes.iter().for_each(|note| tracing::warn!("{note}"));
                if entries.is_empty() {
                    tracing::warn!("{} has no entries", path.display());
                }
                site.plan.crons.extend(entries);
            }
            Err(lines) => {
                failed = true;
                lines.iter().for_each(|line| tracing::error!("{line}"));
            }
        }
    }
    if failed { Err(exit::CONFIG) } else { Ok(()) }
}

/// The crontab files of the plan that no file is fetched to: those are there before anything runs, or never.
pub fn of_image(plan: &Plan) -> impl Iterator<Item = &Path> {
    let fetched = |path: &&PathBuf| plan.files.iter().any(|file| file.path == **path);
    plan.crontabs.iter().filter(move |path| !fetched(path)).map(PathBuf::as_path)
}

/// The entries of one file, and notes on what is read otherwise than its author may expect.
///
/// # Errors
/// A line for each thing that is wrong, with its place.
pub fn read(path: &Path, zone: Option<&str>) -> Result<(Vec<CronPlan>, Vec<String>), Vec<String>> {
    read_from(path, path, zone)
}

/// As [`read`], with the text that is at `from` as yet.
fn read_from(
    path: &Path,
    from: &Path,
    zone: Option<&str>,
) -> Result<(Vec<CronPlan>, Vec<String>), Vec<String>> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        let why = crate::sys::words(&error);
        vec![format!("cannot read crontab {shown}: {why}: put it in the image, or take it out of crontabs")]
    };
    let text = files::read_configuration(from, MAX).map_err(unreadable)?;
    let (mut entries, notes) = crontab::plans(path, &text)
        .map_err(|errors| errors.iter().map(|error| format!("{shown}:{error}")).collect::<Vec<_>>())?;
    // A crond runs in the container's local time; a TZ that names no zone is the C library's own notation.
    let zone = zone.filter(|zone| Schedule::parse("@daily", Some(zone)).is_ok());
    for entry in entries.iter_mut().filter(|entry| entry.time_zone.is_none()) {
        entry.time_zone = zone.map(str::to_owned);
    }
    Ok((entries, notes.into_iter().map(|note| format!("{shown}:{}: {}", note.line, note.text)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> String {
        read(path, None).unwrap_err().concat()
    }

    #[test]
    fn what_cannot_be_read_whole_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(refused(&fifo).contains("not a regular file"));
        let large = directory.path().join("large");
        std::fs::write(&large, "# 45678\n".repeat(usize::try_from(MAX).unwrap() / 8)).unwrap();
        assert!(read(&large, None).unwrap().0.is_empty());
        std::fs::write(&large, "#".repeat(usize::try_from(MAX).unwrap() + 1)).unwrap();
        assert!(refused(&large).contains("larger than 1048576 bytes"));
        assert!(refused(&directory.path().join("none")).contains("no such file"));
    }
}
