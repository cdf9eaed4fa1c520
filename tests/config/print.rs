//! What is printed loads back to the same plan, and shows no secret.

use crate::support::{Lookup, layers_of, no_env, plan_for, show};
use php_init::config::plan::Plan;
use php_init::config::{print, resolve};

/// Prints the plan of `text`, loads what was printed, and compares.
fn round_trip(text: &str, env: Lookup<'_>, role: Option<&str>) -> String {
    let layers = layers_of(text, env).unwrap();
    let plan = resolve(&layers, env, role).unwrap_or_else(|errors| panic!("{}", show(&errors)));
    let as_written = resolve::as_written(&layers, env, role).unwrap();
    let printed = print::print(&as_written, &plan);
    let again = plan_for(&printed, env, None);
    // These two tell how the plan came to be, not what it is.
    let plan = Plan { preset: "none".into(), role: None, ..plan };
    assert_eq!(again, plan, "{printed}");
    printed
}

fn full_env(name: &str) -> Option<String> {
    let value = match name {
        "CONFIG_BUCKET" => "bucket",
        "QUEUE_WORKERS" => "3",
        "QUEUE_NAMES" => "high,low",
        "DB_PASSWORD" => "pa$$w\"ord${X}",
        "NAME" => "zoë",
        "SPACED" => " a\tb ",
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn presets_load_back() {
    for preset in ["laravel", "wordpress", "php", "none"] {
        for role in [None, Some("web"), Some("web,scheduler")] {
            if preset == "none" && role.is_some() || preset == "php" && role == Some("web,scheduler") {
                continue;
            }
            round_trip(&format!("preset = '{preset}'"), &no_env, role);
            round_trip(&format!("preset = '{preset}'"), &full_env, role);
        }
    }
}

#[test]
fn the_reference_loads_back() {
    let reference = include_str!("../../config/reference.toml");
    let printed = round_trip(reference, &no_env, None);
    for (key, _) in reference
        .lines()
        .filter(|line| !line.starts_with(['#', '[']))
        .filter_map(|line| line.split_once(" = "))
    {
        // Decided by now: entries that are off are gone, roles are chosen, names of files are for layering.
        if !matches!(key, "enabled" | "roles") {
            assert!(printed.contains(&format!("{key} = ")), "{key} is missing in\n{printed}");
        }
    }
}

#[test]
fn odd_texts_load_back() {
    let text = r#"
        preset = "none"
        user = "${NAME}"
        state-dir = "/a$$b/${NAME}$c"
        env = { "A.B" = "1", P = "${DB_PASSWORD}", Q = "it's \"q\" \\ \n $$x $y ${SPACED}", R = '''a'b"c''' }
        [service.a]
        command = ["sh", "-c", "echo $HOME $${HOME} \u00e9 \"${SPACED}\"", ""]
        env = { DB_PASSWORD = "${DB_PASSWORD:?}" }
        essential = true
        give-up = "none"
        [service.b]
        command = ["b", "${MISSING:-}"]
        requires = ["a"]
        ready = { tcp = "[::1]:80", interval = "1h30m5ms", successes = 2 }
        live = { http = "http://unix:/run/a$$b.sock:/x?y=z", status = "200,204-299", failures = 7 }
        [service.probed]
        command = ["c"]
        ready = { command = ["sh", "-c", "echo $HOME ${SPACED}"], timeout = "3s" }
        live = { notify = "watchdog", interval = "1m", successes = 3 }
        [service.tells]
        command = ["d"]
        ready = { notify = "socket" }
        live = { http = "http://localhost", host = "www.example.com" }
        [service.feeds]
        command = ["e"]
        ready = { notify-fd = 9 }
        stop-timeout = "1s"
        stop-signal = "RTMIN+3"
        umask = "0"
        on-stall = "drop"
        [cron."c.d"]
        schedule = "@hourly"
        command = ["c"]
        timeout = "1m"
        jitter = "3s"
        overlap = "replace"
        [migrate]
        command = ["m", "--isolated=${MISSING:-80}"]
        timeout = "5m"
        [[file]]
        source = "file:///a b"
        path = "${NAME}"
        mode = "0600"
        endpoint = "https://${NAME}"
        max-size = 1001
        path-style = false
    "#;
    round_trip(text, &full_env, None);
}

#[test]
fn secrets_are_not_printed() {
    let text = r#"
        preset = "none"
        env = { DB_PASSWORD = "literal-secret", API_KEY = "${API_KEY:-default-secret}", URL = "x://${DB_PASSWORD}@h" }
        [service.a]
        command = ["a", "--password=${DB_PASSWORD}"]
        env = { TOKEN = "${DB_PASSWORD}" }
    "#;
    let layers = layers_of(text, &full_env).unwrap();
    let plan = resolve(&layers, &full_env, None).unwrap();
    assert_eq!(plan.services[0].command[1], "--password=pa$$w\"ord${X}");
    let printed = print::print(&resolve::as_written(&layers, &full_env, None).unwrap(), &plan);
    for secret in ["literal-secret", "default-secret", "pa$$w"] {
        assert!(!printed.contains(secret), "{secret} in\n{printed}");
    }
    assert!(printed.contains(r#"TOKEN = "${DB_PASSWORD}""#), "{printed}");
    // What was hidden does not load silently as something else.
    let layers = layers_of(&printed, &no_env).unwrap();
    let said = show(&resolve(&layers, &no_env, None).unwrap_err());
    assert!(said.contains("DB_PASSWORD is not set: is not printed, since it looks like a secret"), "{said}");
}

#[test]
fn debug_shows_no_value_of_a_variable() {
    let text = r#"
        preset = "none"
        env = { TOP_TOKEN = "${SECRET}" }
        [[file]]
        source = "s3://${SECRET}/.env"
        path = "/a"
        endpoint = "https://me:${SECRET}@storage"
        [[boot]]
        name = "seed"
        command = ["boot-program", "${SECRET}"]
        env = { BOOT_TOKEN = "${SECRET}" }
        [migrate]
        command = ["migrate-program", "--password=${SECRET}", "--isolated=75"]
        env = { MIGRATE_TOKEN = "${SECRET}" }
        [service.a]
        command = ["service-program", "-p", "${SECRET}"]
        env = { SERVICE_TOKEN = "${SECRET}" }
        [cron.b]
        schedule = "@daily"
        command = ["cron-program", "x${SECRET}"]
        env = { CRON_TOKEN = "${SECRET}" }
    "#;
    let env = |name: &str| (name == "SECRET").then(|| "hunter2".to_owned());
    let plan = plan_for(text, &env, None);
    assert_eq!(plan.services[0].command[2], "hunter2");
    let layers = layers_of(text, &env).unwrap();
    for shown in [format!("{plan:?}"), format!("{plan:#?}"), format!("{layers:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let shown = format!("{plan:?}");
    for kept in [
        "TOP_TOKEN",
        "BOOT_TOKEN",
        "MIGRATE_TOKEN",
        "SERVICE_TOKEN",
        "CRON_TOKEN",
        "s3://***",
        "endpoint: Some(***)",
        "command: [\"service-program\", ***, ***]",
        "cron-program",
    ] {
        assert!(shown.contains(kept), "{kept} is not in {shown}");
    }
}
