//! Schedules against an oracle that shares no code with them: it reads expressions letter by letter, walks time
//! minute by minute with cron's virtual clock, and reads the system's zone files itself.
//!
//! `PHP_INIT_ORACLE=100000` checks that many expressions instead of 3,000; `PHP_INIT_SEED` changes which.

#![allow(clippy::disallowed_methods, reason = "tests make and read files of their own")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests, and their helpers, which clippy does not know as such"
)]

mod generate;
mod oracle;
mod table;
mod tzif;

use generate::Random;
use jiff::Timestamp;
use oracle::Oracle;
use php_init::schedule::Schedule;
use tzif::Zone;

const ZONES: &[&str] = &[
    "UTC",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "America/Caracas",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
];
const DAY: i64 = 86_400;
/// 1990 to 2036: from when on all these zones keep whole minutes, to where zone files end.
const YEARS: std::ops::Range<i64> = 631_152_000..2_082_758_400;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}

/// Runs after `after`, up to `count` of them and up to `until`.
fn product(schedule: &Schedule, after: i64, until: i64, count: usize) -> Vec<i64> {
    let mut at = Timestamp::from_second(after).unwrap();
    let mut runs = Vec::new();
    while runs.len() < count
        && let Some(next) = schedule.next_after(at)
        && next.as_second() <= until
    {
        runs.push(next.as_second());
        at = next;
    }
    runs
}

#[test]
fn random_expressions_run_when_the_oracle_says() {
    let zones: Vec<(&str, Zone)> = ZONES.iter().map(|name| (*name, Zone::load(name))).collect();
    let seed = number("PHP_INIT_SEED", 20_260_329);
    let mut random = Random::new(seed);
    let (mut taken, mut refused, mut checked, mut seams) = (0, 0, 0, 0);
    for round in 0..number("PHP_INIT_ORACLE", 3_000) {
        let text = generate::expression(&mut random);
        let (name, zone) = &zones[random.below(zones.len() as u64) as usize];
        let schedule = Schedule::parse(&text, Some(name));
        let oracle = Oracle::read(&text);
        let (Ok(schedule), Some(oracle)) = (&schedule, &oracle) else {
            let never = schedule.as_ref().is_err_and(|error| error.to_string().contains("never happens"));
            assert!(
                oracle.is_none() && schedule.is_err() || never && oracle.as_ref().is_some_and(Oracle::never),
                "seed {seed}, round {round}: {text:?}: {schedule:?}, the oracle {}",
                if oracle.is_some() { "takes it" } else { "refuses it" },
            );
            refused += 1;
            continue;
        };
        assert!(!oracle.never(), "seed {seed}, round {round}: {text:?} never happens");
        taken += 1;
        for _ in 0..3 {
            // Two of three starts lie around a change of the clocks.
            let after = match zone.change_near(random.within(YEARS)) {
                Some(change) if random.below(3) > 0 => {
                    seams += 1;
                    change + random.within(-2 * DAY..DAY / 4)
                }
                _ => random.within(YEARS),
            };
            let until = after + if oracle.by_second() { DAY * 3 } else { 400 * DAY };
            let expected = oracle.runs(zone, after, until, 8);
            let found = product(schedule, after, until, 8);
            assert_eq!(found, expected, "seed {seed}, round {round}: {text:?} in {name} after {after}");
            checked += found.len();
        }
    }
    println!(
        "{taken} expressions ({refused} refused by both), {checked} runs, {seams} starts at a change of clocks"
    );
    assert!(taken > refused && seams > 0, "the generator has gone astray");
}

#[test]
fn rare_days_run_when_the_oracle_says() {
    for name in ["UTC", "Europe/Paris", "Pacific/Apia"] {
        let zone = Zone::load(name);
        for text in [
            "0 0 29 2 *",
            "30 2 29 2 */7",
            "0 0 31 12 */6",
            "59 23 31 1-12/2 *",
            "0 0 29 2 1",
            "0 12 30 12 *",
        ] {
            let schedule = Schedule::parse(text, Some(name)).unwrap();
            let (after, until) = (1_262_304_000, 1_262_304_000 + 27 * 365 * DAY);
            let expected = Oracle::read(text).unwrap().runs(&zone, after, until, 40);
            assert!(!expected.is_empty());
            assert_eq!(product(&schedule, after, until, 40), expected, "{text:?} in {name}");
        }
    }
}

#[test]
fn every_minute_of_a_day_of_change_in_every_zone() {
    for name in ZONES {
        let zone = Zone::load(name);
        let changes: Vec<i64> = zone.changes().filter(|at| YEARS.contains(at)).collect();
        for change in changes.iter().rev().take(3) {
            for text in ["*/15 * * * *", "0,30 0-4 * * *", "10-50/20 */2 * * *", "@daily", "45 1,2,3 * * *"] {
                let schedule = Schedule::parse(text, Some(name)).unwrap();
                let oracle = Oracle::read(text).unwrap();
                let from = change - DAY / 2;
                let expected = oracle.runs(&zone, from, from + DAY, 200);
                assert_eq!(
                    product(&schedule, from, from + DAY, 200),
                    expected,
                    "{text:?} in {name} around {change}"
                );
                // From any instant, the answer is the next one in that row.
                for after in (from..from + DAY - 60).step_by(60 * 7 + 1) {
                    let next = expected.iter().copied().find(|run| *run > after);
                    let found = product(&schedule, after, from + DAY, 1).first().copied();
                    assert_eq!(found, next, "{text:?} in {name} after {after}");
                }
            }
        }
    }
}
