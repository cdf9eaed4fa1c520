//! The preset "nginx": a certificate that is made at boot, or fetched, served by a real nginx.

use crate::container::{Container, NEEDS, PATIENCE, Place};
use crate::support::{eventually, need};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

const CONF: &str = "\
pid @DIR/nginx.pid;
error_log stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path @DIR/body; proxy_temp_path @DIR/proxy; fastcgi_temp_path @DIR/fastcgi;
    uwsgi_temp_path @DIR/uwsgi; scgi_temp_path @DIR/scgi;
    server {
        listen unix:@DIR/tls.sock ssl;
        ssl_certificate @DIR/state/tls/cert.pem;
        ssl_certificate_key @DIR/state/tls/key.pem;
        return 200 'served over TLS';
    }
}
";

const SERVICE: &str = r#"
    [service.nginx]
    command = ["nginx", "-c", "@DIR/nginx.conf", "-g", "daemon off;"]
    ready = { unix = "@DIR/tls.sock" }
"#;

fn nginx(place: Place, env: &[(&str, &str)], more: &str) -> Container {
    let container = Container::new(&format!("{SERVICE}{more}"))
        .script("nginx.conf", CONF)
        .arguments(&["--preset", "nginx"]);
    env.iter().fold(container.place(place), |container, (name, value)| container.env(name, value))
}

