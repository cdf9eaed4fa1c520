use super::*;
use crate::exit;
use crate::fetch::vars::Vars;

fn with<T>(version: Option<&str>, test: impl FnOnce(&Tried) -> T) -> T {
    let object = Object {
        bucket: "bucket".into(),
        key: "k".into(),
        version_id: version.map(Into::into),
        region: None,
    };
    let vars = Vars::default();
    let asked =
        Asked { what: "cannot get s3://bucket/k", host: "s3.test", tls: true, proxy: true, vars: &vars };
    test(&Tried { object: &object, asked, region: "us-east-1", who: "role/app" })
}

fn refusal(status: u16, code: &str, message: &str) -> Refusal {
    Refusal { status, code: code.into(), message: message.into(), ..Refusal::default() }
}

fn error(refusal: &Refusal) -> FetchError {
    match with(None, |tried| tried.refused(refusal)) {
        Failure::Error(error) => error,
        Failure::Elsewhere(region) => panic!("{region}"),
    }
}

#[test]
fn missing_and_forbidden_are_told_apart() {
    for code in ["NoSuchKey", "NoSuchBucket", "NoSuchVersion", ""] {
        let error = error(&refusal(404, code, ""));
        assert_eq!((error.kind, error.transient), (Kind::Missing, false), "{code}");
        assert!(!error.hints.is_empty(), "{code}");
    }
    let marker = error(&Refusal { delete_marker: true, ..refusal(405, "MethodNotAllowed", "") });
    assert!(marker.kind == Kind::Missing && marker.message.contains("delete marker"), "{marker}");
    for code in [
        "AccessDenied",
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "ExpiredToken",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "InvalidObjectState",
        "KMS.DisabledException",
        "",
    ] {
        let error = error(&refusal(403, code, "said"));
        assert_eq!((error.kind.code(), error.transient), (exit::NO_INPUT, false), "{code}");
        assert!(!error.hints.is_empty() && error.message.contains("said"), "{code}");
    }
}

#[test]
fn denied_says_which_permission_and_that_403_may_mean_missing() {
    let denied = error(&refusal(403, "AccessDenied", "Access Denied"));
    assert_eq!(denied.hints[0], "allow s3:GetObject on arn:aws:s3:::bucket/k to role/app");
    assert!(
        denied.hints[1].contains("missing key") && denied.hints[1].contains("arn:aws:s3:::bucket:"),
        "{denied}"
    );
    let Failure::Error(version) = with(Some("v"), |tried| tried.refused(&refusal(403, "AccessDenied", "")))
    else {
        panic!()
    };
    assert!(version.hints[0].contains("s3:GetObjectVersion"), "{version}");
    let kms = error(&refusal(403, "AccessDenied", "not authorized to perform: kms:Decrypt on key"));
    assert!(kms.hints[0].contains("kms:Decrypt"), "{kms}");
}

#[test]
fn what_may_pass_is_tried_again() {
    for (status, code) in
        [(500, "InternalError"), (503, "SlowDown"), (429, ""), (502, ""), (400, "RequestTimeout")]
    {
        let error = error(&refusal(status, code, ""));
        assert!(error.transient && error.kind == Kind::Unreachable, "{status} {code}");
    }
}

#[test]
fn another_region_is_followed_once_it_is_another() {
    let region = |refusal: &Refusal| match with(None, |tried| tried.refused(refusal)) {
        Failure::Elsewhere(region) => Some(region),
        Failure::Error(_) => None,
    };
    let moved = |status, code, header: &str| Refusal {
        bucket_region: Some(header.into()),
        ..refusal(status, code, "")
    };
    assert_eq!(region(&moved(301, "PermanentRedirect", "eu-west-1")).as_deref(), Some("eu-west-1"));
    assert_eq!(
        region(&moved(400, "AuthorizationHeaderMalformed", "eu-west-1")).as_deref(),
        Some("eu-west-1")
    );
    let words =
        "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-3'";
    assert_eq!(region(&refusal(400, "AuthorizationHeaderMalformed", words)).as_deref(), Some("eu-west-3"));
    assert_eq!(region(&moved(403, "AccessDenied", "us-east-1")), None);
    assert_eq!(region(&moved(301, "PermanentRedirect", "evil.example/")), None);
    assert_eq!(error(&refusal(301, "PermanentRedirect", "")).kind, Kind::Setting);
}
