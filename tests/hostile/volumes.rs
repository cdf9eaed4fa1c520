//! The volumes of the container: small file systems of the tenant's, root's files among them, and the secrets.

use crate::canary;
use crate::container::As;
use crate::luck::Luck;
use crate::manifest::{self, Entry, Manifest};
use crate::tenant::Role;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TENANT: u32 = 33;
const STRANGER: u32 = 5;

/// Directories of the application in its storage, which Laravel cannot do without.
const APPLICATION: [&str; 10] = [
    "app",
    "app/public",
    "app/private",
    "framework",
    "framework/cache",
    "framework/cache/data",
    "framework/sessions",
    "framework/testing",
    "framework/views",
    "logs",
];

const TOOL: &str = "#!/bin/sh\nexec sleep 0.2\n";

/// A secret, and who may know it.
pub struct Secret {
    pub canary: String,
    knows: fn(Role) -> bool,
}

pub struct Secrets(Vec<Secret>);

impl Secrets {
    pub fn new(luck: &mut Luck) -> Self {
        let nobody: fn(Role) -> bool = |_| false;
        let application: fn(Role) -> bool = |role| role != Role::Stranger;
        let everybody: fn(Role) -> bool = |_| true;
        let secrets = [
            // Of init's own environment.
            ("aws", nobody),
            ("token", nobody),
            ("laravel", nobody),
            // In files of root's.
            ("file", nobody),
            ("tls", nobody),
            // In files that init places for the application.
            ("env", application),
            ("account", application),
            ("decoy", everybody),
        ];
        let secret = |(name, knows)| Secret { canary: canary::make(name, luck), knows };
        Self(secrets.map(secret).into())
    }

    pub fn get(&self, name: &str) -> &str {
        &self.0.iter().find(|secret| canary::name(&secret.canary) == name).unwrap().canary
    }

    /// Whether this role may know it. One that was made for an earlier container is nobody's.
    pub fn may_know(&self, role: Role, canary: &str) -> bool {
        self.0.iter().any(|secret| secret.canary == canary && (secret.knows)(role))
    }

    /// Whether it may stand in the log.
    pub fn is_public(&self, canary: &str) -> bool {
        canary == self.get("decoy")
    }
}

pub struct Volumes {
    directory: PathBuf,
    root: Manifest,
    /// Root's directory in the storage: its inode, and what it was.
    private: (u64, Entry),
}

