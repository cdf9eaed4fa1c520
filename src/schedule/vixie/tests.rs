use super::*;
use proptest::prelude::*;

/// The first `count` moments from the start of 2024 (a leap year whose 1 January is a Monday), as local time.
fn from_2024(text: &str, count: usize) -> Vec<String> {
    let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let mut at = DateTime::parse_from_rfc3339("2024-01-01T00:00:00Z").unwrap().timestamp();
    let mut found = Vec::new();
    while found.len() < count
        && let Some(next) = expression.next_local(at)
    {
        found.push(DateTime::from_timestamp(next, 0).unwrap().format("%m-%d %H:%M:%S").to_string());
        at = next + 1;
    }
    found
}

/// Dates of the first moments, for expressions that say `0 0` for the time.
fn days(text: &str, count: usize) -> Vec<String> {
    from_2024(text, count).iter().map(|moment| moment.strip_suffix(" 00:00:00").unwrap().to_owned()).collect()
}

#[test]
fn sunday_is_0_and_7_and_ranges_of_days_are_crons() {
    for text in
        ["0 0 * * 0", "0 0 * * 7", "0 0 * * 0,7", "0 0 * * sun", "0 0 * * SUN", "@weekly", "0 0 * * */7"]
    {
        assert_eq!(days(text, 2), ["01-07", "01-14"], "{text}");
    }
    assert_eq!(days("0 0 * * 1-5", 6), ["01-01", "01-02", "01-03", "01-04", "01-05", "01-08"]);
    assert_eq!(days("0 0 * * 5-7", 4), ["01-05", "01-06", "01-07", "01-12"]);
    assert_eq!(days("0 0 * * 0-6", 3), ["01-01", "01-02", "01-03"]);
    assert_eq!(days("0 0 * * Mon,Wed,Fri", 4), ["01-01", "01-03", "01-05", "01-08"]);
    assert_eq!(days("0 0 * * sun-tue", 4), ["01-01", "01-02", "01-07", "01-08"]);
    assert_eq!(days("0 0 * * 1-7/2", 5), ["01-01", "01-03", "01-05", "01-07", "01-08"]);
}

#[test]
fn day_of_month_or_day_of_week_unless_one_starts_with_a_star() {
    assert_eq!(days("0 0 13 * 5", 4), ["01-05", "01-12", "01-13", "01-19"]);
    assert_eq!(days("0 0 1,15 * 1", 5), ["01-01", "01-08", "01-15", "01-22", "01-29"]);
    assert_eq!(days("0 0 */2 * 1", 4), ["01-01", "01-15", "01-29", "02-05"]);
    assert_eq!(days("0 0 1 * */2", 4), ["02-01", "06-01", "08-01", "09-01"]);
    // The star counts as the first character alone.
    assert_eq!(days("0 0 *,1 * 1", 3), ["01-01", "01-08", "01-15"]);
    assert_eq!(days("0 0 1,* * 1", 3), ["01-01", "01-02", "01-03"]);
    assert_eq!(days("0 0 1-31 * 1", 3), ["01-01", "01-02", "01-03"]);
    assert_eq!(days("0 0 31 * *", 3), ["01-31", "03-31", "05-31"]);
    assert_eq!(days("0 0 30 2 1", 3), ["02-05", "02-12", "02-19"]);
}

#[test]
fn steps_names_blanks_and_seconds() {
    assert_eq!(from_2024("*/90 * * * *", 2), ["01-01 00:00:00", "01-01 01:00:00"]);
    assert_eq!(from_2024("5-59/15 0 * * *", 3), ["01-01 00:05:00", "01-01 00:20:00", "01-01 00:35:00"]);
    assert_eq!(from_2024("1-10/99999999999999999999 0 * * *", 2), ["01-01 00:01:00", "01-02 00:01:00"]);
    assert_eq!(from_2024("\t 07  00\t1   JAN-mar/2 * ", 2), ["01-01 00:07:00", "03-01 00:07:00"]);
    assert_eq!(
        from_2024("*/20 59 23 31 12 *", 4),
        ["12-31 23:59:00", "12-31 23:59:20", "12-31 23:59:40", "12-31 23:59:00"]
    );
}

#[test]
fn words_for_times() {
    for (word, expected) in [
        ("@yearly", "01-01 00:00:00"),
        ("@annually", "01-01 00:00:00"),
        ("@monthly", "02-01 00:00:00"),
        ("@weekly", "01-14 00:00:00"),
        ("@daily", "01-02 00:00:00"),
        ("@midnight", "01-02 00:00:00"),
        ("@hourly", "01-01 01:00:00"),
    ] {
        assert_eq!(from_2024(word, 2)[1], expected, "{word}");
    }
    assert!(Expression::parse("@hourly").unwrap().is_wildcard());
    assert!(!Expression::parse("@daily").unwrap().is_wildcard());
}

#[test]
fn wildcards_are_told_by_minute_and_hour() {
    for (text, wildcard) in [
        ("* 1 * * *", true),
        ("*/5 1 * * *", true),
        ("5 * * * *", true),
        ("5 */2 * * *", true),
        ("5 1 * * *", false),
        ("0-59 0-23 * * *", false),
        ("* 5 1 * * *", false),
        ("0 5 * * * *", true),
    ] {
        assert_eq!(Expression::parse(text).unwrap().is_wildcard(), wildcard, "{text}");
    }
}

