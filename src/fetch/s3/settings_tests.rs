use super::*;
use crate::fetch::job::Format;

fn object(bucket: &str) -> Object {
    Object { bucket: bucket.into(), key: "k".into(), version_id: None, region: None }
}

fn job() -> Job {
    Job {
        source: "s3://bucket/k".into(),
        path: "/opt/php/.env".into(),
        format: Format::Raw,
        mode: 0o440,
        uid: None,
        gid: None,
        required: true,
        timeout_ms: 20_000,
        max_size: 1,
        require_keys: Vec::new(),
        staged_source: None,
        certificate: None,
        env_keys: Vec::new(),
        planned_keys: Vec::new(),
        decrypt: None,
        endpoint: None,
        region: None,
        path_style: None,
        directory: None,
        known: None,
        vars: Default::default(),
    }
}

fn settings(bucket: &str, job: &Job, vars: &[(&str, &str)]) -> Settings {
    Settings::new(&object(bucket), job, &Vars::of(vars)).unwrap()
}

fn endpoint_of(job: &Job, vars: &[(&str, &str)]) -> Option<String> {
    settings("bucket", job, vars).endpoint.map(|(text, _)| text)
}

#[test]
fn the_nearest_endpoint_wins() {
    let both = [("AWS_ENDPOINT_URL", "http://all"), ("AWS_ENDPOINT_URL_S3", "http://s3")];
    assert_eq!(endpoint_of(&job(), &[]), None);
    assert_eq!(endpoint_of(&job(), &both[..1]).as_deref(), Some("http://all"));
    assert_eq!(endpoint_of(&job(), &both).as_deref(), Some("http://s3"));
    let ignored = [both[0], both[1], ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
    assert_eq!(endpoint_of(&job(), &ignored), None);
    let own = Job { endpoint: Some("http://own".into()), ..job() };
    assert_eq!(endpoint_of(&own, &ignored).as_deref(), Some("http://own"));
}

#[test]
fn a_bad_endpoint_is_named_by_its_setting() {
    let error = Settings::new(&object("bucket"), &job(), &Vars::of(&[("AWS_ENDPOINT_URL", "minio:9000")]))
        .err()
        .unwrap();
    assert_eq!(error.kind, Kind::Setting);
    assert!(error.message.contains("AWS_ENDPOINT_URL") && error.message.contains("http://"), "{error}");
}

#[test]
fn path_style_where_a_name_per_bucket_cannot_work() {
    let style = |bucket: &str, endpoint: Option<&str>| {
        settings(bucket, &Job { endpoint: endpoint.map(Into::into), ..job() }, &[]).path_style
    };
    assert!(!style("bucket", None));
    assert!(style("certs.eu-west-2.prod", None));
    assert!(!style("bucket", Some("https://s3.eu-west-1.amazonaws.com")));
    for endpoint in
        ["http://127.0.0.1:9000", "http://localhost:9000", "http://minio:9000", "https://s3.example.com"]
    {
        assert!(style("bucket", Some(endpoint)), "{endpoint}");
    }
    let told = Job { path_style: Some(false), endpoint: Some("https://s3.example.com".into()), ..job() };
    assert!(!settings("a.bucket", &told, &[]).path_style);
    assert!(!style("arn:aws:s3:eu-west-1:1:accesspoint/x", Some("https://vpce.example.com")));
}

#[test]
fn region_and_switches() {
    let region = |job: &Job, vars: &[(&str, &str)]| settings("bucket", job, vars).region;
    let vars = [("AWS_REGION", "a"), ("AWS_DEFAULT_REGION", "b")];
    assert_eq!(region(&job(), &vars).as_deref(), Some("a"));
    assert_eq!(region(&job(), &vars[1..]).as_deref(), Some("b"));
    assert_eq!(region(&Job { region: Some("c".into()), ..job() }, &vars).as_deref(), Some("c"));
    assert_eq!(region(&job(), &[]), None);
    let switches = [("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_USE_DUALSTACK_ENDPOINT", "TRUE")];
    let plain = settings("bucket", &job(), &switches);
    assert!(plain.fips && plain.dual_stack && plain.tls());
    assert_eq!(plain.host("us-gov-west-1"), "s3-fips.dualstack.us-gov-west-1.amazonaws.com");
    assert_eq!(settings("bucket", &job(), &[]).host("cn-north-1"), "s3.cn-north-1.amazonaws.com.cn");
    let own = settings("bucket", &Job { endpoint: Some("http://own".into()), ..job() }, &switches);
    assert!(!own.fips && !own.dual_stack && !own.tls());
}

#[test]
fn every_sign_of_ecs_counts() {
    for (name, value) in [
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x"),
        ("ECS_CONTAINER_METADATA_URI", "http://169.254.170.2/v3"),
        ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4"),
        ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"),
        ("AWS_EXECUTION_ENV", "AWS_ECS_EC2"),
    ] {
        assert!(settings("bucket", &job(), &[(name, value)]).on_ecs, "{name}");
    }
    assert!(!settings("bucket", &job(), &[("AWS_EXECUTION_ENV", "CloudShell")]).on_ecs);
}

#[test]
fn an_attempt_leaves_time_for_another() {
    let ms = Duration::from_millis;
    assert_eq!(
        Patience::within(ms(20_000)),
        Patience { connect: ms(3000), answer: ms(10_000), stall: ms(5000) }
    );
    assert_eq!(Patience::within(ms(2000)), Patience { connect: ms(500), answer: ms(1000), stall: ms(500) });
    assert_eq!(Patience::within(ms(100)).stall, ms(200));
}
