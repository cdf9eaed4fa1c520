//! What becoming an init changes, and what must still work afterwards.

use crate::support::{Stage, code, is_root, play, role, user};
use php_init::sys::spawn::{Output, Stdin};
use php_init::sys::{fd, fd_out, init};
use std::io::Read;
use std::os::fd::AsFd as _;

const TEST: &str = "init::an_init_keeps_its_own_proc_as_any_user";

/// Not dumpable means that /proc/self belongs to root. Nothing that init does with its own may break, as root
/// and as a user.
#[test]
fn an_init_keeps_its_own_proc_as_any_user() {
    if role().is_some() {
        return inside();
    }
    let mut stage = Stage::new();
    let identities = if is_root() { vec![None, Some(user("1000:1000"))] } else { vec![None] };
    for identity in identities {
        let pipe = fd::pipe_cloexec().unwrap();
        if let Some(identity) = &identity {
            fd::fchown(&pipe.write, identity.uid, identity.gid).unwrap();
        }
        let mut command = play(TEST, "init");
        command.stdout = Output::Fd(pipe.write.try_clone().unwrap());
        command.stderr = Output::Fd(pipe.write);
        command.identity = identity;
        let pid = stage.spawn(&command);
        drop(command);
        let mut text = String::new();
        std::fs::File::from(pipe.read).read_to_string(&mut text).unwrap();
        assert_eq!(code(stage.wait(pid)), Some(0), "{text}");
        assert!(text.contains("written by the private description"), "{text}");
        assert!(text.contains("1 passed"), "a child of /proc/self/exe ran: {text}");
    }
}

fn inside() {
    if role().as_deref() == Some("again") {
        // The image of this process was found through /proc/self/exe after the change.
        return;
    }
    let mut stage = Stage::new();
    let became = init::become_init(true);
    assert_eq!((became.pid1, became.reaps_orphans, became.warnings.as_slice()), (false, true, [].as_slice()));
    assert!(!nix::sys::prctl::get_dumpable().unwrap());
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE).unwrap();
    assert_eq!(soft, 0);
    let private = fd_out::reopen(std::io::stdout().as_fd()).unwrap();
    fd::write(&private, b"written by the private description\n").unwrap();
    assert!(std::fs::read("/proc/self/stat").is_ok());
    assert!(php_init::sys::proc::Snapshot::take().is_ok());
    let _ = php_init::sys::cgroup::OomCounter::open();
    let mut command = play(TEST, "again");
    command.argv[0] = "/proc/self/exe".into();
    command.stdin = Stdin::Inherit;
    assert_eq!(code(stage.run(&command)), Some(0));
}

#[test]
fn inherited_descriptors_are_closed_in_children_that_keep_theirs() {
    if role().is_some() {
        let mut stage = Stage::new();
        init::become_init(true);
        let mut command = crate::support::sh("test -e /proc/$$/fd/7");
        command.keep_inherited = true;
        return assert_eq!(code(stage.run(&command)), Some(1));
    }
    let mut stage = Stage::new();
    let mut command = play("init::inherited_descriptors_are_closed_in_children_that_keep_theirs", "init");
    command.extra_fds = vec![(fd::dev_null().unwrap(), 7)];
    assert_eq!(code(stage.run(&command)), Some(0));
}

#[test]
fn the_oom_counter_is_there_where_the_kernel_has_one() {
    // Only that what is found can be read, twice: this machine may have no memory cgroup.
    if let Some(counter) = php_init::sys::cgroup::OomCounter::open() {
        let first = counter.read().unwrap();
        assert!(counter.read().unwrap() >= first);
    } else {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        assert!(!std::path::Path::new("/sys/fs/cgroup/memory.events").exists(), "{own}");
    }
}
