//! Who a child runs as: `/etc/passwd` and `/etc/group`, parsed without NSS.
//!
//! libc is not asked: a static binary has no NSS modules, and the same image must give the same answer on Debian and Alpine.
//! `crate::files` reads the two files. There is no cache: init reads them once at boot.
//!
//! A user is written `name`, `name:group`, `uid`, `uid:gid` or a mixture. The rules, where writings differ:
//! - a name that consists of digits wins over the id (as chown(1) has it);
//! - without a group the user gets its primary group and every group that lists it as a member;
//! - with an explicit group it gets that group alone, as Docker's `--user name:group` does;
//! - an id without an entry is allowed. Its group is then the same number, not 0 as in Docker: a child that
//!   drops root's rights must not keep root's group by omission.
//! - `root` is known even where there is no `/etc/passwd` at all (an image made `FROM scratch`).

use super::words;
use crate::typo::distance;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

pub(crate) const PASSWD: &str = "/etc/passwd";
pub(crate) const GROUP: &str = "/etc/group";

/// The ids of a process, and what `/etc/passwd` says about its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, ascending. May contain `gid`.
    pub groups: Vec<u32>,
    /// `None`: an id without an entry.
    pub name: Option<String>,
    pub home: Option<PathBuf>,
    pub shell: Option<PathBuf>,
}

impl Identity {
    /// It is uid 0.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// A process of `other` needs no change of ids to become this one.
    pub fn same_ids(&self, other: &Self) -> bool {
        let groups = |identity: &Self| {
            let mut all: BTreeSet<u32> = identity.groups.iter().copied().collect();
            all.insert(identity.gid);
            all
        };
        self.uid == other.uid && self.gid == other.gid && groups(self) == groups(other)
    }
}

/// The user's name, or its number.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.uid),
        }
    }
}

/// Why a user cannot be looked up.
#[derive(Debug)]
pub enum UsersError {
    /// There is no such user; `nearest` is one whose name is almost the same.
    UnknownUser { name: String, nearest: Option<String> },
    /// As above, for a group.
    UnknownGroup { name: String, nearest: Option<String> },
    /// It is not a user at all: empty, two colons, an id above 2^32-2.
    Malformed { text: String },
    /// The file is there and cannot be read.
    Read { path: PathBuf, source: io::Error },
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown =
            |f: &mut fmt::Formatter<'_>, kind: &str, name: &str, file: &str, near: &Option<String>| {
                write!(f, "{kind} {name:?} is not in {file}")?;
                match near {
                    Some(near) => write!(f, ", did you mean {near:?}?"),
                    None => write!(f, ": create it in the image, or give its number"),
                }
            };
        match self {
            Self::UnknownUser { name, nearest } => unknown(f, "user", name, PASSWD, nearest),
            Self::UnknownGroup { name, nearest } => unknown(f, "group", name, GROUP, nearest),
            Self::Malformed { text } => {
                write!(
                    f,
                    "{text:?} is not a user: write name, name:group, uid or uid:gid (ids up to 4294967294)"
                )
            }
            Self::Read { path, source } => write!(f, "cannot read {}: {}", path.display(), words(source)),
        }
    }
}

impl std::error::Error for UsersError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
    shell: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// The users and groups of this container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    users: Vec<User>,
    groups: Vec<Group>,
}

impl Users {
    /// Pure over the two files' text. Lines that are no entries (comments, NIS's `+`) are passed over, as
    /// libc does.
    pub fn parse(passwd: &str, group: &str) -> Self {
        let mut users: Vec<User> = passwd.lines().filter_map(user).collect();
        if !users.iter().any(|user| user.name == "root") && !users.iter().any(|user| user.uid == 0) {
            users.push(User {
                name: "root".into(),
                uid: 0,
                gid: 0,
                home: "/root".into(),
                shell: "/bin/sh".into(),
            });
        }
        Self { users, groups: group.lines().filter_map(parse_group).collect() }
    }