fn own(path: &Path, uid: u32, gid: u32, mode: u32) {
    chown(path, Some(uid), Some(gid)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn directory(path: &Path, uid: u32, mode: u32) {
    fs::create_dir_all(path).unwrap();
    own(path, uid, uid, mode);
}

fn file(path: &Path, text: &str, uid: u32, gid: u32, mode: u32) {
    fs::write(path, text).unwrap();
    own(path, uid, gid, mode);
}

const SMALL: [(&str, &str, u32); 3] = [("php", "4m", 600), ("storage", "8m", 1200), ("cache", "4m", 600)];

/// A file system of its own, in this thread's mount namespace.
fn mount(path: &Path, size: &str, inodes: u32) {
    fs::create_dir_all(path).unwrap();
    let options = format!("size={size},nr_inodes={inodes},mode=0755,uid={TENANT},gid={TENANT}");
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tenant"]).arg(path).status();
    assert!(status.unwrap().success(), "cannot mount {}", path.display());
}

impl Volumes {
    /// Fills the directory that has the volumes.
    pub fn new(directory: &Path, secrets: &Secrets, who: As) -> Self {
        // Without root, init reads its sources as the application's user, and everybody is that.
        let (reader, stranger) = if who == As::Root { (0, STRANGER) } else { (TENANT, TENANT) };
        let at = |path: &str| directory.join(path);
        for (volume, size, inodes) in SMALL {
            mount(&at(volume), size, inodes);
        }
        self::directory(&at("tmp"), 0, 0o1777);
        for (path, mode) in
            [("root", 0o755), ("root/dir", 0o755), ("root/private", 0o700), ("root/etc", 0o755)]
        {
            self::directory(&at("tmp").join(path), 0, mode);
        }
        let root = |name: &str| at("tmp/root").join(name);
        fs::copy(std::env::current_exe().unwrap(), root("tenant")).unwrap();
        own(&root("tenant"), 0, 0, 0o755);
        let example = fs::read_to_string(crate::support::repository("docker/app/.env.example")).unwrap();
        let env = format!("{example}APP_SECRET={}\n", secrets.get("env"));
        file(&root("env.source"), &env, 0, reader, 0o640);
        file(&root("account.source"), secrets.get("account"), 0, reader, 0o640);
        file(&root("tls.source"), secrets.get("tls"), 0, 0, 0o600);
        file(&root("secret"), secrets.get("file"), 0, 0, 0o600);
        file(&root("private/kept"), "kept", 0, 0, 0o600);
        file(&root("dir/kept"), "kept", 0, 0, 0o644);
        file(&root("etc/passwd"), "root:x:0:0::/:/bin/sh\n", 0, 0, 0o644);
        for (role, name) in Role::ALL {
            let uid = if role == Role::Stranger { stranger } else { TENANT };
            self::directory(&at("tmp/report"), 0, 0o755);
            self::directory(&at("tmp/report").join(name), uid, 0o700);
        }
        self::directory(&at("tmp/keeper"), TENANT, 0o755);
        let private = at("storage/root-private");
        self::directory(&private, 0, 0o700);
        file(&private.join("kept"), "kept", 0, 0, 0o600);
        let inode = private.metadata().unwrap().ino();
        let entry = manifest::entry(&private).unwrap();
        let root = manifest::of(&at("tmp/root"));
        let volumes = Self { directory: directory.to_owned(), root, private: (inode, entry) };
        volumes.heal();
        volumes
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// What was changed that is root's.
    pub fn damage(&self) -> Vec<String> {
        let mut all = manifest::differences(&self.root, &manifest::of(&self.path("tmp/root")));
        for path in manifest::walk(&self.path("storage")) {
            let Ok(data) = path.symlink_metadata() else { continue };
            if data.ino() == self.private.0 && data.is_dir() {
                let now = manifest::entry(&path).unwrap();
                if now != self.private.1 {
                    all.push(format!("{}, which was {}, is {now}", path.display(), self.private.1));
                }
            }
        }
        for volume in ["php", "storage", "cache", "tmp"] {
            for path in manifest::walk(&self.path(volume)) {
                let Ok(data) = path.symlink_metadata() else { continue };
                // A special file, or rights that are handed on with a file.
                if data.mode() & 0o6000 != 0 && !data.is_dir() {
                    all.push(format!("{} has mode {:o}", path.display(), data.mode()));
                }
            }
        }
        all
    }

    /// Mends what the application needs and its own user has broken, as whoever operates it would. What is init's own, such
    /// as names that it makes or looks at, stays as it is.
    pub fn heal(&self) {
        let storage = self.path("storage");
        // Room first: what tenants fill volumes with, and what they moved aside. In the state directory, which comes as the
        // application's, a neighbour may have done so before root's init took it over.
        for path in ["php", "storage", "cache"].iter().flat_map(|volume| manifest::walk(&self.path(volume))) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let inode = path.symlink_metadata().ok().map(|data| data.ino());
            let litter = name.starts_with("ballast") || name.starts_with(".x-");
            if litter && inode != Some(self.private.0) {
                remove(&path);
            }
        }
        for path in APPLICATION.map(|name| storage.join(name)) {
            let data = path.symlink_metadata().ok();
            let right = data.as_ref().is_some_and(|data| data.is_dir() && data.uid() == TENANT);
            if right {
                fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
                continue;
            }
            if data.is_some_and(|data| data.ino() == self.private.0) {
                remove(&storage.join("root-private"));
                fs::rename(&path, storage.join("root-private")).unwrap();
            }
            remove(&path);
            directory(&path, TENANT, 0o755);
        }
        // Whatever PHP would read, hang at or stumble over.
        let mut places = vec![self.path("cache")];
        places.extend(["framework", "logs"].map(|name| storage.join(name)));
        for path in places.iter().flat_map(|place| manifest::walk(place)) {
            let Ok(data) = path.symlink_metadata() else { continue };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let broken = match data.is_dir() {
                true => name.ends_with(".php") || name.starts_with(".x-"),
                false => !name.starts_with(".init-"),
            };
            if broken {
                remove(&path);
            }
        }
        own(&self.path("cache"), TENANT, TENANT, 0o755);
        for (name, text, mode) in [("tool", TOOL, 0o755), ("www-data", "* * * * * true\n", 0o644)] {
            let path = storage.join("app").join(name);
            remove(&path);
            file(&path, text, TENANT, TENANT, mode);
        }
        // What is placed there cannot replace a directory.
        let account = storage.join("app/account.json");
        if account.symlink_metadata().is_ok_and(|data| data.is_dir()) {
            remove(&account);
        }
    }
}

impl Drop for Volumes {
    /// So that the directory can be removed.
    fn drop(&mut self) {
        for (volume, ..) in SMALL {
            let _ = Command::new("umount").arg("--lazy").arg(self.path(volume)).status();
        }
    }
}

fn remove(path: &Path) {
    let Ok(data) = path.symlink_metadata() else { return };
    let removed = if data.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.unwrap_or_else(|error| panic!("cannot remove {}: {error}", path.display()));
}
