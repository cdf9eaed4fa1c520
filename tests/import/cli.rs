//! The command: arguments, files, codes.

use crate::{here, import};
use php_init::exit;
use std::fs;

#[test]
fn the_command_line() {
    let (code, out, _) = import(&["--help"], &|_| None);
    assert_eq!(code, exit::OK);
    assert!(out.contains("Example:") && out.contains("init import /etc/supervisord.conf"));
    for (arguments, word) in [(&[][..], "missing"), (&["--bogus"], "--bogus")] {
        let (code, out, err) = import(arguments, &|_| None);
        assert_eq!((code, out.as_str()), (exit::USAGE, ""));
        assert!(err.contains(word), "{err}");
    }
}

#[test]
fn files_that_are_not_there_or_not_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let conf = here("golden/laravel-docs/supervisord.conf");
    for arguments in [vec![path("none")], vec![conf.clone(), path("none")]] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, out, err) = import(&arguments, &|_| None);
        assert_eq!((code, out.as_str()), (exit::NO_INPUT, ""));
        assert!(err.contains("cannot read") && err.contains("none"), "{err}");
    }
    fs::write(path("latin"), b"[program:\xe9]\n").unwrap();
    let (code, _, err) = import(&[&path("latin")], &|_| None);
    assert_eq!((code, err.contains("not UTF-8")), (exit::DATA, true), "{err}");
    fs::write(path("bad"), "[program:x]\ncommand='\n").unwrap();
    let (code, out, err) = import(&[&path("bad")], &|_| None);
    assert_eq!((code, out.as_str()), (exit::DATA, ""));
    assert!(err.starts_with(&format!("{}:2: [program:x] command: ", path("bad"))), "{err}");
    fs::write(path("crontab"), "@daily true\n* * * * 9 false\n").unwrap();
    let (code, _, err) = import(&[&conf, &path("crontab")], &|_| None);
    assert_eq!(code, exit::DATA);
    assert!(err.starts_with(&format!("{}:2: ", path("crontab"))), "{err}");
}

#[test]
fn includes_are_found_as_supervisord_finds_them() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("a/x")).unwrap();
    fs::create_dir_all(root.join("b/x")).unwrap();
    let program = |name: &str| format!("[program:{name}]\ncommand={name} %(here)s\n");
    for (file, name) in
        [("a/x/2.conf", "two"), ("a/x/1.conf", "one"), ("b/x/3.ini", "three"), ("a/x/.4.conf", "four")]
    {
        fs::write(root.join(file), program(name)).unwrap();
    }
    let conf = root.join("supervisord.conf");
    let text =
        "[include]\nfiles = ?/x/[0-9].conf %(here)s/b/x/*.%(ENV_EXT)s no/*.conf a/x/1.conf\n[supervisord]\n";
    fs::write(&conf, text).unwrap();
    let env = |name: &str| (name == "EXT").then(|| "ini".to_owned());
    let (code, out, err) = import(&[conf.to_str().unwrap()], &env);
    assert_eq!((code, err.as_str()), (0, ""));
    let commands: Vec<&str> = out.lines().filter(|line| line.starts_with("command")).collect();
    let command =
        |name: &str, dir: &str| format!("command      = [\"{name}\", \"{}\"]", root.join(dir).display());
    assert_eq!(commands, [command("one", "a/x"), command("two", "a/x"), command("three", "b/x")]);
    assert!(out.contains("no file fits \"no/*.conf\"") && !out.contains("four"), "{out}");

    let (code, _, err) = import(&[conf.to_str().unwrap()], &|_| None);
    assert_eq!(code, exit::DATA);
    assert!(err.contains("supervisord.conf:2: files: EXT is not set"), "{err}");
}

#[test]
fn a_pipe_of_the_shell_is_read_and_a_fifo_that_is_included_is_not_waited_for() {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("a.conf");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // As `init import <(...)` has it.
    let given = |text: &str| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        drop(writer);
        import(&[&format!("/dev/fd/{}", reader.as_raw_fd())], &|_| None)
    };
    let (code, out, err) = given("[program:x]\ncommand=sleep 1\n");
    assert_eq!((code, out.contains("[service.x]")), (exit::OK, true), "{err}");
    let (code, _, err) = given(&format!("[include]\nfiles = {}/*.conf\n", dir.path().display()));
    assert_eq!(code, exit::NO_INPUT);
    assert!(err.contains("a.conf: it is a FIFO"), "{err}");
}
