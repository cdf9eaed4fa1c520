//! A root file system that holds PHP-FPM, its libraries and init: no shell, no coreutils, nothing to fall back on.

use super::NEEDS;
use super::pod::{Layout, PATIENCE, Pod, SOMEBODY, docker_says, images};
use super::support::{eventually, need, skip};

fn answers(layout: Layout, user: Option<u32>) {
    let [image, laravel] = images(layout, ["shell-less", "laravel"]);
    let mut pod = Pod::new(&laravel, user);
    pod.start("php", &["/opt/php", "/tmp"], &[], &[&image]);
    let page = || {
        let output = pod
            .inside("cgi-fcgi")
            .args(["-bind", "-connect", "127.0.0.1:9000"])
            .env("REQUEST_METHOD", "GET")
            .env("SCRIPT_FILENAME", "/var/www/html/index.php")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.contains("no shell").then_some(said)
    };
    let said = eventually("PHP answers", PATIENCE, page);
    // www-data, as the pool says, where init is root.
    let expected = format!("no shell: false, uid {}", user.unwrap_or(33));
    assert!(said.contains(&expected), "{said}");
    assert_eq!(pod.kill("php"), 137);
    pod.again("php");
    eventually("PHP answers after a kill", PATIENCE, page);
    assert_eq!(pod.stop("php"), 0);
}

#[test]
fn a_root_without_a_shell_as_root() {
    if need(NEEDS) {
        answers(Layout::Since2026, None);
    }
}

#[test]
fn a_root_without_a_shell_as_somebody() {
    if need(NEEDS) {
        answers(Layout::Before2026, Some(SOMEBODY));
    }
}

/// The image of `docker/init` is this stage: one file, which runs with nothing beside it.
#[test]
fn the_distribution_image_runs_with_nothing_beside_it() {
    if !need(NEEDS) {
        return;
    }
    if std::env::var_os("INIT_STATIC").is_none() {
        return skip("INIT_STATIC names no binary");
    }
    let [laravel] = images(Layout::Since2026, ["laravel"]);
    let image = laravel.replace("-laravel", "-init");
    let said =
        docker_says(&["run", "--rm", "--read-only", "--network=none", "--cap-drop=ALL", &image, "--version"]);
    assert!(said.starts_with("init "), "{said}");
}
