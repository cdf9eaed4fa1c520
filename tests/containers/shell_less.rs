//! A root file system that holds PHP-FPM, its libraries and init: no shell, no coreutils, nothing to fall back on.

use super::NEEDS;
use super::pod::{PATIENCE, Pod, SOMEBODY, docker_says, images};
use super::support::{eventually, need, skip};
use std::process::Command;

fn answers(user: Option<u32>) {
    let [image, laravel] = images(["shell-less", "laravel"]);
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
        answers(None);
    }
}

#[test]
fn a_root_without_a_shell_as_somebody() {
    if need(NEEDS) {
        answers(Some(SOMEBODY));
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
    let [laravel] = images(["laravel"]);
    let image = laravel.replace("-laravel", "-init");
    let said =
        docker_says(&["run", "--rm", "--read-only", "--network=none", "--cap-drop=ALL", &image, "--version"]);
    assert!(said.starts_with("init "), "{said}");
}

/// Where docker/order.ld no longer names the functions of this build, or too many others, each start takes longer and
/// nothing else tells.
#[test]
fn the_order_of_functions_fits_the_static_binary() {
    if !need(&["cc"]) {
        return;
    }
    let Some(binary) = std::env::var_os("INIT_STATIC") else { return skip("INIT_STATIC names no binary") };
    let headers = Command::new("readelf").args(["--section-headers", "--wide"]).arg(binary).output().unwrap();
    let headers = String::from_utf8(headers.stdout).unwrap();
    let mut words = headers.split_whitespace().skip_while(|word| *word != ".text.init");
    let size = words.nth(4).map(|size| u64::from_str_radix(size, 16).unwrap() >> 10);
    assert!(size.is_some_and(|kilobytes| (500..1200).contains(&kilobytes)), "{size:?}\n{headers}");
}
