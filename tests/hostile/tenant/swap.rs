//! Files and directories that are replaced by something that is not what init expects there.

use super::{STORAGE, Tenant};
use crate::luck::Luck;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Where a tenant may write anything at all.
pub const ROOTS: [&str; 4] = ["/opt/php", STORAGE, "/var/www/html/bootstrap/cache", "/tmp"];

/// What belongs to the test itself.
const SPARED: [&str; 4] = ["/tmp/root", "/tmp/report", "/tmp/phase", "/tmp/keeper"];

/// Files of root's, some of which are not there yet.
const ROOTS_FILES: [&str; 6] = [
    "/tmp/root/etc/ld.so.preload",
    "/tmp/root/etc/passwd",
    "/tmp/root/secret",
    "/tmp/root/dir",
    "/tmp/root/private",
    "/tmp/root/dir/new",
];

const KERNELS_FILES: [&str; 7] =
    ["/dev/zero", "/dev/full", "/dev/ptmx", "/proc/self/mem", "/proc/self/fd/0", "/proc/1/environ", "loop"];

/// As a shell script and as a PHP-FPM configuration: whoever runs it as root leaves a file where only root can.
const SCRIPT: &str = "#!/bin/sh\n: >\"/tmp/root/run-as-root-$$\"\nexec sleep 0.1\n";
const POOL: &str = "[global]\nerror_log = /tmp/root/etc/error.log\ndaemonize = no\n[www]\nuser = www-data\n\
    group = www-data\nlisten = 127.0.0.1:9000\npm = static\npm.max_children = 1\n\
    access.log = /tmp/root/etc/ld.so.preload\nslowlog = /tmp/root/etc/slow\n";
const PHP: &str = "<?php @file_put_contents('/tmp/root/run-as-root-by-php', 'x'); return [];\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    RootLink,
    KernelLink,
    Fifo,
    Device,
    Socket,
    Huge,
    Directory,
    HardLink,
    Poison,
}

/// Puts something of this kind in the place of anything.
pub fn put(tenant: &mut Tenant, kind: Kind) -> io::Result<()> {
    let path = any(&mut tenant.luck);
    put_at(tenant, kind, &path)
}

/// Puts something of this kind at a path, whatever is there.
pub fn put_at(tenant: &mut Tenant, kind: Kind, path: &Path) -> io::Result<()> {
    let beside = beside(path, &mut tenant.luck);
    if let Some(parent) = path.parent() {
        let _ = fs::create_dir_all(parent);
    }
    make(kind, &beside, path, &mut tenant.luck)?;
    // One of them may be a directory, or the earlier thing worth keeping.
    let exchange = path.symlink_metadata().is_ok();
    let renamed = if exchange { self::exchange(&beside, path) } else { fs::rename(&beside, path) };
    match renamed {
        Ok(()) if exchange => tenant.swapped.push((path.to_owned(), beside)),
        Ok(()) => {}
        Err(error) => {
            remove(&beside);
            return Err(error);
        }
    }
    Ok(())
}

/// Lets something that was replaced have its place again, or removes it for good.
pub fn put_back(tenant: &mut Tenant) -> io::Result<()> {
    if tenant.swapped.is_empty() {
        return Ok(());
    }
    let at = tenant.luck.index(tenant.swapped.len());
    let (path, beside) = tenant.swapped.swap_remove(at);
    let outcome = if tenant.luck.one_in(4) { Ok(()) } else { exchange(&beside, &path) };
    remove(&beside);
    outcome
}

pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)?)
}

fn remove(path: &Path) {
    let is_directory = path.symlink_metadata().is_ok_and(|data| data.is_dir());
    // What cannot be removed is litter for the next boot.
    let _ = if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

fn beside(path: &Path, luck: &mut Luck) -> PathBuf {
    path.with_file_name(format!(".x-{:08x}", luck.next() as u32))
}

fn make(kind: Kind, at: &Path, path: &Path, luck: &mut Luck) -> io::Result<()> {
    match kind {
        Kind::RootLink => symlink(luck.pick(&ROOTS_FILES), at),
        // A link to itself, once it is there.
        Kind::KernelLink => match luck.pick(&KERNELS_FILES) {
            "loop" => symlink(path, at),
            file => symlink(file, at),
        },
        Kind::Fifo => Ok(nix::unistd::mkfifo(at, Mode::from_bits_truncate(luck.pick(&[0o666, 0o777])))?),
        Kind::Device => {
            let number = luck.pick(&[makedev(1, 5), makedev(5, 0), makedev(1, 3)]);
            Ok(mknod(at, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), number)?)
        }
        Kind::Socket => UnixListener::bind(at).map(drop),
        Kind::Huge => File::create(at)?.set_len(64 << 30),
        Kind::Directory => {
            fs::create_dir(at)?;
            fs::create_dir(at.join("x"))?;
            fs::write(at.join("x/y"), "")
        }
        Kind::HardLink => fs::hard_link(luck.pick(&["/tmp/root/secret", "/tmp/root/etc/passwd"]), at),
        Kind::Poison => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = match name.rsplit_once('.').map(|(_, end)| end) {
                Some("conf") => POOL,
                Some("php") => PHP,
                _ => SCRIPT,
            };
            fs::write(at, text)?;
            fs::set_permissions(at, fs::Permissions::from_mode(luck.pick(&[0o755, 0o666, 0o000])))
        }
    }
}

