use super::*;
use crate::config::plan::Overlap;

fn entries(text: &str, dialect: Dialect) -> Vec<CrontabEntry> {
    parse(text, dialect).unwrap_or_else(|errors| panic!("{errors:?}")).entries
}

fn only(text: &str, dialect: Dialect) -> CrontabEntry {
    let [entry] = <[CrontabEntry; 1]>::try_from(entries(text, dialect)).unwrap();
    entry
}

/// `line:column: text` of every error.
fn errors(text: &str, dialect: Dialect) -> Vec<String> {
    parse(text, dialect).unwrap_err().iter().map(CrontabError::to_string).collect()
}

#[test]
fn a_real_system_crontab() {
    let text = "\
# /etc/crontab: system-wide crontab
SHELL=/bin/bash
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# m h dom mon dow user\tcommand
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
@daily www-data php /var/www/html/artisan backup:run # not a comment
";
    let found = entries(text, Dialect::of(Path::new("/etc/crontab")));
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].line, found[0].schedule.as_str()), (6, "17 * * * *"));
    assert_eq!(found[0].user.as_deref(), Some("root"));
    assert_eq!(found[0].command, "cd / && run-parts --report /etc/cron.hourly");
    assert_eq!(found[0].shell, "/bin/bash");
    assert_eq!(found[2].schedule, "@daily");
    assert_eq!(found[2].user.as_deref(), Some("www-data"));
    assert_eq!(found[2].command, "php /var/www/html/artisan backup:run # not a comment");
    assert_eq!(
        found[2].env.get("PATH").map(String::as_str).and_then(|path| path.split(':').next()),
        Some("/usr/local/sbin")
    );
}

#[test]
fn the_place_of_a_file_tells_dialect_and_owner() {
    for (path, dialect, user) in [
        ("/etc/crontab", Dialect::System, None),
        ("/etc/cron.d/laravel", Dialect::System, None),
        ("/etc/crontabs/www-data", Dialect::Busybox, Some("www-data")),
        ("/var/spool/cron/crontabs/www-data", Dialect::User, Some("www-data")),
        ("/var/spool/cron/apache", Dialect::User, Some("apache")),
        ("/app/crontab", Dialect::User, None),
        ("crontab", Dialect::User, None),
        ("/", Dialect::User, None),
    ] {
        assert_eq!((Dialect::of(Path::new(path)), owner(Path::new(path))), (dialect, user), "{path}");
    }
}

#[test]
fn assignments_hold_for_the_lines_below_them() {
    let text = "\
* * * * * first
FOO = bar baz \t
 QUOTED=\" spaced \"
'NAME' = 'it # stays'
EMPTY=
INNER=/bin:\"x\"
A=b=c
* * * * * second
FOO=\"\"
* * * * * FOO=inline third";
    let found = entries(text, Dialect::User);
    assert!(found[0].env.is_empty());
    let values: Vec<(&str, &str)> =
        found[1].env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        values,
        [
            ("A", "b=c"),
            ("EMPTY", ""),
            ("FOO", "bar baz"),
            ("INNER", "/bin:\"x\""),
            ("NAME", "it # stays"),
            ("QUOTED", " spaced ")
        ]
    );
    assert_eq!(found[2].env["FOO"], "");
    assert_eq!(found[2].command, "FOO=inline third");
}

#[test]
fn mail_and_the_user_s_name_are_noted_and_left_out() {
    let text = "MAILTO=ops@example.com\nLOGNAME=root\n* * * * * true\n";
    let crontab = parse(text, Dialect::User).unwrap();
    assert!(crontab.entries[0].env.is_empty());
    assert_eq!(crontab.notes.iter().map(|note| note.line).collect::<Vec<_>>(), [1, 2]);
    assert!(crontab.notes[0].text.contains("no mail"));
    assert!(!format!("{:?}", crontab.notes).contains("example.com"));
}

#[test]
fn time_zones() {
    let text = "\
* * * * * utc
TZ=:Europe/Paris
* * * * * paris
CRON_TZ=America/New_York
* * * * * york
TZ=EST5EDT4,M3.2.0,M11.1.0
* * * * * still york
";
    let crontab = parse(text, Dialect::User).unwrap();
    let zones: Vec<Option<&str>> = crontab.entries.iter().map(|entry| entry.zone.as_deref()).collect();
    assert_eq!(zones, [None, Some("Europe/Paris"), Some("America/New_York"), Some("America/New_York")]);
    assert_eq!(crontab.entries[1].env["TZ"], ":Europe/Paris");
    assert_eq!(crontab.notes.len(), 2);
    assert!(crontab.notes[1].text.contains("not in the time zone database"));
    assert_eq!(
        errors("CRON_TZ=Europe/Lodnon\n* * * * * true", Dialect::User),
        ["1:1: CRON_TZ: no time zone is called \"Europe/Lodnon\"; the nearest is \"Europe/London\""]
    );
}

#[test]
fn percent_signs() {
    for (line, command, stdin) in [
        (r"date +\%F", "date +%F", None),
        (r"echo a\\b \n", r"echo a\\b \n", None),
        ("cat", "cat", None),
        ("mail -s hello x%one%two", "mail -s hello x", Some("one\ntwo\n")),
        (r"cat%50\% off%", "cat", Some("50% off\n")),
        ("cat%", "cat", Some("")),
        ("cat%%", "cat", Some("\n")),
        ("cat %  é", "cat ", Some("  é\n")),
    ] {
        let entry = only(&format!("* * * * * {line}"), Dialect::User);
        assert_eq!((entry.command.as_str(), entry.stdin.as_deref()), (command, stdin), "{line}");
        let entry = only(&format!("* * * * * {line}"), Dialect::Busybox);
        assert_eq!((entry.command.as_str(), entry.stdin), (line, None), "busybox knows no %");
    }
    assert_eq!(errors("* * * * * %input", Dialect::User).len(), 1);
}

