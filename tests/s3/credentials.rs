//! Whose name requests are signed in: the container endpoint in all its moods, and never the host's role on ECS.

use crate::child::{AUTH, Bed, TOKEN};
use crate::network::{in_namespace, link_local};
use crate::server::{KEY, Reply, Request, SECRET, Server, answer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const ROLE: &str = "arn:aws:iam::123456789012:role/app";

fn credentials() -> String {
    format!(
        r#"{{"RoleArn":"{ROLE}","AccessKeyId":"{KEY}","SecretAccessKey":"{SECRET}","Token":"{TOKEN}","Expiration":"2099-01-01T00:00:00Z"}}"#
    )
}

/// A credentials endpoint on loopback that wants [`AUTH`].
fn endpoint(script: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static) -> Server {
    Server::local(move |request, number| {
        if let Some(reply) = script(request, number) {
            return reply;
        }
        match request.header("authorization") {
            Some(AUTH) => answer(200, credentials()),
            _ => answer(401, r#"{"code":"Unauthorized","message":"no token"}"#),
        }
    })
}

/// A bed whose only credentials are those of `server`, and a front that records what reaches S3.
fn bed(server: &Server) -> (Bed, Server) {
    let bed = Bed::new().no_keys();
    let s3 = bed.s3;
    let front = Server::local(move |_, _| Reply::Forward(s3, crate::server::Mangle::None));
    let bed = bed
        .through(front.address)
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/creds", server.url()));
    (bed, front)
}

#[test]
fn full_uri_with_a_token() {
    let server = endpoint(|_, _| None);
    let (bed, front) = bed(&server);
    let run = bed.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTH).succeeds();
    assert_eq!(run.report.origin.credentials.as_deref(), Some("container"));
    assert_eq!(run.report.origin.role.as_deref(), Some(ROLE));
    assert_eq!(server.seen()[0].target, "/creds");
    assert_eq!(front.seen()[0].header("x-amz-security-token"), Some(TOKEN));
}

#[test]
fn full_uri_with_a_token_file_that_ends_in_a_line_feed() {
    let server = endpoint(|_, _| None);
    let (bed, _front) = bed(&server);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{AUTH}\n")).unwrap();
    bed.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.path().to_str().unwrap())
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "an-older-token")
        .succeeds();
}

#[test]
fn the_token_file_is_read_again_for_each_request() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "an-older-token").unwrap();
    let path = file.path().to_owned();
    let server = endpoint(move |_, number| {
        (number == 0).then(|| {
            std::fs::write(&path, AUTH).unwrap();
            answer(500, "")
        })
    });
    let (bed, _front) = bed(&server);
    bed.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.path().to_str().unwrap()).succeeds();
    let tokens: Vec<String> = server
        .seen()
        .iter()
        .filter_map(|request| request.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(tokens, ["an-older-token", AUTH]);
}

#[test]
fn unavailable_four_times_then_success() {
    // aws-config's own provider would have given up after the third.
    let uninitialized = r#"{"code":"CredentialsUninitialized","message":"not yet","HTTPErrorCode":503}"#;
    let server = endpoint(move |_, number| (number < 4).then(|| answer(503, uninitialized)));
    let (bed, _front) = bed(&server);
    let run = bed.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTH).succeeds();
    assert_eq!((run.report.attempts, server.seen().len()), (5, 5));
}

#[test]
fn unavailable_until_the_deadline() {
    let uninitialized = r#"{"code":"CredentialsUninitialized","message":"not yet","HTTPErrorCode":503}"#;
    let server = endpoint(move |_, _| Some(answer(503, uninitialized)));
    let (bed, front) = bed(&server);
    let run = bed.job(|job| job.timeout_ms = 700).fails(69);
    run.says(&["503 (CredentialsUninitialized: not yet)", "attempts in 0."]);
    assert!(run.report.attempts > 1 && front.seen().is_empty(), "{:#?}", run.report);
}

