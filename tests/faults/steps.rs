//! Boot steps, fetches and migrations that are killed, in the boot and in a reload.

use crate::container::{Container, NEEDS, PATIENCE, kill};
use crate::lease::{self, Lease};
use crate::processes::{PLACES, no_zombie, stops, the};
use crate::support::need;
use std::fs;

#[test]
fn whoever_is_killed_during_the_boot_ends_it_with_a_code_and_leaves_nothing() {
    if !need(&[NEEDS, lease::NEEDS].concat()) {
        return;
    }
    let left = "sleep 1002 & setsid sleep 1003 & (setsid sleep 1004 &) ; exec sleep 1001";
    let step = format!("[[boot]]\nname = \"step\"\ncommand = [\"sh\", \"-c\", \"{left}\"]\n");
    let migration = format!("[migrate]\ncommand = [\"sh\", \"-c\", \"{left}\", \"--isolated=75\"]\n");
    let file = "[[file]]\nname = \"env\"\nsource = \"@DIR/source\"\npath = \".env\"\n".to_owned();
    for (config, arguments, victim, code) in [
        (step, &[][..], "sleep 1001", 137),
        (migration, &["--migrate"], "sleep 1001", 137),
        (file, &[], "fetch", 70),
    ] {
        for place in PLACES {
            let mut container = Container::new(&format!("{config}[service.web]\ncommand = [\"true\"]\n"))
                .place(place)
                .arguments(arguments);
            fs::write(container.file("source"), "A=b\n").unwrap();
            // Whoever opens it waits.
            let _lease = Lease::on(&container.file("source"));
            container = container.start();
            if code == 137 {
                for text in ["sleep 1001", "sleep 1002", "sleep 1003", "sleep 1004"] {
                    the(&container, text);
                }
            }
            kill(container.one(victim), "KILL");
            assert_eq!(container.wait(PATIENCE), code, "{place:?}");
            let log = container.log();
            assert!(log.contains("SIGKILL") && !log.contains("web: started"), "{log}");
            assert_eq!(container.survivors(), [""; 0], "{place:?}\n{log}");
        }
    }
}

#[test]
fn whoever_is_killed_during_a_reload_leaves_everything_as_it_was() {
    if !need(&[NEEDS, lease::NEEDS].concat()) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            stop-timeout = "4s"
            [[file]]
            source = "@DIR/source"
            path = "app.env"
            [[boot]]
            name = "step"
            command = ["@DIR/step"]
            [service.web]
            command = ["sleep", "1001"]
            "#,
        )
        .script("step", "#!/bin/sh\n[ -e @DIR/hang ] || exit 0\nsleep 1002 & exec sleep 1003\n")
        .place(place);
        fs::write(container.file("source"), "A=1\n").unwrap();
        container = container.start();
        let web = container.one("sleep 1001");
        for (round, victim) in ["sleep 1003", "fetch"].into_iter().enumerate() {
            fs::write(container.file("source"), "A=2\n").unwrap();
            fs::write(container.file("hang"), "").unwrap();
            let lease = (victim == "fetch").then(|| Lease::on(&container.file("source")));
            container.signal("HUP");
            let victim = if victim == "fetch" { container.one(victim) } else { the(&container, victim) };
            kill(victim, "KILL");
            container.says("everything stays as it was", round + 1);
            assert_eq!(container.text("state/app.env"), "A=1\n");
            assert_eq!(container.one("sleep 1001"), web);
            no_zombie(&container);
            drop(lease);
        }
        // And then it works.
        fs::remove_file(container.file("hang")).unwrap();
        container.signal("HUP");
        container.says("reloaded in", 1);
        assert_eq!(container.text("state/app.env"), "A=2\n");
        stops(container);
    }
}
