use super::*;

fn path(text: &str) -> PathBuf {
    match Source::parse(text).unwrap() {
        Source::File(path) => path,
        other => panic!("{other}"),
    }
}

fn message(text: &str) -> String {
    Source::parse(text).unwrap_err().to_string()
}

#[test]
fn files() {
    assert_eq!(path("/etc/app/.env"), PathBuf::from("/etc/app/.env"));
    assert_eq!(path("file:///etc/app/.env"), PathBuf::from("/etc/app/.env"));
    assert_eq!(path("FILE://localhost/etc/x"), PathBuf::from("/etc/x"));
    assert_eq!(path("  /etc/x "), PathBuf::from("/etc/x"));
}

#[test]
fn names_of_a_self_signed_certificate() {
    let names = |text: &str| match Source::parse(text) {
        Ok(Source::SelfSigned(names)) => names.join(" "),
        other => format!("{other:?}"),
    };
    assert_eq!(names("self-signed:localhost"), "localhost");
    assert_eq!(
        names("self-signed:example.com, *.example.com,127.0.0.1,::1"),
        "example.com *.example.com 127.0.0.1 ::1"
    );
    for text in
        ["self-signed:", "self-signed:a,,b", "self-signed:a b", "self-signed:a\nb", "self-signed:/etc/x"]
    {
        assert!(message(text).contains("write self-signed:"), "{text}");
    }
}

#[test]
fn what_names_no_source_says_what_to_write() {
    assert!(message("").contains("empty source"));
    assert!(message("file://etc/x").contains("three slashes"));
    assert!(message("etc/x").contains("relative path"));
    assert!(message("gs://bucket/key").contains("unknown scheme \"gs\""));
    assert!(message("https://b.s3.eu-west-1.amazonaws.com/a/.env?X=1").contains("write s3://b/a/.env"));
    assert!(message("https://s3.eu-west-1.amazonaws.com/b/.env").contains("write s3://b/.env"));
    assert!(message("https://example.com/.env").contains("not signed"));
    for text in ["", "file://etc/x", "etc/x", "gs://bucket/key", "s3://", "arn:aws:s3:::b"] {
        let message = message(text);
        assert!(message.starts_with("cannot ") && !message.ends_with('.'), "{message}");
    }
}

#[cfg(not(feature = "s3"))]
#[test]
fn a_build_without_s3_refuses_s3_by_name_and_bad_notation_first() {
    assert!(message("s3://bucket/key").contains("without the feature \"s3\""));
    assert!(message("arn:aws:s3:::bucket/key").contains("without the feature \"s3\""));
    assert!(message("s3:///key").contains("bucket is missing"));
}

#[cfg(feature = "s3")]
mod s3 {
    use super::*;

    fn object(text: &str) -> Object {
        match Source::parse(text).unwrap() {
            Source::S3(object) => object,
            other => panic!("{other}"),
        }
    }

    fn plain(bucket: &str, key: &str, version: Option<&str>) -> Object {
        Object { bucket: bucket.into(), key: key.into(), version_id: version.map(Into::into), region: None }
    }

    #[test]
    fn addresses_and_arns() {
        assert_eq!(object("s3://bucket/.env"), plain("bucket", ".env", None));
        assert_eq!(object("S3://bucket/a/b c%20d.env"), plain("bucket", "a/b c%20d.env", None));
        assert_eq!(object("s3://bucket/k?versionId=A.b_c-1="), plain("bucket", "k", Some("A.b_c-1=")));
        assert_eq!(object("arn:aws:s3:::bucket/prod/.env"), plain("bucket", "prod/.env", None));
        assert_eq!(object("arn:aws-cn:s3:::bucket/k?versionId=v"), plain("bucket", "k", Some("v")));
        assert_eq!(object("s3://bucket/what?"), plain("bucket", "what?", None));
    }

    #[test]
    fn access_points() {
        let expected = Object {
            bucket: "arn:aws:s3:eu-west-1:123456789012:accesspoint/prod".into(),
            key: "app/.env".into(),
            version_id: None,
            region: Some("eu-west-1".into()),
        };
        assert_eq!(object("arn:aws:s3:eu-west-1:123456789012:accesspoint/prod/object/app/.env"), expected);
        assert_eq!(object("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/prod/app/.env"), expected);
        assert_eq!(expected.arn(), "arn:aws:s3:eu-west-1:123456789012:accesspoint/prod/object/app/.env");
    }

    #[test]
    fn shown_as_it_can_be_written() {
        for text in ["s3://bucket/a/.env", "s3://bucket/a/.env?versionId=x"] {
            assert_eq!(Source::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(object("s3://bucket/k").arn(), "arn:aws:s3:::bucket/k");
        assert_eq!(object("s3://bucket/k").bucket_arn(), "arn:aws:s3:::bucket");
    }

    #[test]
    fn mistakes() {
        assert!(message("s3://bucket").contains("the key is missing"));
        assert!(message("s3://bucket/").contains("the key is missing"));
        assert!(message("s3:///.env").contains("bucket is missing"));
        assert!(message("s3://bucket//.env").contains("second slash"));
        assert!(message("s3://bucket/dir/").contains("folder"));
        assert!(message("s3://my bucket/k").contains("letters, digits"));
        assert!(message("s3://ab/k").contains("3 to 63"));
        assert!(message("s3://bucket/k?version=3").contains("unknown parameter \"version\""));
        assert!(message("s3://bucket/k?versionId=").contains("unknown parameter"));
        assert!(message("arn:aws:sqs:::bucket/k").contains("not one of S3"));
        assert!(message("arn:aws:s3").contains("too few parts"));
        assert!(message("arn:gcp:s3:::bucket/k").contains("unknown partition"));
        assert!(message("arn:aws:s3:eu-west-1::bucket/k").contains("no region"));
        assert!(message("arn:aws:s3:eu-west-1:1:accesspoint/x").contains("names no object"));
        assert!(message("arn:aws:s3:::bucket").contains("no object"));
    }
}
