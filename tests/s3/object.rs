//! The object itself: there, not there, not allowed, not valid, not to be placed.

use crate::child::{BUCKET, Bed, PASSWORD, Run, TOKEN, dotenv, run};
use crate::network::unshare;
use crate::server::{Mangle, Reply, Server, s3_error};
use php_init::fetch::Outcome;
use php_init::fetch::job::{Format, Known};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

#[test]
fn success_with_environment_keys() {
    let bed = Bed::new().env("AWS_REGION", "eu-west-1");
    let run = bed.succeeds();
    let report = &run.report;
    assert_eq!((report.size, report.attempts, report.changed), (Some(dotenv().len() as u64), 1, true));
    let origin = &report.origin;
    assert_eq!(origin.credentials.as_deref(), Some("environment"));
    assert_eq!(origin.region.as_deref(), Some("eu-west-1"));
    assert_eq!(origin.endpoint.as_deref(), Some(bed.s3.to_string().as_str()));
    assert!(origin.etag.as_ref().is_none_or(|tag| !tag.contains('"')), "{origin:?}");
    assert!(origin.last_modified.as_ref().is_some_and(|time| time.ends_with('Z')), "{origin:?}");
    assert_eq!(std::fs::metadata(bed.placed()).unwrap().mode() & 0o7777, 0o440);
    // Again, and nothing changes.
    let inode = std::fs::metadata(bed.placed()).unwrap().ino();
    assert!(!bed.succeeds().report.changed);
    assert_eq!(std::fs::metadata(bed.placed()).unwrap().ino(), inode);
}

