use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    format!("2026-03-02T{text}Z").parse().unwrap()
}

fn table(schedules: &[&str], now: &str) -> Timetable {
    let schedules = schedules.iter().map(|text| Schedule::parse(text, None).unwrap());
    Timetable::new((0_u16..).zip(schedules), at(now))
}

/// `0@12:01:00` for a run of unit 0 scheduled then; `!` for one that is only missed; `+2.5s` lag; `-3` missed.
fn told(dues: &[Due]) -> Vec<String> {
    dues.iter()
        .map(|due| {
            let run = if due.run { "" } else { "!" };
            let scheduled = due.scheduled.strftime("%H:%M:%S");
            let lag = if due.lag.is_zero() { String::new() } else { format!(" +{:?}", due.lag) };
            let missed = if due.missed == 0 { String::new() } else { format!(" -{}", due.missed) };
            format!("{}{run}@{scheduled}{lag}{missed}", due.unit)
        })
        .collect()
}

#[test]
fn nothing_runs_at_boot_not_even_when_due_at_that_second() {
    for boot in ["12:00:00", "12:00:00.4", "12:00:20", "12:00:59.999"] {
        let mut table = table(&["* * * * *"], boot);
        assert_eq!(table.next_due(), Some(at("12:01:00")), "{boot}");
        assert!(table.advance(at(boot)).is_empty(), "{boot}");
        assert!(table.advance(at("12:00:59.9999")).is_empty(), "{boot}");
        assert_eq!(told(&table.advance(at("12:01:00"))), ["0@12:01:00"], "{boot}");
        assert_eq!(table.next_due(), Some(at("12:02:00")), "{boot}");
    }
}

#[test]
fn a_minute_runs_once_however_often_it_is_asked_for() {
    let mut table = table(&["* * * * *"], "12:00:20");
    let mut runs = Vec::new();
    for tenth in 0..3000_i64 {
        let now = at("12:00:20").checked_add(SignedDuration::from_millis(tenth * 100 + 50)).unwrap();
        runs.extend(told(&table.advance(now)));
    }
    assert_eq!(
        runs,
        ["0@12:01:00 +50ms", "0@12:02:00 +50ms", "0@12:03:00 +50ms", "0@12:04:00 +50ms", "0@12:05:00 +50ms"]
    );
}

#[test]
fn entries_come_in_order_each_on_its_own_time() {
    let mut table = table(&["*/2 * * * *", "* * * * *", "0 13 * * *", "*/20 * * * * *"], "12:00:30");
    assert_eq!(table.next_due(), Some(at("12:00:40")));
    assert_eq!(table.next_of(0), Some(at("12:02:00")));
    assert_eq!(table.next_of(2), Some(at("13:00:00")));
    assert_eq!(table.next_of(9), None);
    assert_eq!(told(&table.advance(at("12:00:40"))), ["3@12:00:40"]);
    assert_eq!(told(&table.advance(at("12:01:00"))), ["1@12:01:00", "3@12:01:00"]);
    assert_eq!(told(&table.advance(at("12:02:00"))), ["0@12:02:00", "1@12:02:00", "3@12:02:00 -2"]);
}

#[test]
fn a_table_without_entries_is_never_due() {
    let mut table = table(&[], "12:00:00");
    assert_eq!(table.next_due(), None);
    assert!(table.advance(at("23:00:00")).is_empty());
}

#[test]
fn after_a_sleep_each_entry_runs_once_if_it_is_fresh_and_tells_what_it_missed() {
    let mut table = table(&["* * * * *", "30 * * * *", "0 20 * * *"], "12:00:30");
    assert_eq!(
        told(&table.advance(at("15:10:20"))),
        ["0@15:10:00 +20s -189", "1!@14:30:00 +2420s -3"],
        "three hours of sleep"
    );
    assert_eq!(table.next_due(), Some(at("15:11:00")));
    assert_eq!(told(&table.advance(at("15:11:00"))), ["0@15:11:00"]);
}

#[test]
fn a_run_is_worth_it_up_to_sixty_seconds_late() {
    for (now, expected) in [
        ("13:00:59.9", "0@13:00:00 +59.9s"),
        ("13:01:00", "0@13:00:00 +60s"),
        ("13:01:00.001", "0!@13:00:00 +60.001s -1"),
    ] {
        let mut table = table(&["0 13 * * *"], "12:00:00");
        assert_eq!(told(&table.advance(at(now))), [expected]);
        assert_eq!(table.next_due(), Some("2026-03-03T13:00:00Z".parse().unwrap()));
        assert!(table.advance(at("13:01:30")).is_empty());
    }
}

#[test]
fn a_clock_set_back_repeats_nothing_and_loses_nothing() {
    let mut table = table(&["* * * * *", "0 12 * * *"], "11:50:30");
    assert_eq!(told(&table.advance(at("11:58:00"))), ["0@11:58:00 -7"]);
    assert_eq!(told(&table.advance(at("11:59:00"))), ["0@11:59:00"]);
    assert_eq!(told(&table.advance(at("12:00:00.2"))), ["0@12:00:00 +200ms", "1@12:00:00 +200ms"]);
    // Half a second back, to just before noon; then two minutes; then two hours.
    assert!(table.advance(at("11:59:59.7")).is_empty());
    assert!(table.advance(at("12:00:00")).is_empty());
    assert!(table.advance(at("11:58:00")).is_empty());
    assert!(table.advance(at("12:00:30")).is_empty());
    assert!(table.advance(at("10:00:30")).is_empty());
    assert_eq!(table.next_due(), Some(at("12:01:00")), "what has been is not run again");
    assert_eq!(table.next_of(1), Some("2026-03-03T12:00:00Z".parse().unwrap()));
    assert!(table.advance(at("11:59:59")).is_empty());
    assert_eq!(told(&table.advance(at("12:01:00"))), ["0@12:01:00"]);
}

