//! Signals, ptrace, forks, sessions and daemons.

use super::{GENTLE, OF, ROLE, Tenant, is_asked};
use nix::sys::ptrace::{self, Options};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// So many children of one tenant, and processes of its user on the machine, which has others to serve.
const MOST: usize = 30;
const ALL: u64 = 300;

/// Takes a limit on, which everything that it starts has too.
pub fn limit() {
    let _ = setrlimit(Resource::RLIMIT_NPROC, ALL, ALL);
}

/// Every process but this one.
pub fn others() -> Vec<i32> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<i32> = pids.filter(|pid| *pid != me).collect();
    pids.sort_unstable();
    pids
}

/// Sends a signal to anybody; an empty name is one of several that are neither of these. init is never asked to stop,
/// which the same user may do.
pub fn signal(tenant: &mut Tenant, name: &str) -> io::Result<()> {
    let signal = match name {
        "STOP" => Signal::SIGSTOP,
        "CONT" => Signal::SIGCONT,
        "KILL" => Signal::SIGKILL,
        "TERM" => Signal::SIGTERM,
        _ => tenant.luck.pick(&[
            Signal::SIGHUP,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGCHLD,
            Signal::SIGSEGV,
            Signal::SIGTSTP,
            Signal::SIGABRT,
        ]),
    };
    let stops = matches!(signal, Signal::SIGSTOP | Signal::SIGTSTP);
    let signal = if stops && is_asked(GENTLE) { Signal::SIGCONT } else { signal };
    let mut pids = others();
    if signal == Signal::SIGTERM {
        pids.retain(|pid| *pid != 1);
    }
    if pids.is_empty() {
        return Ok(());
    }
    Ok(kill(Pid::from_raw(tenant.luck.pick(&pids)), signal)?)
}

/// Stops everything of its own user but itself, once.
pub fn freeze_all(tenant: &mut Tenant) {
    let mut stopped = 0;
    for pid in others().into_iter().filter(|pid| *pid != 1) {
        stopped += usize::from(kill(Pid::from_raw(pid), Signal::SIGSTOP).is_ok());
    }
    let refusal = (stopped == 0).then(|| io::Error::other("nobody could be stopped"));
    tenant.report.did("everything stopped", refusal.as_ref());
}

/// Traces somebody for a while: its parent is not told of its death meanwhile.
pub fn trace(tenant: &mut Tenant) -> io::Result<()> {
    let pids = others();
    if pids.is_empty() || is_asked(GENTLE) {
        return Ok(());
    }
    let pid = Pid::from_raw(tenant.luck.pick(&pids));
    ptrace::seize(pid, Options::empty())?;
    if tenant.luck.one_in(2) {
        let _ = kill(pid, Signal::SIGSTOP);
    }
    if tenant.luck.one_in(3) {
        let _ = kill(pid, Signal::SIGKILL);
    }
    std::thread::sleep(Duration::from_millis(tenant.luck.below(200)));
    // One that is not stopped cannot be detached from; it stays traced until this process ends.
    let _ = ptrace::detach(pid, None);
    Ok(())
}

fn shell(tenant: &mut Tenant, script: &str) -> io::Result<()> {
    if tenant.children.len() >= MOST {
        return Err(io::Error::other("enough for now"));
    }
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env(OF, format!("{}:{}", tenant.role.name(), tenant.incarnation));
    // Half of them hide what they are from whoever reads their environment.
    if tenant.luck.one_in(2) {
        command.env_clear();
        command.env("PATH", "/usr/bin:/bin");
    }
    tenant.children.push(command.spawn()?);
    Ok(())
}

/// Children that end at once, some of them orphaned.
pub fn forks(tenant: &mut Tenant) -> io::Result<()> {
    shell(tenant, "for n in 1 2 3 4 5 6 7 8 9 10; do sleep 0.0$n & done; (sleep 0.1 &)")
}

/// A descendant in a session of its own.
pub fn session(tenant: &mut Tenant) -> io::Result<()> {
    shell(tenant, "exec setsid sleep 60")
}

/// One that is nobody's child.
pub fn daemon(tenant: &mut Tenant) -> io::Result<()> {
    shell(tenant, "(setsid sh -c 'sleep 60 & sleep 60' &)")
}

/// Many that ignore TERM, in sessions of their own.
pub fn deaf(tenant: &mut Tenant) -> io::Result<()> {
    let count = 10 + tenant.luck.below(30);
    let script = format!(
        "trap '' TERM HUP INT; n=0; while [ $n -lt {count} ]; do setsid sleep 60 & n=$((n+1)); done; sleep 1"
    );
    shell(tenant, &script)
}

/// Forks again and again for some seconds, also while the container is stopped.
pub fn fork_loop(tenant: &mut Tenant) -> io::Result<()> {
    shell(
        tenant,
        "trap '' TERM HUP INT; setsid sh -c 'n=0; while [ $n -lt 150 ]; do sleep 0.02 & sleep 0.02; n=$((n+1)); done' &",
    )
}

/// Starts this program once more, in a session of its own and as nobody's child. For a boot step, which ends meanwhile.
pub fn become_daemon() {
    let program = std::env::current_exe().unwrap_or_else(|_| Path::new(super::PROGRAM).to_owned());
    let mut command = Command::new("setsid");
    command.arg("--fork").arg(program).args(std::env::args_os().skip(1)).env("TENANT_DAEMON", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "cannot leave a {ROLE} behind");
}