    /// Looks up `name`, `name:group`, `uid` or `uid:gid`.
    pub fn find(&self, text: &str) -> Result<Identity, UsersError> {
        let malformed = || UsersError::Malformed { text: text.to_owned() };
        let (user, group) = match text.split_once(':') {
            Some((_, group)) if group.is_empty() || group.contains(':') => return Err(malformed()),
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        if user.is_empty() {
            return Err(malformed());
        }
        let mut identity = self.find_user(user)?.ok_or_else(malformed)?;
        match group {
            Some(group) => {
                identity.gid = self.find_group(group)?.ok_or_else(malformed)?;
                identity.groups = vec![identity.gid];
            }
            None => identity.groups = self.groups_of(&identity),
        }
        Ok(identity)
    }

    /// What is known of a uid, with the given primary and supplementary groups.
    pub fn of_ids(&self, uid: u32, gid: u32, groups: Vec<u32>) -> Identity {
        let user = self.users.iter().find(|user| user.uid == uid);
        Identity {
            uid,
            gid,
            groups,
            name: user.map(|user| user.name.clone()),
            home: user.map(|user| user.home.clone()),
            shell: user.map(|user| user.shell.clone()),
        }
    }

    /// `Ok(None)`: a number that is no uid.
    fn find_user(&self, text: &str) -> Result<Option<Identity>, UsersError> {
        if let Some(user) = self.users.iter().find(|user| user.name == text) {
            return Ok(Some(self.of_ids(user.uid, user.gid, Vec::new())));
        }
        if !is_number(text) {
            let names = self.users.iter().map(|user| user.name.as_str());
            return Err(UsersError::UnknownUser { name: text.to_owned(), nearest: nearest(text, names) });
        }
        Ok(id(text).map(|uid| {
            let gid = self.users.iter().find(|user| user.uid == uid).map_or(uid, |user| user.gid);
            self.of_ids(uid, gid, Vec::new())
        }))
    }

    /// `Ok(None)`: a number that is no gid.
    fn find_group(&self, text: &str) -> Result<Option<u32>, UsersError> {
        if let Some(group) = self.groups.iter().find(|group| group.name == text) {
            return Ok(Some(group.gid));
        }
        if !is_number(text) {
            let names = self.groups.iter().map(|group| group.name.as_str());
            return Err(UsersError::UnknownGroup { name: text.to_owned(), nearest: nearest(text, names) });
        }
        Ok(id(text))
    }

    /// The primary group and all that list the user, as initgroups(3) has it.
    fn groups_of(&self, identity: &Identity) -> Vec<u32> {
        let listed = self.groups.iter().filter(|group| {
            identity.name.as_ref().is_some_and(|name| group.members.iter().any(|member| member == name))
        });
        let all: BTreeSet<u32> = listed.map(|group| group.gid).chain([identity.gid]).collect();
        all.into_iter().collect()
    }
}

/// Who init itself runs as.
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// `name:password:uid:gid:full name:home:shell`, passwd(5).
fn user(line: &str) -> Option<User> {
    let mut fields = line.trim().split(':');
    let name = entry_name(fields.next()?)?;
    let (uid, gid) = (id(fields.nth(1)?)?, id(fields.next()?)?);
    let home = fields.nth(1).unwrap_or_default();
    // "If this field is empty, it defaults to /bin/sh": passwd(5).
    let shell = fields.next().filter(|shell| !shell.is_empty()).unwrap_or("/bin/sh");
    Some(User {
        name,
        uid,
        gid,
        home: if home.is_empty() { "/".into() } else { home.into() },
        shell: shell.into(),
    })
}

/// `name:password:gid:member,member`, group(5).
fn parse_group(line: &str) -> Option<Group> {
    let mut fields = line.trim().split(':');
    let name = entry_name(fields.next()?)?;
    let gid = id(fields.nth(1)?)?;
    let members = fields.next().unwrap_or_default().split(',').map(str::trim);
    Some(Group { name, gid, members: members.filter(|name| !name.is_empty()).map(Into::into).collect() })
}

fn entry_name(field: &str) -> Option<String> {
    (!field.is_empty() && !field.starts_with(['#', '+', '-'])).then(|| field.to_owned())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A uid or gid. 2^32-1 is -1, which the kernel reads as "leave it as it is".
fn id(text: &str) -> Option<u32> {
    if !is_number(text) {
        return None;
    }
    text.parse().ok().filter(|id| *id != u32::MAX)
}

/// The name that is at most two typing errors away, if there is one.
fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let allowed = if text.chars().count() < 5 { 1 } else { 2 };
    names
        .map(|name| (distance(text, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests;
