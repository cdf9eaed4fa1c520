//! An idle container does not wake init.

use crate::container::{Container, NEEDS, PATIENCE, Place};
use crate::procs;
use crate::support::{eventually, need};
use std::time::{Duration, Instant};

/// How long nothing may happen. This is the one place where real seconds must pass.
const IDLE: Duration = Duration::from_secs(10);

fn three_idle_services_wake_nobody(place: Place) {
    if !need(NEEDS) {
        return;
    }
    let service = |name: &str| format!("[service.{name}]\ncommand = [\"sleep\", \"1000\"]\n");
    let config =
        format!("[health]\nlisten = \"@DIR/health.sock\"\n{}", ["a", "b", "c"].map(service).concat());
    let mut container = Container::new(&config).place(place).start();
    container.says("c: started", 1);
    // Quiet when nothing has happened for a second: start-grace is over by then.
    let mut last = (procs::switches(container.pid()), Instant::now());
    let quiet = eventually("init is quiet", PATIENCE, || {
        let now = procs::switches(container.pid());
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(1500)).then_some(now)
    });
    let began = Instant::now();
    eventually("ten idle seconds", IDLE * 2, || {
        assert_eq!(procs::switches(container.pid()), quiet, "after {:?}", began.elapsed());
        (began.elapsed() >= IDLE).then_some(())
    });
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn three_idle_services_wake_nobody_for_ten_seconds_as_pid_1() {
    three_idle_services_wake_nobody(Place::Pid1);
}

#[test]
fn three_idle_services_wake_nobody_for_ten_seconds_as_a_subreaper() {
    three_idle_services_wake_nobody(Place::Subreaper);
}
