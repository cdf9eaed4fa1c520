//! `init cron`.

use crate::support::need;
use crate::usage::bare;

#[test]
fn it_prints_the_next_runs() {
    for (arguments, expected) in [
        (
            &["30 1 * * sun", "-n", "2", "--tz", "Europe/London", "--from", "2026-03-22T12:00:00Z"][..],
            "2026-03-29T02:00:00+01:00\n2026-04-05T01:30:00+01:00\n",
        ),
        (
            &["*/20 * * * *", "-n3", "--from=2026-01-01T00:00:00Z"],
            "2026-01-01T00:20:00+00:00\n2026-01-01T00:40:00+00:00\n2026-01-01T01:00:00+00:00\n",
        ),
        (
            &["0 0 13 * fri", "-n", "3", "--from", "2026-02-01T00:00:00Z"],
            "2026-02-06T00:00:00+00:00\n2026-02-13T00:00:00+00:00\n2026-02-20T00:00:00+00:00\n",
        ),
        (
            &["@daily", "-n", "1", "--from", "2026-07-01T00:00", "--tz", "Asia/Kathmandu"],
            "2026-07-02T00:00:00+05:45\n",
        ),
        (
            &["30 * * * * *", "-n", "2", "--from", "2026-01-01T00:00:00Z"],
            "2026-01-01T00:00:30+00:00\n2026-01-01T00:01:30+00:00\n",
        ),
    ] {
        let mut words = vec!["cron"];
        words.extend(arguments);
        assert_eq!(bare(&words), (0, expected.to_owned(), String::new()), "{arguments:?}");
    }
}

#[test]
fn without_a_time_it_starts_now() {
    if !need(&["date"]) {
        return;
    }
    let now = || {
        let out = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S"]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    let before = now();
    let (code, out, _) = bare(&["cron", "* * * * *"]);
    assert_eq!((code, out.lines().count()), (0, 10));
    // Text of RFC 3339 in one zone sorts as time does.
    let first = &out.lines().next().unwrap()[..19];
    assert!(first > before.as_str() && first.ends_with(":00"), "{before} {first}");
}

#[test]
fn a_wrong_expression_is_shown_with_a_caret() {
    let (code, out, err) = bare(&["cron", "0 5/15 * * *"]);
    assert_eq!((code, out.as_str()), (64, ""));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(&lines[1..], ["  0 5/15 * * *", "    ^^^^"], "{err}");
}