#[test]
fn an_object_that_has_not_changed_is_not_sent_again() {
    let front = Server::local(|request, _| {
        let etag = "etag: \"one\"\r\n".to_owned();
        match request.header("if-none-match") {
            Some("\"one\"") => Reply::Answer { status: 304, headers: etag, body: String::new() },
            _ => Reply::Answer { status: 200, headers: etag, body: dotenv() },
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let known = Known { path: directory.path().join(".env"), etag: Some("one".into()) };
    let bed = Bed::new().through(front.address).job(|job| job.known = Some(known.clone()));
    let asked = |number: usize| front.seen()[number].header("if-none-match").map(str::to_owned);
    // Without the file there is nothing that "not modified" could stand for.
    let run = bed.succeeds();
    assert_eq!((asked(0), run.report.origin.etag.as_deref()), (None, Some("one")));
    std::fs::remove_file(bed.placed()).unwrap();
    std::fs::write(&known.path, dotenv()).unwrap();
    let run = bed.run();
    assert_eq!((run.code, run.report.outcome), (0, Outcome::Unchanged), "{:#?}", run.report);
    assert_eq!((asked(1).as_deref(), run.report.origin.etag.as_deref()), (Some("\"one\""), Some("one")));
    assert!(bed.names().is_empty(), "nothing is placed");
    // A server that knows no If-None-Match: the content tells.
    let bed = Bed::new().job(|job| job.known = Some(known.clone()));
    assert_eq!(bed.run().report.outcome, Outcome::Unchanged);
    bed.put("app/.env", b"APP_KEY=other\n");
    let run = bed.run();
    assert_eq!((run.report.outcome, run.report.changed), (Outcome::Placed, true), "{:#?}", run.report);
}

#[test]
fn an_arn_and_a_large_binary_object() {
    let content: Vec<u8> = (0..700_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let bed = Bed::new().job(|job| {
        job.source = format!("arn:aws:s3:::{BUCKET}/tls/key.pem");
        job.format = Format::Raw;
    });
    bed.put("tls/key.pem", &content);
    let run = bed.run();
    assert_eq!((run.code, run.report.outcome), (0, Outcome::Placed), "{:#?}", run.report);
    assert_eq!(std::fs::read(bed.placed()).unwrap(), content);
}

#[test]
fn a_key_with_odd_characters_is_signed_right() {
    let bed = Bed::new().job(|job| job.source = format!("s3://{BUCKET}/a b/ü+%20=&.env"));
    bed.put("a b/ü+%20=&.env", dotenv().as_bytes());
    bed.succeeds();
}

#[test]
fn wrong_secret() {
    let bed = Bed::new().env("AWS_SECRET_ACCESS_KEY", "not-the-right-secret-key");
    let run = bed.fails(66);
    run.says(&["SignatureDoesNotMatch", "secret access key does not belong"]);
    assert_eq!(run.report.attempts, 1);
}

#[test]
fn unknown_key_id() {
    let run = Bed::new().env("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000").fails(66);
    run.says(&["AWS_ACCESS_KEY_ID"]);
    assert_eq!(run.report.attempts, 1);
}

#[test]
fn missing_key() {
    let run = Bed::new().job(|job| job.source = format!("s3://{BUCKET}/none/.env")).fails(66);
    run.says(&["no such key in bucket config", "upper and lower case"]);
    assert_eq!(run.report.attempts, 1);
}

#[test]
fn missing_bucket() {
    Bed::new().job(|job| job.source = "s3://nonexistent/.env".into()).fails(66);
    // s3s-fs calls a missing bucket a missing key; S3 does not.
    let front = Server::local(|_, _| s3_error(404, "NoSuchBucket", "The specified bucket does not exist"));
    Bed::new().through(front.address).fails(66).says(&["there is no bucket config"]);
}

#[test]
fn missing_but_optional() {
    let bed = Bed::new().job(|job| {
        job.source = format!("s3://{BUCKET}/none/.env");
        job.required = false;
    });
    let run = bed.run();
    assert_eq!((run.code, run.report.outcome), (0, Outcome::Absent), "{:#?}", run.report);
    assert_eq!(bed.names(), Vec::<String>::new());
}

#[test]
fn no_permission_is_fatal_even_when_optional() {
    let message =
        "User: arn:aws:sts::123456789012:assumed-role/app/1 is not authorized to perform: s3:GetObject";
    let front = Server::local(move |_, _| s3_error(403, "AccessDenied", message));
    let bed = Bed::new().through(front.address).job(|job| job.required = false);
    let run = bed.fails(66);
    run.says(&[
        "AccessDenied",
        "assumed-role/app",
        "s3:GetObject on arn:aws:s3:::config/app/.env",
        "s3:ListBucket",
    ]);
    assert_eq!((run.report.attempts, front.seen().len()), (1, 1));
}

#[test]
fn a_server_that_echoes_a_secret_is_not_repeated() {
    let front = Server::local(move |request, _| {
        let token = request.header("x-amz-security-token").unwrap_or_default().to_owned();
        s3_error(403, "InvalidToken", &format!("The token {token} is malformed"))
    });
    let run = Bed::new().through(front.address).env("AWS_SESSION_TOKEN", TOKEN).fails(66);
    run.says(&["InvalidToken", "The token *** is malformed"]);
    assert_eq!(front.seen()[0].header("x-amz-security-token"), Some(TOKEN));
}

#[test]
fn a_version_is_asked_for() {
    let front = Server::local(|_, _| s3_error(404, "NoSuchVersion", "The specified version does not exist."));
    let bed =
        Bed::new().through(front.address).job(|job| job.source = format!("s3://{BUCKET}/k?versionId=a.b-c"));
    bed.fails(66).says(&["no such version"]);
    assert!(front.seen()[0].target.contains("versionId=a.b-c"), "{:?}", front.seen()[0]);
}

#[test]
fn oversize_by_its_header_and_by_its_stream() {
    let size = dotenv().len() as u64;
    let run = Bed::new().job(|job| job.max_size = size - 1).fails(65);
    run.says(&[&format!("{size} bytes, more than"), "max-size"]);
    Bed::new().job(|job| job.max_size = size).succeeds();

    let bed = Bed::new();
    let s3 = bed.s3;
    let front = Server::local(move |_, _| Reply::Forward(s3, Mangle::Chunked));
    let run = bed.through(front.address).job(|job| job.max_size = size - 1).fails(65);
    run.says(&["larger than"]);
    assert_eq!(run.report.attempts, 1);
    let bed = Bed::new();
    let s3 = bed.s3;
    let front = Server::local(move |_, _| Reply::Forward(s3, Mangle::Chunked));
    bed.through(front.address).succeeds();
}

#[test]
fn a_length_beyond_the_cap_is_refused_before_the_body() {
    let bed = Bed::new();
    let s3 = bed.s3;
    let front = Server::local(move |_, _| Reply::Forward(s3, Mangle::Claim(1 << 40)));
    bed.through(front.address).fails(65).says(&["1099511627776 bytes"]);
}

#[test]
fn a_missing_or_unwritable_directory() {
    let bed = Bed::new();
    let path = bed.target.path().join("none/.env");
    bed.job(|job| job.path = path).fails(73).says(&["does not exist", "declare it as a volume"]);
    // Read-only for everybody, root included.
    let run = Bed::new().job(|job| job.path = "/proc/sys/kernel/.env".into()).fails(73);
    assert!(!run.report.hints.is_empty() || run.report.message.contains("cannot write"), "{:#?}", run.report);
}

/// Runs in a mount namespace of its own, so that nothing of the machine is changed, with a tmpfs of these options as target.
/// 99 when anything is left there.
fn on_tmpfs(bed: &Bed, options: &str) -> Run {
    let target = bed.target.path().to_str().unwrap();
    let script = format!(
        "mount -t tmpfs -o {options} none {target} || exit 98; \"$0\" fetch; code=$?; [ -z \"$(ls -A {target})\" ] || exit 99; exit $code"
    );
    let mut command = unshare(&["--mount"]);
    command.args(["sh", "-c", &script, env!("CARGO_BIN_EXE_init")]);
    run(command, &bed.message(), Duration::from_secs(20))
}

#[test]
fn a_read_only_mount() {
    let run = on_tmpfs(&Bed::new(), "ro");
    assert_eq!(run.code, 73, "{:#?}", run.report);
    run.says(&["is read-only", "declare", "as a volume or tmpfs"]);
}

#[test]
fn a_full_volume() {
    let bed = Bed::new();
    let long = format!("{}LONG={}\n", dotenv(), "x".repeat(100_000));
    bed.put("app/.env", long.as_bytes());
    let run = on_tmpfs(&bed, "size=8k");
    assert_eq!(run.code, 73, "{:#?}", run.report);
    run.says(&["is full", "No space left on device"]);
}

#[test]
fn an_earlier_file_survives_every_failure() {
    let bed = Bed::new().env("AWS_SECRET_ACCESS_KEY", "not-the-right-secret-key");
    std::fs::write(bed.placed(), "OLD=1\n").unwrap();
    std::fs::set_permissions(bed.placed(), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(bed.run().code, 66);
    assert_eq!(std::fs::read(bed.placed()).unwrap(), b"OLD=1\n");
    assert_eq!(bed.names(), [".env"]);
}

#[test]
fn invalid_dotenv_of_each_kind() {
    for (name, text) in [
        ("empty", String::new()),
        ("blank", "\n  \n".to_owned()),
        ("UTF-16", String::new()),
        ("unexpected white space", format!("A={PASSWORD} x\n")),
        ("bad name", format!("A-B={PASSWORD}\n")),
        ("unterminated quote", format!("A=\"{PASSWORD}\nB=1\n")),
        ("single quote", format!("A='{PASSWORD}\n")),
        ("bad escape", format!("A=\"{PASSWORD}\\q\"\n")),
        ("no name", format!("={PASSWORD}\n")),
        ("comment that swallows", format!("# A=\"x\nB={PASSWORD}\n")),
    ] {
        let bed = Bed::new();
        let bytes = if name == "UTF-16" { b"\xff\xfeA\0=\x001\0\n\0".to_vec() } else { text.into_bytes() };
        bed.put("app/.env", &bytes);
        let run = bed.fails(65);
        assert!(
            run.report.message.contains("cannot accept s3://config/app/.env"),
            "{name}: {:#?}",
            run.report
        );
    }
}

#[test]
fn required_keys_must_be_there_with_a_value() {
    let keys = |keys: &[&str]| {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        Bed::new().job(|job| job.require_keys = keys)
    };
    keys(&["APP_KEY", "DB_PASSWORD"]).succeeds();
    keys(&["APP_KEY", "DB_HOST"]).fails(65).says(&["DB_HOST"]);
    let bed = keys(&["DB_HOST"]);
    bed.put("app/.env", b"DB_HOST=\n");
    bed.fails(65).says(&["DB_HOST"]);
}
