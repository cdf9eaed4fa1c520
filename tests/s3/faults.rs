//! A server or a network in trouble: what passes is waited for, what does not is told before the deadline is over.

use crate::child::{Bed, dotenv};
use crate::server::{Mangle, Reply, Server, s3_error};
use std::net::TcpListener;
use std::time::Duration;

/// A front that does `fault` to the first `times` requests and passes on the rest.
fn front(bed: &Bed, times: usize, fault: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    let s3 = bed.s3;
    Server::local(move |_, number| if number < times { fault() } else { Reply::Forward(s3, Mangle::None) })
}

#[test]
fn unavailable_twice_then_success() {
    for (status, code) in
        [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests"), (400, "RequestTimeout")]
    {
        let bed = Bed::new();
        let front = front(&bed, 2, move || s3_error(status, code, "Please reduce your request rate."));
        let run = bed.through(front.address).succeeds();
        assert_eq!((run.report.attempts, front.seen().len()), (3, 3), "{status} {code}");
    }
}

#[test]
fn unavailable_until_the_deadline() {
    let bed = Bed::new();
    let front = front(&bed, usize::MAX, || s3_error(503, "SlowDown", "Please reduce your request rate."));
    let run = bed.through(front.address).job(|job| job.timeout_ms = 600).fails(69);
    run.says(&["503 SlowDown", "gave up after"]);
    assert!(run.report.attempts > 2 && run.elapsed < Duration::from_secs(3), "{:#?}", run.report);
}

#[test]
fn a_server_that_never_answers() {
    let bed = Bed::new();
    let silent = front(&bed, usize::MAX, || Reply::Hang);
    let run = bed.through(silent.address).job(|job| job.timeout_ms = 1000).fails(69);
    run.says(&["does not answer in time", "raise timeout"]);
    assert!(run.report.attempts >= 2, "{:#?}", run.report);
    assert!((900..3000).contains(&run.report.duration_ms), "{:#?}", run.report);
    // One that answers the second time is waited for.
    let bed = Bed::new();
    let once = front(&bed, 1, || Reply::Hang);
    assert_eq!(bed.through(once.address).job(|job| job.timeout_ms = 4000).succeeds().report.attempts, 2);
}

#[test]
fn a_body_that_stalls() {
    let bed = Bed::new();
    let s3 = bed.s3;
    let once =
        Server::local(move |_, n| Reply::Forward(s3, if n == 0 { Mangle::Stall(10) } else { Mangle::None }));
    assert_eq!(bed.through(once.address).job(|job| job.timeout_ms = 4000).succeeds().report.attempts, 2);
    let bed = Bed::new();
    let s3 = bed.s3;
    let always = Server::local(move |_, _| Reply::Forward(s3, Mangle::Stall(10)));
    let run = bed.through(always.address).job(|job| job.timeout_ms = 1000).fails(69);
    run.says(&[&format!("after 10 of {} bytes", dotenv().len())]);
    assert!(run.report.attempts >= 2, "{:#?}", run.report);
}

#[test]
fn a_body_that_is_cut_off() {
    let bed = Bed::new();
    let s3 = bed.s3;
    let twice = Server::local(move |_, n| {
        Reply::Forward(s3, if n < 2 { Mangle::Truncate(20) } else { Mangle::None })
    });
    assert_eq!(bed.through(twice.address).succeeds().report.attempts, 3);
    let bed = Bed::new();
    let s3 = bed.s3;
    let always = Server::local(move |_, _| Reply::Forward(s3, Mangle::Truncate(20)));
    let run = bed.through(always.address).job(|job| job.timeout_ms = 500).fails(69);
    run.says(&["after 20 bytes of the body"]);
}

#[test]
fn a_connection_that_closes_without_an_answer() {
    let bed = Bed::new();
    let front = front(&bed, 2, || Reply::Close);
    assert_eq!(bed.through(front.address).succeeds().report.attempts, 3);
}

#[test]
fn nobody_listens() {
    // Bound and closed again: the port is free, and nothing else on this machine was given it yet.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = Bed::new().through(address).job(|job| job.timeout_ms = 400).fails(69);
    run.says(&["refuses connections", "check the endpoint"]);
    assert!(run.report.attempts > 1, "{:#?}", run.report);
}

#[test]
fn a_name_that_does_not_exist() {
    let bed = Bed::new().job(|job| {
        job.endpoint = Some("http://s3.invalid:9000".into());
        job.timeout_ms = 2000;
    });
    bed.fails(69).says(&["s3.invalid", "resolved"]);
}

#[test]
fn a_bucket_of_another_region_is_followed_once() {
    let bed = Bed::new().env("AWS_REGION", "us-east-1");
    let s3 = bed.s3;
    let front = Server::local(move |request, _| {
        if request.header("authorization").is_some_and(|text| text.contains("/eu-west-3/s3/")) {
            return Reply::Forward(s3, Mangle::None);
        }
        Reply::Answer {
            status: 301,
            headers: "x-amz-bucket-region: eu-west-3\r\ncontent-type: application/xml\r\n".into(),
            body: "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>".into(),
        }
    });
    let run = bed.through(front.address).succeeds();
    assert_eq!((run.report.origin.region.as_deref(), front.seen().len()), (Some("eu-west-3"), 2));
    assert_eq!(run.report.attempts, 1);

    let front = Server::local(|_, n| Reply::Answer {
        status: 400,
        headers: format!("x-amz-bucket-region: eu-west-{}\r\n", n + 1),
        body: "<Error><Code>AuthorizationHeaderMalformed</Code><Message>no</Message></Error>".into(),
    });
    Bed::new().through(front.address).fails(78).says(&["from region to region"]);
    assert_eq!(front.seen().len(), 2);
}

#[test]
fn an_answer_that_is_not_s3s() {
    let front = Server::local(|_, _| crate::server::answer(403, "<html><body>Blocked</body></html>"));
    Bed::new().through(front.address).fails(66).says(&["403", "proxy or firewall"]);
    let front = Server::local(|_, _| crate::server::answer(404, "<html>nginx</html>"));
    Bed::new().through(front.address).fails(66).says(&["not S3's"]);
}

#[test]
fn a_body_that_drips_ends_at_the_deadline() {
    let bed = Bed::new();
    let front = front(&bed, usize::MAX, || Reply::Drip);
    // A byte comes before any stall is noticed.
    let run = bed.through(front.address).job(|job| job.timeout_ms = 1000).fails(69);
    run.says(&["no complete answer", "gave up after 1 attempt in 1."]);
}

#[test]
fn a_redirect_to_a_file_or_another_host_is_not_followed() {
    let elsewhere = Server::local(|_, _| crate::server::answer(200, dotenv()));
    for location in [format!("{}/config/app/.env", elsewhere.url()), "file:///etc/passwd".to_owned()] {
        let bed = Bed::new();
        let front = front(&bed, usize::MAX, move || {
            let headers = format!("location: {location}\r\n");
            Reply::Answer { status: 307, headers, body: String::new() }
        });
        assert_ne!(bed.through(front.address).job(|job| job.timeout_ms = 1000).run().code, 0);
    }
    assert!(elsewhere.seen().is_empty());
}
