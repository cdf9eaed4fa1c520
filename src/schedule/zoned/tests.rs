use super::*;
use proptest::prelude::*;

/// The next `count` runs after `from`, in local time with offset.
fn runs(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text, Some(zone)).unwrap_or_else(|error| panic!("{error}"));
    let mut at: Timestamp = from.parse().unwrap();
    let mut found = Vec::new();
    while found.len() < count
        && let Some(next) = schedule.next_after(at)
    {
        assert!(next > at, "{text} in {zone}: {next} after {at}");
        at = next;
        found.push(next.to_zoned(schedule.zone().clone()).strftime("%m-%dT%H:%M:%S%:z").to_string());
    }
    found
}

#[test]
fn clocks_forward_start_fixed_times_once_right_after() {
    // London, 29 March 2026: 01:00 GMT is 02:00 BST.
    let from = "2026-03-28T12:00:00Z";
    assert_eq!(
        runs("30 1 * * *", "Europe/London", from, 2),
        ["03-29T02:00:00+01:00", "03-30T01:30:00+01:00"]
    );
    assert_eq!(
        runs("15,45 1 * * *", "Europe/London", from, 2),
        ["03-29T02:00:00+01:00", "03-30T01:15:00+01:00"]
    );
    assert_eq!(
        runs("0,30 1,2 * * *", "Europe/London", from, 3),
        ["03-29T02:00:00+01:00", "03-29T02:30:00+01:00", "03-30T01:00:00+01:00"]
    );
    assert_eq!(runs("59 0 29 3 *", "Europe/London", from, 1), ["03-29T00:59:00+00:00"]);
    // And only if the process lived before the change: strictly later is strictly later.
    assert_eq!(runs("30 1 * * *", "Europe/London", "2026-03-29T01:00:00Z", 1), ["03-30T01:30:00+01:00"]);
}

#[test]
fn clocks_forward_carry_wildcards_along() {
    let from = "2026-03-29T00:29:00Z";
    assert_eq!(
        runs("*/30 * * * *", "Europe/London", from, 3),
        ["03-29T00:30:00+00:00", "03-29T02:00:00+01:00", "03-29T02:30:00+01:00"]
    );
    assert_eq!(runs("*/30 1 * * *", "Europe/London", from, 1), ["03-30T01:00:00+01:00"]);
}

#[test]
fn clocks_back_run_fixed_times_once_and_wildcards_twice() {
    // London, 25 October 2026: 02:00 BST is 01:00 GMT.
    let from = "2026-10-24T12:00:00Z";
    assert_eq!(
        runs("30 1 * * *", "Europe/London", from, 2),
        ["10-25T01:30:00+01:00", "10-26T01:30:00+00:00"]
    );
    assert_eq!(runs("0 2 * * *", "Europe/London", from, 2), ["10-25T02:00:00+00:00", "10-26T02:00:00+00:00"]);
    assert_eq!(
        runs("*/30 1 * * *", "Europe/London", from, 5),
        [
            "10-25T01:00:00+01:00",
            "10-25T01:30:00+01:00",
            "10-25T01:00:00+00:00",
            "10-25T01:30:00+00:00",
            "10-26T01:00:00+00:00"
        ]
    );
    // Within the second pass a fixed time of the first is over.
    assert_eq!(runs("30 1 * * *", "Europe/London", "2026-10-25T01:10:00Z", 1), ["10-26T01:30:00+00:00"]);
    assert_eq!(runs("30 * * * *", "Europe/London", "2026-10-25T01:10:00Z", 1), ["10-25T01:30:00+00:00"]);
}

