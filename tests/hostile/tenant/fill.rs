//! File systems without room or inodes, for a moment; and what is left in a directory of the application's within root's.

use super::swap::{ROOTS, overwrite};
use super::{STORAGE, Tenant};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More than the volumes are given; /tmp, which is the machine's own disk, is left alone.
const BLOCKS: usize = 256;
const BLOCK: usize = 64 << 10;
const INODES: usize = 4000;
/// Deeper than a recursion that somebody limited.
const DEPTH: usize = 150;

fn volume(tenant: &mut Tenant) -> &'static Path {
    Path::new(tenant.luck.pick(&[ROOTS[0], STORAGE, ROOTS[2]]))
}

fn hold(tenant: &mut Tenant) {
    std::thread::sleep(Duration::from_millis(tenant.luck.below(300)));
}

/// Takes all the room.
pub fn blocks(tenant: &mut Tenant) -> io::Result<()> {
    let path = volume(tenant).join("ballast");
    let mut file = overwrite(&path)?;
    for _ in 0..BLOCKS {
        if file.write_all(&[b'x'; BLOCK]).is_err() {
            break;
        }
    }
    hold(tenant);
    fs::remove_file(path)
}

/// Takes all the room by a file in a generation of caches, or nests directories in it, and leaves it so: removing that is
/// init's business, before anything else needs the room.
pub fn generation(tenant: &mut Tenant) -> io::Result<()> {
    let all: Vec<PathBuf> =
        fs::read_dir("/opt/php/.generations")?.flatten().map(|entry| entry.path()).collect();
    if all.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut at = all[tenant.luck.index(all.len())].clone();
    if tenant.luck.one_in(2) {
        let mut file = overwrite(&at.join("filler"))?;
        for _ in 0..BLOCKS {
            if file.write_all(&[b'x'; BLOCK]).is_err() {
                break;
            }
        }
        return Ok(());
    }
    at.extend(["d"; DEPTH]);
    fs::create_dir_all(at)
}

/// Takes all the inodes.
pub fn inodes(tenant: &mut Tenant) -> io::Result<()> {
    let directory = volume(tenant).join("ballast.d");
    fs::create_dir_all(&directory)?;
    for number in 0..INODES {
        if File::create(directory.join(number.to_string())).is_err() {
            break;
        }
    }
    hold(tenant);
    fs::remove_dir_all(directory)
}