#[test]
fn refused_by_the_endpoint() {
    let server = endpoint(|_, _| Some(answer(403, r#"{"code":"AccessDenied","message":"not this task"}"#)));
    let (refused, _front) = bed(&server);
    let run = refused.fails(66);
    run.says(&["answers 403 (AccessDenied: not this task)", "AWS_CONTAINER_AUTHORIZATION_TOKEN"]);
    assert_eq!((run.report.attempts, server.seen().len()), (1, 1));
    let server =
        endpoint(|_, _| Some(answer(400, r#"{"code":"InvalidIdInRequest","message":"no such id"}"#)));
    bed(&server).0.fails(66).says(&["InvalidIdInRequest"]);
}

#[test]
fn an_answer_that_is_no_credentials_is_not_repeated() {
    let server = endpoint(|_, _| Some(answer(200, format!("[\"{SECRET}\"]"))));
    let (bed, _front) = bed(&server);
    bed.job(|job| job.timeout_ms = 500).fails(69).says(&["not JSON with AccessKeyId"]);
}

#[test]
fn an_endpoint_in_clear_on_another_host_is_refused() {
    let bed = Bed::new().no_keys().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/creds");
    bed.fails(78).says(&["AWS_CONTAINER_CREDENTIALS_FULL_URI", "plain HTTP"]);
}

#[test]
fn environment_keys_come_before_the_container() {
    let server = endpoint(|_, _| None);
    let bed = Bed::new().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/creds", server.url()));
    assert_eq!(bed.succeeds().report.origin.credentials.as_deref(), Some("environment"));
    assert!(server.seen().is_empty());
}

#[test]
fn a_profile_is_read() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let file = home.path().join(".aws/credentials");
    std::fs::write(&file, format!("[app]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n"))
        .unwrap();
    std::fs::write(home.path().join(".aws/config"), "[profile app]\nregion = eu-north-1\n").unwrap();
    let bed = Bed::new().no_keys().env("HOME", home.path().to_str().unwrap()).env("AWS_PROFILE", "app");
    let origin = bed.succeeds().report.origin;
    assert_eq!(
        (origin.credentials.as_deref(), origin.region.as_deref()),
        (Some("profile"), Some("eu-north-1"))
    );
}

#[test]
fn no_credentials_lists_where_it_looked() {
    let ecs = Bed::new().no_keys().env("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:9/v4/x");
    let run = ecs.fails(66);
    run.says(&[
        "environment",
        "profile",
        "web identity",
        "container",
        "never asked in an ECS task",
        "taskRoleArn",
    ]);
    let disabled = Bed::new().no_keys().env("AWS_EC2_METADATA_DISABLED", "true");
    disabled.fails(66).says(&["instance metadata", "AWS_EC2_METADATA_DISABLED"]);
}

#[test]
fn web_identity_asks_sts() {
    let expected = "QEXAMPLEWEBIDENTITYTOKEN";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), expected).unwrap();
    let bed = Bed::new().no_keys();
    let s3 = bed.s3;
    // One server for both: S3 by the job's endpoint, STS by the environment's.
    let sts = Server::local(move |request, _| {
        if request.method == "POST" {
            return answer(
                200,
                format!(
                    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{KEY}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                ),
            );
        }
        Reply::Forward(s3, crate::server::Mangle::None)
    });
    let bed = bed
        .through(sts.address)
        .env("AWS_ENDPOINT_URL_STS", sts.url())
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ROLE_ARN", ROLE)
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", file.path().to_str().unwrap());
    let run = bed.succeeds();
    assert_eq!(run.report.origin.credentials.as_deref(), Some("web-identity"));
    assert_eq!(run.report.origin.role.as_deref(), Some(ROLE));
}

#[test]
fn relative_uri_and_no_host_role_on_ecs() {
    let Some(()) = in_namespace("credentials::relative_uri_and_no_host_role_on_ecs") else { return };
    link_local(&["169.254.170.2", "169.254.169.254"]);
    let agent = Server::start("169.254.170.2:80", |request, _| match request.target.as_str() {
        "/v2/credentials/id" => answer(200, credentials()),
        "/v4/abc/task" => answer(200, r#"{"TaskARN":"arn:aws:ecs:eu-south-2:123456789012:task/c/1"}"#),
        _ => answer(404, ""),
    });
    let forbidden = Arc::new(AtomicBool::new(false));
    let closed = Arc::clone(&forbidden);
    let imds = Server::start("169.254.169.254:80", move |request, _| match request.target.as_str() {
        _ if closed.load(Ordering::SeqCst) => answer(403, ""),
        "/latest/api/token" => Reply::Answer {
            status: 200,
            headers: "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n".into(),
            body: "imds-token".into(),
        },
        "/latest/meta-data/iam/security-credentials/" => answer(200, "host"),
        "/latest/meta-data/iam/security-credentials/host" => answer(
            200,
            format!(
                r#"{{"Code":"Success","Type":"AWS-HMAC","LastUpdated":"2024-01-01T00:00:00Z","AccessKeyId":"{KEY}","SecretAccessKey":"{SECRET}","Token":"{TOKEN}","Expiration":"2099-01-01T00:00:00Z"}}"#
            ),
        ),
        _ => answer(404, ""),
    });

    // The real address, and no proxy on the way although one is set and would fail.
    let bed = Bed::new()
        .no_keys()
        .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/id")
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("NO_PROXY", "127.0.0.1");
    assert_eq!(bed.succeeds().report.origin.credentials.as_deref(), Some("container"));
    assert_eq!(agent.seen().len(), 1);

    // A task without a role does not get the host's.
    let bed = Bed::new().no_keys().env("AWS_EXECUTION_ENV", "AWS_ECS_EC2");
    bed.fails(66).says(&["taskRoleArn"]);
    assert!(imds.seen().is_empty(), "{:?}", imds.seen());

    // The same off ECS does, with a token (IMDSv2) for every request.
    let bed = Bed::new().no_keys();
    assert_eq!(bed.succeeds().report.origin.credentials.as_deref(), Some("instance-metadata"));
    let seen = imds.seen();
    assert_eq!(seen[0].method, "PUT");
    assert!(seen[1..].iter().all(|request| request.header("x-aws-ec2-metadata-token") == Some("imds-token")));

    // Where it is switched off it is one more place that had nothing.
    forbidden.store(true, Ordering::SeqCst);
    Bed::new().no_keys().fails(66).says(&[
        "instance metadata (",
        "web identity (",
        "HttpPutResponseHopLimit",
    ]);

    // Without an endpoint of its own the region comes from the task's metadata; S3 itself is not reachable here.
    let bed = Bed::new()
        .no_keys()
        .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/id")
        .env("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/abc")
        .job(|job| {
            job.endpoint = None;
            job.timeout_ms = 400;
        });
    let run = bed.fails(69);
    assert_eq!(run.report.origin.region.as_deref(), Some("eu-south-2"));
    assert_eq!(run.report.origin.endpoint.as_deref(), Some("s3.eu-south-2.amazonaws.com"));
}

#[test]
fn a_redirect_of_the_endpoint_is_not_followed() {
    let elsewhere = endpoint(|_, _| None);
    for location in [format!("{}/creds", elsewhere.url()), "file:///etc/passwd".to_owned()] {
        let server = endpoint(move |_, _| {
            let headers = format!("location: {location}\r\n");
            Some(Reply::Answer { status: 302, headers, body: String::new() })
        });
        let (bed, front) = bed(&server);
        bed.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTH).fails(66).says(&["answers 302"]);
        assert!(front.seen().is_empty());
    }
    assert!(elsewhere.seen().is_empty(), "it would have got the token");
}

#[test]
fn an_answer_that_is_too_large_or_never_ends_is_given_up() {
    let server = endpoint(|_, _| Some(answer(200, "x".repeat(10 << 20))));
    bed(&server).0.fails(78).says(&["is larger than 65536 bytes"]);
    let server = endpoint(|_, _| Some(Reply::Drip));
    let run = bed(&server).0.job(|job| job.timeout_ms = 1000).fails(69);
    run.says(&["gave up after 1 attempt in 1."]);
}
