//! Where the system refuses: init says what and why, ends with a code of its table, and never hangs or panics.

use crate::harness::{NEEDS, PLACES, Setup};
use crate::support::need;

#[test]
fn without_the_right_to_change_users_it_says_so() {
    if !need(&["root", "unshare", "setpriv"]) {
        return;
    }
    for place in PLACES {
        for dropped in ["--bounding-set=-all", "--bounding-set=-setuid,-setgid"] {
            let wrapper = ["setpriv", dropped, "--inh-caps=-all"];
            let setup = Setup::new(place, "user = \"www-data\"\n").through(&wrapper);
            setup.sh("id").expect(71).says(&["cannot run anything as www-data", "SETUID", "--user 33:33"]);
            // Without a user there is nothing to change.
            let setup = Setup::new(place, "writable = [\"/tmp\"]\n").through(&wrapper);
            assert_eq!(setup.sh("id -u").expect(0).stdout, "0\n");
        }
    }
}

#[test]
fn without_a_process_to_be_had_it_is_71() {
    if !need(&["root", "unshare", "setpriv", "prlimit"]) {
        return;
    }
    for place in PLACES {
        // A user of this test's own: the limit counts all of the user's processes, wherever they are.
        let uid = 100_000 + std::process::id();
        let (user, group) = (format!("--reuid={uid}"), format!("--regid={uid}"));
        let wrapper = ["setpriv", &user, &group, "--clear-groups", "prlimit", "--nproc=1"];
        let setup = Setup::new(place, "").through(&wrapper);
        setup
            .sh("exit 0")
            .expect(71)
            .says(&["the configuration: cannot start a thread for files", "limit of processes"]);
    }
}

#[test]
fn with_few_descriptors_it_works_or_says_why() {
    if !need(&["root", "unshare", "prlimit"]) {
        return;
    }
    for place in PLACES {
        let mut worked = false;
        for limit in 4..24 {
            let limit = format!("--nofile={limit}");
            let setup = Setup::new(place, "user = \"www-data\"\n").through(&["prlimit", &limit]);
            let done = setup.sh("exit 42");
            match done.code {
                42 => worked = true,
                // 78: the configuration cannot be read. 127: not even the C library.
                71 | 78 | 127 => assert!(!worked && !done.stderr.contains("panic"), "{limit}: {done:?}"),
                _ => panic!("{limit}: {done:?}"),
            }
        }
        assert!(worked);
    }
}

#[test]
fn a_user_that_nobody_knows_by_name_has_no_home_of_roots() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "user = \"4242:4243\"\n").env("HOME", "/root");
        assert_eq!(setup.sh("id -u; id -G; echo $HOME").expect(0).stdout, "4242\n4243\n/\n");
    }
}
