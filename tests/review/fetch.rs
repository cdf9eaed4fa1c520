//! The child that fetches, and who may look into it.

use crate::init::PATIENCE;
use crate::support::{eventually, init, need};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

#[test]
fn no_process_of_its_user_may_read_its_credentials() {
    if !need(&["root", "setpriv"]) {
        return;
    }
    let mut child = Command::new("setpriv")
        .args(["--reuid", "1000", "--regid", "1000", "--clear-groups"])
        .arg(init())
        .arg("fetch")
        .env_clear()
        .env("AWS_SECRET_ACCESS_KEY", "S3CR3T")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // proc(5): what is not dumpable belongs to root there.
    let environ = format!("/proc/{}/environ", child.id());
    eventually("it waits for its job, and is hidden", PATIENCE, || {
        let program = std::fs::read_link(format!("/proc/{}/exe", child.id())).ok()?;
        let hidden = std::fs::metadata(&environ).ok()?.uid() == 0;
        (program == init() && hidden).then_some(())
    });
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(70));
}
