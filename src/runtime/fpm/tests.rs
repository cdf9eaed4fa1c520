use super::super::env::Variables;
use super::*;
use std::fs;
use std::time::Duration;

fn plan() -> FpmPlan {
    FpmPlan {
        config: None,
        process_control_timeout: Duration::from_secs(20),
        ping_path: "/-/fpm-ping".into(),
        status_path: "/-/fpm-status".into(),
        status_socket: false,
    }
}

#[test]
fn pools_are_found_through_includes_and_the_last_timeout_wins() {
    let dir = tempfile::tempdir().unwrap();
    let pools = dir.path().join("d");
    fs::create_dir(&pools).unwrap();
    let main = dir.path().join("main.conf");
    fs::write(&main, format!("[global]\ninclude={}/*.conf\n", pools.display())).unwrap();
    fs::write(pools.join("a.conf"), "; [not]\n[www]\nlisten = 9000\n[api]\n").unwrap();
    fs::write(
        pools.join("z.conf"),
        "[global]\nprocess_control_timeout = \"3s\" ; short\n[www]\nlisten = /run/fpm.sock\n",
    )
    .unwrap();
    fs::write(pools.join("z.conf.bak"), "[old]\n").unwrap();
    let found = scan(&main, &[], &Variables::new());
    assert_eq!(found.pools.iter().map(String::as_str).collect::<Vec<_>>(), ["api", "www"]);
    assert_eq!(found.process_control_timeout, Some(("3s".into(), "3s".into())));
    assert_eq!(found.listens.get("www").map(String::as_str), Some("/run/fpm.sock"));
}

#[test]
fn a_file_that_includes_itself_ends() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("main.conf");
    fs::write(&main, format!("[www]\ninclude={}\n", main.display())).unwrap();
    assert_eq!(scan(&main, &[], &Variables::new()).pools.len(), 1);
}

#[test]
fn a_listen_address_is_made_one_to_connect_to() {
    for (listen, address) in [
        ("9000", "127.0.0.1:9000"),
        ("0.0.0.0:9001", "127.0.0.1:9001"),
        ("[::]:9000", "127.0.0.1:9000"),
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("/run/php/fpm.sock", "/run/php/fpm.sock"),
    ] {
        assert_eq!(reachable(listen), address);
    }
}

#[test]
fn only_variables_that_exist_are_passed() {
    let found = Scan { pools: ["www".to_owned()].into(), ..Scan::default() };
    let keys = ["APP_ENV_PATH", "UNSET", "BAD-NAME"];
    let text = render(
        ("php-fpm", Path::new("/s")),
        &plan(),
        Path::new("/m.conf"),
        &found,
        keys.into_iter(),
        |name| ["APP_ENV_PATH", "AWS_REGION", "BAD-NAME"].contains(&name),
        |_| None,
    );
    assert!(text.contains("env[APP_ENV_PATH] = $APP_ENV_PATH\nenv[AWS_REGION] = $AWS_REGION\n"), "{text}");
    assert!(!text.contains("UNSET") && !text.contains("BAD-NAME"), "{text}");
    assert!(text.contains("env[INIT_INSTANCE] = $INIT_INSTANCE\n"), "{text}");
    assert!(text.ends_with("[global]\ninclude = /m.conf\n"), "{text}");
}

#[test]
fn what_a_running_master_does_not_have_is_written_out() {
    let found = Scan { pools: ["www".to_owned()].into(), ..Scan::default() };
    let keys = ["CACHE", "OLD"].into_iter();
    let value = |name: &str| (name == "CACHE").then(|| "/g/2/config.php".to_owned());
    let has = |name: &str| name != "AWS_REGION";
    let text = render(("f", Path::new("/s")), &plan(), Path::new("/m.conf"), &found, keys, has, value);
    assert!(
        text.contains("env[CACHE] = \"/g/2/config.php\"\n") && text.contains("env[OLD] = $OLD\n"),
        "{text}"
    );
}

#[test]
fn status_pages_are_where_the_image_or_the_drop_in_puts_them() {
    let pairs =
        |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let found = Scan {
        pools: ["api", "www"].map(str::to_owned).into(),
        listens: pairs(&[("www", "9000"), ("api", "/run/api.sock")]),
        status_paths: pairs(&[("api", "/s/api")]),
        ..Scan::default()
    };
    let pages = |plan: &FpmPlan, dir: Option<&str>| -> Vec<(String, String)> {
        let pages = status_pages("php-fpm", plan, &found, dir.map(Path::new));
        pages.into_iter().map(|page| (page.address, page.path)).collect()
    };
    let own = ("/run/api.sock".to_owned(), "/s/api".to_owned());
    let added = ("127.0.0.1:9000".to_owned(), "/-/fpm-status".to_owned());
    assert_eq!(pages(&plan(), None), std::slice::from_ref(&own));
    assert_eq!(pages(&plan(), Some("/s")), [own.clone(), added.clone()]);
    let sockets = FpmPlan { status_socket: true, ..plan() };
    let addresses: Vec<String> = pages(&sockets, Some("/s")).into_iter().map(|page| page.0).collect();
    assert_eq!(addresses, ["/s/php-fpm.api.status.sock", "/s/php-fpm.www.status.sock"]);
    let text = render(
        ("php-fpm", Path::new("/s")),
        &sockets,
        Path::new("/m"),
        &found,
        [].into_iter(),
        |_| false,
        |_| None,
    );
    assert!(text.contains("[api]\nping.path = /-/fpm-ping\npm.status_path = /-/fpm-status\npm.status_listen = /s/php-fpm.api.status.sock\n"), "{text}");
    let deep = format!("/{}", "x".repeat(100));
    assert_eq!(pages(&sockets, Some(&deep)), [own, added], "a path too long for a socket is none");
}

#[test]
fn the_command_names_the_generated_file_once() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(command(&words("php-fpm -F"), Path::new("/s/f")), words("php-fpm -F -y /s/f"));
    assert_eq!(command(&words("php-fpm -y /x -F"), Path::new("/s/f")), words("php-fpm -y /s/f -F"));
    assert_eq!(config_of(&words("php-fpm -F --fpm-config /x")), Some("/x".into()));
    assert_eq!(config_of(&words("php-fpm -y")), None);
}