#[test]
fn odd_zones() {
    // Lord Howe moves by half an hour: 02:00 becomes 02:30.
    assert_eq!(
        runs("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2),
        ["10-04T02:30:00+11:00", "10-05T02:15:00+11:00"]
    );
    assert_eq!(
        runs("*/15 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:20:00Z", 4),
        ["04-05T01:30:00+11:00", "04-05T01:45:00+11:00", "04-05T01:30:00+10:30", "04-05T01:45:00+10:30"]
    );
    // Samoa had no 30 December 2011: what was due on it ran as the 31st began.
    assert_eq!(
        runs("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", 2),
        ["12-31T00:00:00+14:00", "12-30T12:00:00+14:00"]
    );
    assert_eq!(
        runs("0 */8 * * *", "Pacific/Apia", "2011-12-30T01:00:00Z", 3),
        ["12-29T16:00:00-10:00", "12-31T00:00:00+14:00", "12-31T08:00:00+14:00"]
    );
    // Cairo and Havana have no midnight on the day of the change.
    assert_eq!(
        runs("@daily", "Africa/Cairo", "2026-04-23T12:00:00Z", 2),
        ["04-24T01:00:00+03:00", "04-25T00:00:00+03:00"]
    );
    assert_eq!(
        runs("0 0 * * *", "America/Havana", "2026-03-07T12:00:00Z", 2),
        ["03-08T01:00:00-04:00", "03-09T00:00:00-04:00"]
    );
    // Dublin's winter time is its daylight saving time, a negative one.
    assert_eq!(runs("30 1 * * *", "Europe/Dublin", "2026-03-28T12:00:00Z", 1), ["03-29T02:00:00+01:00"]);
    assert_eq!(
        runs("30 1 * * *", "Europe/Dublin", "2026-10-24T12:00:00Z", 2),
        ["10-25T01:30:00+01:00", "10-26T01:30:00+00:00"]
    );
}

#[test]
fn strictly_later_and_at_a_whole_second() {
    for (from, expected) in [
        ("2026-01-01T00:00:00Z", "01-01T00:01:00+00:00"),
        ("2025-12-31T23:59:59.999999999Z", "01-01T00:00:00+00:00"),
        ("2026-01-01T00:00:00.000000001Z", "01-01T00:01:00+00:00"),
        // Before 1970, where the crate's calendar starts, and on its other side of zero.
        ("1969-12-31T23:59:59.5Z", "01-01T00:00:00+00:00"),
        ("1901-06-01T00:00:00Z", "01-01T00:00:00+00:00"),
    ] {
        assert_eq!(runs("* * * * *", "UTC", from, 1), [expected], "{from}");
    }
    assert_eq!(runs("* * * * *", "UTC", "2100-12-31T23:59:00Z", 1), [""; 0]);
    assert_eq!(runs("0 0 29 2 *", "Europe/Paris", "2096-03-01T00:00:00Z", 1), [""; 0]);
    assert_eq!(Schedule::parse("* * * * *", None).unwrap().next_after(Timestamp::MAX), None);
    assert!(Schedule::parse("* * * * *", None).unwrap().next_after(Timestamp::MIN).is_some());
}

#[test]
fn an_unknown_zone_names_the_nearest() {
    for (zone, nearest) in [
        ("Europe/Lodnon", Some("Europe/London")),
        ("Europe/Pariss", Some("Europe/Paris")),
        ("America/New York", Some("America/New_York")),
        ("Kathmandu", Some("Asia/Kathmandu")),
        ("Mars/Olympus_Mons", None),
        ("", None),
    ] {
        let Err(ScheduleError::Zone { nearest: found, .. }) = Schedule::parse("* * * * *", Some(zone)) else {
            panic!("{zone:?} was taken")
        };
        assert_eq!(found.as_deref(), nearest, "{zone:?}");
    }
    assert!(Schedule::parse("* * * * *", Some("europe/london")).is_ok());
    let error = Schedule::parse("* * * * *", Some("Europe/Lodnon")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot find the time zone: no time zone is called \"Europe/Lodnon\"; the nearest is \"Europe/London\""
    );
    assert_eq!(error.caret(), None);
}

fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        1 => (2_u8..40).prop_map(|step| format!("*/{step}")),
        2 => (low..=high).prop_map(|number| number.to_string()),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

proptest! {
    #[test]
    fn every_run_is_later_than_the_one_before(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), month in field(1, 12), weekday in field(0, 7),
        zone in prop::sample::select(vec![
            "UTC", "Europe/London", "Europe/Dublin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia",
            "Africa/Cairo", "Africa/Casablanca", "Antarctica/Troll", "America/Sao_Paulo", "America/St_Johns",
        ]),
        second in -2_000_000_000_i64..4_000_000_000,
        nanosecond in 0_i32..1_000_000_000,
    ) {
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        if let Ok(schedule) = Schedule::parse(&text, Some(zone)) {
            let mut at = Timestamp::new(second, nanosecond).unwrap();
            for _ in 0..20 {
                let Some(next) = schedule.next_after(at) else { break };
                prop_assert!(next > at, "{text} in {zone}: {next} after {at}");
                prop_assert_eq!(next.subsec_nanosecond(), 0);
                // An instant between two runs does not change the next one.
                let between = at.checked_add(next.duration_since(at) / 2).unwrap();
                prop_assert_eq!(schedule.next_after(between), Some(next));
                at = next;
            }
        }
    }
}
