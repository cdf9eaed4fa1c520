//! A file whose opening takes as long as the test wants: another process holds a write lease on it (fcntl(2),
//! F_SETLEASE) and does not give it up. The kernel gives up waiting after /proc/sys/fs/lease-break-time, 45 s.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What [`need`](crate::support::need) must grant.
pub const NEEDS: &[&str] = &["root", "unshare", "perl"];

/// While it lives, whoever opens the file waits.
pub struct Lease(Child);

impl Lease {
    pub fn on(path: &Path) -> Self {
        // 1024 is F_SETLEASE, 1 F_WRLCK. The kernel asks for the lease by SIGIO.
        let script = r#"$SIG{IO} = "IGNORE"; open(F, "+<", shift) or die $!; fcntl(F, 1024, 1) or die $!; $| = 1;
            print "held\n"; sleep 1000"#;
        let mut command = Command::new("perl");
        command.args(["-e", script]).arg(path).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n", "no leases on the file system of {}", path.display());
        Self(child)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