#[test]
fn a_clock_set_back_brings_what_has_not_run_yet() {
    // A daily run was passed over at 11:00, before the boot; the clock turns out to have been two hours ahead.
    let mut table = table(&["0 11 * * *", "@hourly"], "12:30:00");
    assert_eq!(told(&table.advance(at("13:00:00"))), ["1@13:00:00"]);
    assert!(table.advance(at("10:45:00")).is_empty());
    assert_eq!(table.next_of(0), Some(at("11:00:00")));
    assert_eq!(table.next_of(1), Some(at("14:00:00")));
    assert_eq!(told(&table.advance(at("11:00:00"))), ["0@11:00:00"]);
}

#[test]
fn a_small_step_back_right_after_boot_does_not_bring_the_minute_of_the_boot() {
    let mut table = table(&["* * * * *"], "12:00:20");
    assert!(table.advance(at("11:59:50")).is_empty());
    assert!(table.advance(at("12:00:00")).is_empty());
    assert_eq!(told(&table.advance(at("12:01:00"))), ["0@12:01:00"]);
}

#[test]
fn a_clock_set_back_by_more_than_three_hours_is_another_time() {
    let mut table = table(&["* * * * *"], "16:00:30");
    assert_eq!(told(&table.advance(at("16:01:00"))), ["0@16:01:00"]);
    assert!(table.advance(at("13:01:00")).is_empty());
    assert_eq!(table.next_due(), Some(at("16:02:00")), "three hours are a correction");
    assert!(table.advance(at("13:00:30")).is_empty());
    assert_eq!(table.next_due(), Some(at("13:01:00")), "more are not");
    assert_eq!(told(&table.advance(at("13:01:00"))), ["0@13:01:00"]);
}

#[test]
fn a_leap_of_decades_is_told_at_once() {
    let schedules = ["* * * * *", "* * * * * *", "0 0 1 1 *", "* 30 3 * * *"];
    let schedules = schedules.iter().map(|text| Schedule::parse(text, None).unwrap());
    let mut table = Timetable::new((0_u16..).zip(schedules), Timestamp::UNIX_EPOCH);
    let dues = table.advance(at("12:00:10"));
    assert_eq!(
        told(&dues),
        [
            "0@12:00:00 +10s -10000",
            "1@12:00:10 -10000",
            "2!@00:00:00 +5227210s -56",
            "3!@03:30:59 +30551s -10000"
        ]
    );
    assert_eq!(table.next_due(), Some(at("12:00:11")));
}

#[test]
fn a_plan_is_read_and_a_bad_schedule_names_its_entry() {
    let text = "* * * * * true\n0 5 * * * true\n";
    let (mut crons, _) = crate::schedule::crontab::plans("/etc/crontabs/www-data".as_ref(), text).unwrap();
    let table = Timetable::from_plan(&crons, at("12:00:00")).unwrap();
    assert_eq!(table.next_of(1), Some("2026-03-03T05:00:00Z".parse().unwrap()));
    crons[1].time_zone = Some("Nowhere".to_owned());
    let (name, error) = Timetable::from_plan(&crons, at("12:00:00")).unwrap_err();
    assert_eq!(name, "www-data:2");
    assert!(matches!(error, ScheduleError::Zone { .. }));
}

proptest! {
    /// Whatever the clock does: never an instant twice within a correction, never one that is not of the schedule,
    /// never one in the future, never a run that is stale.
    #[test]
    fn random_clocks(steps in prop::collection::vec(-5_000_i64..8_000, 1..60)) {
        let schedules = ["* * * * *", "*/7 * * * *", "*/25 * * * * *"];
        let mut table = table(&schedules, "12:00:30");
        let mut now = at("12:00:30");
        let mut ran: Vec<(u16, Timestamp)> = Vec::new();
        let mut newest = now;
        for step in steps {
            now = now.checked_add(SignedDuration::from_millis(step * 37)).unwrap();
            newest = newest.max(now);
            // Stay within the correction, so that nothing at all may repeat.
            if newest.duration_since(now) > SignedDuration::from_hours(2) {
                now = newest;
            }
            for due in table.advance(now) {
                prop_assert!(due.scheduled <= now);
                prop_assert_eq!(due.run, due.lag <= Duration::from_secs(60));
                prop_assert!(due.run || due.missed > 0);
                prop_assert!(!ran.contains(&(due.unit, due.scheduled)), "twice: {due:?}");
                let schedule = Schedule::parse(schedules[usize::from(due.unit)], None).unwrap();
                let before = due.scheduled.checked_sub(SignedDuration::from_nanos(1)).unwrap();
                prop_assert_eq!(schedule.next_after(before), Some(due.scheduled));
                ran.push((due.unit, due.scheduled));
            }
            prop_assert!(table.next_due().is_some_and(|next| next > now));
        }
    }
}