#[test]
fn what_never_happens_is_refused_and_what_is_rare_is_not() {
    for text in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 31 feb *", "0 0 30-31 2 */2"] {
        assert!(matches!(Expression::parse(text), Err(ScheduleError::Never { .. })), "{text}");
    }
    assert_eq!(days("0 0 29 2 *", 3), ["02-29", "02-29", "02-29"]);
    // Only when 29 February is a Sunday, in 2032, 2060 and 2088.
    assert_eq!(days("0 0 29 2 */7", 9).len(), 3);
    let error = Expression::parse("0 0 30 2 *").unwrap_err();
    assert_eq!(error.column(), Some(5));
    assert!(error.to_string().contains("never happens"), "{error}");
}

#[test]
fn every_error_has_its_place_and_its_remedy() {
    for (text, column, words) in [
        ("5/15 * * * *", 1, "write 5-59/15"),
        ("0 8/2 * * *", 3, "write 8-23/2"),
        ("0 0 * * fri-sun", 9, "write 5-7"),
        ("0 22-3 * * *", 3, "write 22-23,0-3"),
        ("0 0 * nov-feb *", 7, "write 11-12,1-2"),
        ("0 0 * * 6-1", 9, "write 6,0-1"),
        ("0 0 L * *", 5, "last day"),
        ("0 0 15W * *", 5, "nearest weekday"),
        ("0 0 * * 5#2", 9, "nth weekday"),
        ("0 0 * * 5L", 9, "last day"),
        ("0 0 ? * *", 5, "write *"),
        ("0~30 * * * *", 1, "random"),
        ("H * * * *", 1, "random"),
        ("60 * * * *", 1, "0 to 59"),
        ("0 24 * * *", 3, "midnight is 0"),
        ("0 0 0 * *", 5, "1 to 31"),
        ("0 0 32 * *", 5, "1 to 31"),
        ("0 0 * 13 *", 7, "1 to 12 or jan to dec"),
        ("0 0 * * 8", 9, "0 to 7 (0 and 7 are Sunday)"),
        ("0 0 * * monday", 9, "write mon"),
        ("0 0 * * mo", 9, "sun to sat"),
        ("0 mon * * *", 3, "0 to 23"),
        ("0,1,70 * * * *", 5, "0 to 59"),
        ("0-70 * * * *", 3, "0 to 59"),
        ("5-64/30 * * * *", 3, "0 to 59"),
        ("*/0 * * * *", 3, "from 1 on"),
        ("*/x * * * *", 3, "from 1 on"),
        ("*/ * * * *", 3, "from 1 on"),
        ("*/+5 * * * *", 3, "from 1 on"),
        ("1-5/2/2 * * * *", 5, "from 1 on"),
        ("*5 * * * *", 1, "write * or */2"),
        ("*-5 * * * *", 1, "write * or */2"),
        ("1,,2 * * * *", 3, "comma"),
        ("1, * * * *", 3, "comma"),
        (",1 * * * *", 1, "comma"),
        ("1- * * * *", 3, "lacks a number"),
        ("-1 * * * *", 1, "lacks a number"),
        ("+1 * * * *", 1, "0 to 59"),
        ("1-2-3 * * * *", 3, "0 to 59"),
        ("0x5 * * * *", 1, "0 to 59"),
        ("* * * *", 8, "day of week is missing"),
        ("5", 2, "hour, day of month, month and day of week are missing"),
        ("", 1, "empty"),
        (" \t", 3, "empty"),
        ("0 0 1 1 * * 2027", 13, "year"),
        ("* * * * *\n", 9, "after its *"),
        ("@reboot", 1, "[[boot]]"),
        ("@every 5m", 1, "write \"*/5 * * * *\""),
        ("@every 2h", 1, "write \"0 */2 * * *\""),
        ("@every 10s", 1, "write \"*/10 * * * * *\""),
        ("@every 7m", 1, "divide the hour"),
        ("@every", 1, "divide the hour"),
        ("@Daily", 1, "lower case, @daily"),
        ("@fortnightly", 1, "@weekly"),
        ("@daily 5", 8, "stands alone"),
        ("é * * * *", 1, "0 to 59"),
        ("0 0 * * mön", 9, "sun to sat"),
    ] {
        let Err(error) = Expression::parse(text) else { panic!("{text:?} was taken") };
        assert!(error.to_string().contains(words), "{text:?}: {error}");
        assert_eq!(error.column(), Some(column), "{text:?}: {error}");
        assert!(error.to_string().starts_with("cannot "), "{error}");
    }
}

#[test]
fn the_caret_counts_letters_and_keeps_tabs() {
    let caret = |text: &str| Expression::parse(text).unwrap_err().caret().unwrap();
    assert_eq!(caret("0\t24 * * *"), "  0\t24 * * *\n   \t^^");
    assert_eq!(caret("0 0 * * mön"), "  0 0 * * mön\n          ^^^");
    assert_eq!(caret("* * * *"), "  * * * *\n         ^");
    assert_eq!(caret(""), "  \n  ^");
}

/// Text made of the parts that expressions are made of, so that most of it gets far into the parser.
fn nearly_an_expression() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "*", "/", "-", ",", " ", "\t", "0", "5", "7", "12", "23", "31", "59", "60", "99999", "sun", "Feb",
        "monday", "?", "L", "W", "#", "@", "@daily", "@every ", "é", "\0", "\n",
    ]);
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), nearly_an_expression()]) {
        if let Err(error) = Expression::parse(&text) {
            // Neither does telling what is wrong, and the place is always in the text or just behind it.
            prop_assert!(error.column().is_some_and(|column| column <= text.len() + 1));
            prop_assert!(error.caret().is_some());
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