#[test]
fn windows_line_ends_a_byte_order_mark_and_a_missing_last_newline() {
    let found = entries(
        "\u{feff}FOO=bar\r\n\r\n*/5 * * * * php artisan schedule:run\r\n0 0 * * * last",
        Dialect::User,
    );
    assert_eq!(found[0].command, "php artisan schedule:run");
    assert_eq!(found[0].env["FOO"], "bar");
    assert_eq!((found[1].line, found[1].command.as_str()), (4, "last"));
}

#[test]
fn every_bad_line_is_told_with_its_place() {
    let text = "\
* * * * * fine
@reboot /start
 5/15 * * * * step
* * 32 * * day
* * * * *
* * *
0 0 30 2 * never
@every 5m thing
@hourly
nonsense
* * * * * *\0";
    let found = errors(text, Dialect::User);
    let places: Vec<&str> = found.iter().map(|error| error.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["2:1", "3:2", "4:5", "5:10", "6:6", "7:1", "8:1", "9:8", "10:9", "11:12"]);
    assert!(found[0].contains("@reboot") && found[0].contains("[[boot]]"), "{}", found[0]);
    assert!(found[1].contains("write 5-59/15"), "{}", found[1]);
    assert!(found[3].contains("command is missing"), "{}", found[3]);
    assert_eq!(errors("* * * * * root", Dialect::System), ["1:15: the command is missing"]);
    assert!(errors("* * * * *", Dialect::System)[0].contains("user is missing"));
}

#[test]
fn busybox_days_that_mean_something_else_here_are_noted() {
    let notes = |text: &str| parse(text, Dialect::Busybox).unwrap().notes.len();
    assert_eq!(notes("0 0 */2 * 1 x"), 1);
    assert_eq!(notes("0 0 1 * */2 x"), 1);
    assert_eq!(notes("0 0 */2 * * x"), 0);
    assert_eq!(notes("0 0 1 * 1 x"), 0);
    assert_eq!(notes("@daily x"), 0);
}

#[test]
fn entries_become_cron_entries_of_the_plan() {
    let text = "\
SHELL=/bin/bash
HOME=/var/www/html
CRON_TZ=Europe/Paris

* * * * * php artisan schedule:run >> /dev/null 2>&1
@daily mail%hello
";
    let (crons, notes) = plans(Path::new("/var/spool/cron/crontabs/www-data"), text).unwrap();
    assert!(notes.is_empty());
    assert_eq!(crons.iter().map(|cron| cron.name.as_str()).collect::<Vec<_>>(), ["www-data:5", "www-data:6"]);
    let cron = &crons[0];
    assert_eq!(cron.command, ["/bin/bash", "-c", "php artisan schedule:run >> /dev/null 2>&1"]);
    assert_eq!(cron.user.as_deref(), Some("www-data"));
    assert_eq!(cron.work_dir.as_deref(), Some(Path::new("/var/www/html")));
    assert_eq!(cron.time_zone.as_deref(), Some("Europe/Paris"));
    assert_eq!((cron.schedule.as_str(), cron.overlap), ("* * * * *", Overlap::Allow));
    assert_eq!(crons[1].command[3..], ["/bin/bash", "hello\n", "mail"]);

    let (crons, _) = plans(Path::new("/etc/cron.d/app"), "@daily nobody true").unwrap();
    assert_eq!((crons[0].name.as_str(), crons[0].user.as_deref()), ("app:1", Some("nobody")));
    let (crons, _) = plans(Path::new("/app/crontab"), "@daily true").unwrap();
    assert_eq!((crons[0].user.as_deref(), crons[0].work_dir.as_deref()), (None, None));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test: there is no reaper to go through")]
fn a_command_with_input_really_reads_it_and_its_code_is_passed_on() {
    let text = "* * * * * cat; echo \"$0 $1\" '\\%s'; exit 7%a $HOME `b` \\\\ %s%'c'";
    let (crons, _) = plans(Path::new("/app/crontab"), text).unwrap();
    let (program, arguments) = crons[0].command.split_first().unwrap();
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a $HOME `b` \\\\ \ns\n'c'\n/bin/sh  %s\n");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "([ \t*0-9@%='\"a-z\\\\é\r\n\0-]|\\* \\* \\* \\* \\* |@daily |TZ=){0,30}") {
        for dialect in [Dialect::System, Dialect::User, Dialect::Busybox] {
            match parse(&text, dialect) {
                Ok(crontab) => {
                    to_plan(crontab.entries, "f", None);
                }
                Err(errors) => proptest::prop_assert!(!errors.is_empty()),
            }
        }
    }
}

#[test]
fn debug_shows_neither_commands_nor_variables() {
    let crontab = parse("TOKEN=hunter2\n@daily mysql -phunter2 % hunter2\n", Dialect::User).unwrap();
    let shown = format!("{crontab:?} {crontab:#?}");
    assert!(shown.contains("@daily") && !shown.contains("hunter2"), "{shown}");
}