/// What PHP-FPM's master, which is root's, reads.
pub fn poison_fpm(tenant: &mut Tenant) -> io::Result<()> {
    let path = Path::new("/opt/php/php-fpm.fpm.conf");
    if tenant.luck.one_in(2) {
        return put_at(tenant, Kind::Poison, path);
    }
    // In its place, without another inode.
    overwrite(path)?.write_all(POOL.as_bytes())
}

/// Opens a file for writing, without hanging at a FIFO that another tenant has put there.
pub fn overwrite(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NONBLOCK;
    File::options().write(true).create(true).truncate(true).custom_flags(flags).open(path)
}

/// Names that init makes or looks at, with what hangs whoever opens it.
pub fn fifo_at_own_name(tenant: &mut Tenant) -> io::Result<()> {
    let luck = &mut tenant.luck;
    let number = luck.below(4) + 1;
    let path = match luck.below(8) {
        0 => format!("/opt/php/.init-reload-{number}/.lock"),
        1 => format!("/opt/php/.generations/{number}/.lock"),
        2 => format!("{STORAGE}/app/.init-reload-{number}/.lock"),
        3 => "/opt/php/php-fpm.fpm.conf".into(),
        4 => format!("{STORAGE}/app/tool"),
        5 => format!("{STORAGE}/app/www-data"),
        6 => format!("{STORAGE}/app/account.json"),
        _ => format!("{STORAGE}/app/.account.json.init-{number:016x}"),
    };
    put_at(tenant, Kind::Fifo, Path::new(&path))
}

/// The names that a probe for writing would take, in one directory.
pub fn probe_names(tenant: &mut Tenant) -> io::Result<()> {
    let directory = tenant.luck.pick(&["/opt/php", "/tmp", STORAGE, "/var/www/html/bootstrap/cache"]);
    for number in 0..16 {
        let path = Path::new(directory).join(format!(".init-probe-1-{number}"));
        match File::create_new(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A directory of the plan that leads to one of root's.
pub fn link_directory(tenant: &mut Tenant) -> io::Result<()> {
    let name = tenant.luck.pick(&["logs", "app", "framework", "framework/views", "app/public"]);
    put_at(tenant, Kind::RootLink, &Path::new(STORAGE).join(name))
}

/// Something that is there, or a name that init is known to use.
fn any(luck: &mut Luck) -> PathBuf {
    let known = [
        "/opt/php/.env",
        "/opt/php/init.sock",
        "/opt/php/tls",
        "/opt/php/tls/key.pem",
        "/opt/php/php-fpm.fpm.conf",
        "/opt/php/.generations",
        "/opt/php/.init-reload-1",
        "/tmp/.init-probe-1-0",
        "/var/www/html/storage/app/health.sock",
        "/var/www/html/storage/app/account.json",
        "/var/www/html/storage/app/tool",
        "/var/www/html/storage/logs/laravel.log",
        "/var/www/html/bootstrap/cache/config.php",
    ];
    if luck.one_in(2) {
        return luck.pick(&known).into();
    }
    let there = places(400);
    if there.is_empty() { luck.pick(&known).into() } else { luck.pick(&there) }
}

/// What is in the directories that a tenant may write, up to a number of them.
pub fn places(most: usize) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut directories: Vec<PathBuf> = ROOTS.iter().map(PathBuf::from).collect();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if SPARED.iter().any(|spared| path.starts_with(spared)) || found.len() >= most {
                continue;
            }
            // Without following links, which lead to all of /proc.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                directories.push(path.clone());
            }
            found.push(path);
        }
    }
    // The order of a directory is not the seed's.
    found.sort();
    found
}
