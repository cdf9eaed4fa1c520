//! File systems without room or inodes, for a moment.

use super::swap::{ROOTS, overwrite};
use super::{STORAGE, Tenant};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

/// More than the volumes are given; /tmp, which is the machine's own disk, is left alone.
const BLOCKS: usize = 256;
const BLOCK: usize = 64 << 10;
const INODES: usize = 4000;

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