/// The body of an answer, and the names in the certificate.
fn ask(container: &Container) -> (String, String) {
    let socket = container.file("tls.sock").display().to_string();
    let answer = eventually("nginx answers over TLS", PATIENCE, || {
        let output = Command::new("curl")
            .args([
                "--silent",
                "--insecure",
                "--max-time",
                "5",
                "--unix-socket",
                &socket,
                "https://localhost/",
            ])
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    let certificate = container.file("state/tls/cert.pem");
    let names = Command::new("openssl")
        .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
        .arg(certificate)
        .output();
    (answer, String::from_utf8_lossy(&names.unwrap().stdout).into_owned())
}

#[test]
fn nginx_serves_with_a_pair_that_was_made_at_boot_and_kept_at_the_next() {
    if !need(&[NEEDS, &["nginx", "curl", "openssl"]].concat()) {
        return;
    }
    let mut container = nginx(Place::Pid1, &[("TLS_NAMES", "example.test,127.0.0.1")], "").start();
    let (answer, names) = ask(&container);
    assert_eq!(answer, "served over TLS");
    assert!(names.contains("DNS:example.test") && names.contains("IP Address:127.0.0.1"), "{names}");
    let pair = container.file("state/tls/key.pem");
    assert_eq!((fs::metadata(&pair).unwrap().uid(), fs::metadata(&pair).unwrap().mode() & 0o777), (0, 0o400));
    let first = fs::read(&pair).unwrap();
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert!(!container.log().contains("PRIVATE KEY"));
    let mut container = container.start();
    ask(&container);
    assert_eq!(fs::read(&pair).unwrap(), first, "the volume's pair is still good");
    assert_eq!(container.stop(PATIENCE).0, 0);
}

/// What curl says of the certificate that is served.
fn served(socket: &str) -> String {
    let output = Command::new("curl")
        .args(["-v", "--insecure", "--max-time", "5", "--unix-socket", socket, "https://localhost/"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Makes a pair for `name` in these files.
fn openssl_pair(name: &str, certificate: &str, key: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"])
        .arg(format!("/CN={name}"))
        .args(["-addext", &format!("subjectAltName=DNS:{name}"), "-keyout", key, "-out", certificate])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn a_renewed_pair_is_served_without_a_restart() {
    if !need(&[NEEDS, &["nginx", "curl", "openssl"]].concat()) {
        return;
    }
    let more =
        "\n[[file]]\nname = \"certificate\"\nrefresh = \"1s\"\n[[file]]\nname = \"key\"\nrefresh = \"1s\"\n";
    let container = nginx(Place::Pid1, &[], more);
    let file = |name: &str| container.file(name).display().to_string();
    let (certificate, key, socket) = (file("given-cert.pem"), file("given-key.pem"), file("tls.sock"));
    openssl_pair("first.test", &certificate, &key);
    let container = container.env("TLS_CERTIFICATE_SOURCE", &certificate).env("TLS_KEY_SOURCE", &key);
    let mut container = container.start();
    assert!(ask(&container).1.contains("first.test"));
    let master = container.one("master process");
    openssl_pair("second.test", &certificate, &key);
    eventually("nginx serves the renewed certificate", PATIENCE, || {
        served(&socket).contains("CN=second.test").then_some(())
    });
    assert_eq!(container.one("master process"), master);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_pair_that_a_reload_makes_is_served_as_a_pair() {
    if !need(&[NEEDS, &["nginx", "curl", "openssl"]].concat()) {
        return;
    }
    let mut container = nginx(Place::Pid1, &[("TLS_NAMES", "first.test")], "").start();
    assert!(ask(&container).1.contains("first.test"));
    let other = "[[file]]\nname = \"certificate\"\nsource = \"self-signed:second.test\"\n";
    container.configure(&format!("{SERVICE}{other}"));
    container.signal("HUP");
    container.says("reloaded in", 1);
    let file = |name: &str| fs::read_to_string(container.file(name)).unwrap();
    assert_eq!(file("state/tls/cert.pem"), file("state/tls/key.pem"));
    let socket = container.file("tls.sock").display().to_string();
    eventually("nginx serves the new certificate", PATIENCE, || {
        served(&socket).contains("subject: CN=second.test").then_some(())
    });
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_certificate_and_a_key_that_do_not_belong_together_are_never_placed() {
    if !need(&[NEEDS, &["nginx", "curl", "openssl"]].concat()) {
        return;
    }
    let refresh =
        "\n[[file]]\nname = \"certificate\"\nrefresh = \"1s\"\n[[file]]\nname = \"key\"\nrefresh = \"1h\"\n";
    let container = nginx(Place::Pid1, &[], refresh);
    let file = |name: &str| container.file(name).display().to_string();
    let (certificate_file, key, socket) = (file("given-cert.pem"), file("given-key.pem"), file("tls.sock"));
    let (other, other_key) = (file("other-cert.pem"), file("other-key.pem"));
    openssl_pair("first.test", &certificate_file, &key);
    openssl_pair("second.test", &other, &other_key);
    let mut container =
        container.env("TLS_CERTIFICATE_SOURCE", &certificate_file).env("TLS_KEY_SOURCE", &key).start();
    assert!(ask(&container).1.contains("first.test"));
    // A renewal that is half done.
    fs::copy(&other, &certificate_file).unwrap();
    container.says(&format!("cannot accept {key}: it is not the key of its certificate"), 1);
    assert!(served(&socket).contains("subject: CN=first.test"));
    assert_eq!(fs::read(container.file("state/tls/key.pem")).unwrap(), fs::read(&key).unwrap());
    fs::copy(&other_key, &key).unwrap();
    eventually("the renewed pair is served", PATIENCE, || {
        served(&socket).contains("subject: CN=second.test").then_some(())
    });
    assert_eq!(container.stop(PATIENCE).0, 0);
    // The source of the key is the certificate's file then, which holds none.
    let mut refused = nginx(Place::Subreaper, &[("TLS_CERTIFICATE_SOURCE", &other)], "").start();
    assert_eq!(refused.wait(PATIENCE), 65);
    assert!(refused.log().contains("it holds no private key"), "{}", refused.log());
}

#[test]
fn a_given_pair_is_served_and_a_page_in_its_place_is_refused() {
    if !need(&[NEEDS, &["nginx", "curl", "openssl"]].concat()) {
        return;
    }
    let container = nginx(Place::Subreaper, &[], "");
    let (key, certificate) = (container.file("given-key.pem"), container.file("given-cert.pem"));
    let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
    openssl_pair("given.test", &certificate, &key);
    let mut container =
        container.env("TLS_CERTIFICATE_SOURCE", &certificate).env("TLS_KEY_SOURCE", &key).start();
    let (answer, names) = ask(&container);
    assert!(answer == "served over TLS" && names.contains("DNS:given.test"), "{names}");
    assert_eq!(container.stop(PATIENCE).0, 0);
    let mut refused = nginx(Place::Subreaper, &[("TLS_CERTIFICATE_SOURCE", "/etc/passwd")], "").start();
    assert_eq!(refused.wait(PATIENCE), 65);
    assert!(
        refused.log().contains("cannot accept /etc/passwd: it holds no block that begins with -----BEGIN")
    );
}
