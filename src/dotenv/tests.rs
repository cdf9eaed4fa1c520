//! The grammar by example, and what must hold for any bytes.

use super::*;
use proptest::prelude::*;

fn values(text: &str) -> Vec<(String, String)> {
    let document = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    document.resolve(|_| None).into_iter().map(|(key, value)| (key, value.expose().to_owned())).collect()
}

#[track_caller]
fn is(text: &str, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    assert_eq!(values(text), expected, "{text:?}");
}

#[track_caller]
fn refused(text: &str, line: usize, kind: Fault) {
    let error = parse(text.as_bytes()).expect_err(text);
    assert_eq!((error.line, error.kind), (line, kind), "{text:?}");
}

#[test]
fn unquoted_values_end_at_whitespace_or_a_hash() {
    is("A = b", &[("A", "b")]);
    is("A=foo # c", &[("A", "foo")]);
    is("A=foo#bar", &[("A", "foo")]);
    is("A=#foo", &[("A", "")]);
    is("A=", &[("A", "")]);
    is("A=foo\"bar\"", &[("A", "foo\"bar\"")]);
    is("A=foo\"bar\nB=1", &[("A", "foo\"bar"), ("B", "1")]);
    is("A=C:\\new", &[("A", "C:\\new")]);
    is("A=`id`", &[("A", "`id`")]);
    is("A=$(id)", &[("A", "$(id)")]);
    is("A=b=c", &[("A", "b=c")]);
    is("A=a\0b", &[("A", "a\0b")]);
    refused("A=foo bar", 1, Fault::UnquotedWhitespace);
}

#[test]
fn single_quotes_are_literal() {
    is(r"A='a\nb$C'", &[("A", r"a\nb$C")]);
    is("A='#x' # c", &[("A", "#x")]);
    is("A=1\nD='${A}'", &[("A", "1"), ("D", "${A}")]);
    refused("A='foo", 1, Fault::UnclosedQuote);
    refused("X=1\nK='a\nb'", 2, Fault::UnclosedQuote);
}

#[test]
fn double_quotes_know_eight_escapes() {
    is("A=\"foo#bar\"", &[("A", "foo#bar")]);
    is(r#"A="a\n\t\"\\\$x""#, &[("A", "a\n\t\"\\$x")]);
    is(r#"A="\f\r\vz""#, &[("A", "\x0C\r\x0Bz")]);
    is("A=\"foo\" # c", &[("A", "foo")]);
    is("A=\"\"", &[("A", "")]);
    refused(r#"A="\q""#, 1, Fault::BadEscape);
    refused(r#"A="\ ""#, 1, Fault::BadEscape);
    refused("A=\"foo\"bar", 1, Fault::TextAfterQuote { on: 1 });
}

#[test]
fn values_of_several_lines_begin_with_equals_quote() {
    is("K=\"-----\nabc\nend\"\nB=1", &[("B", "1"), ("K", "-----\nabc\nend")]);
    is("K=\"a\r\nb\"", &[("K", "a\nb")]);
    is("K=\"a\n\"\nB=1", &[("B", "1"), ("K", "a\n")]);
    refused("A = \"x\ny\"", 1, Fault::UnclosedQuote);
    refused("A=\"x\nB=\"y\"", 1, Fault::TextAfterQuote { on: 2 });
}

#[test]
fn what_is_never_closed_takes_the_rest_with_it() {
    is("A=\"foo\nB=1\nC=2", &[]);
    is("# A=\"unterm\nB=1\nC=\"x\"", &[]);
    is("# it's \"\nB=1", &[("B", "1")]);
}

#[test]
fn names_are_plain_or_exported_or_quoted() {
    is("export AB=b", &[("AB", "b")]);
    is("export\tAB=b", &[("AB", "b")]);
    is("export 'A'=b", &[("A", "b")]);
    is("\"A\"=1", &[("A", "1")]);
    is("A.B=1", &[("A.B", "1")]);
    is("1A=1", &[("1A", "1")]);
    is("É=1", &[("É", "1")]);
    is("  A  =1", &[("A", "1")]);
    refused("export A=b", 1, Fault::ShortExport);
    refused("A-B=1", 1, Fault::InvalidName);
    refused("A B=1", 1, Fault::InvalidName);
    refused("漢=1", 1, Fault::InvalidName);
    refused("\"\"=1", 1, Fault::InvalidName);
    refused("A: b", 1, Fault::NotAnAssignment);
    refused(" A", 1, Fault::NotAnAssignment);
    refused("=x", 1, Fault::NoName);
}

#[test]
fn variables_are_replaced_from_what_stands_above() {
    is("A=x\nB=${A}y", &[("A", "x"), ("B", "xy")]);
    is("A=1\nB=\"\\${A}\"", &[("A", "1"), ("B", "${A}")]);
    is("E=$A", &[("E", "$A")]);
    is("F=${NOPE}", &[("F", "${NOPE}")]);
    is("B=${A}\nA=1", &[("A", "1"), ("B", "${A}")]);
    is("A=B\nB=c\nC=${${A}}", &[("A", "B"), ("B", "c"), ("C", "c")]);
    is("É=1\nC=${É}", &[("C", "${É}"), ("É", "1")]);
    is("Ä=ö\nA=x\nC=é${A}é${A}", &[("A", "x"), ("C", "éxéx"), ("Ä", "ö")]);
}

#[test]
fn later_entries_win_and_a_bare_name_unsets() {
    is("A=1\nA=2", &[("A", "2")]);
    is("A=1\nA\nB=${A}", &[("B", "${A}")]);
    let document = parse(b"A\n").unwrap();
    assert_eq!(document.entries.len(), 1);
    assert!(document.entries[0].value.is_none());
}

#[test]
fn the_real_environment_wins_over_the_file() {
    let document = parse(b"A=file\nB=${A}\nC=${D}\nA").unwrap();
    let real = |name: &str| match name {
        "A" => Some("real".to_owned()),
        "D" => Some("${B}".to_owned()),
        _ => None,
    };
    let values = document.resolve(real);
    assert_eq!(values.keys().collect::<Vec<_>>(), ["B", "C"]);
    assert_eq!(values["B"].expose(), "real");
    assert_eq!(values["C"].expose(), "${B}");
    assert_eq!(document.shadowed(|name| name == "A").iter().map(|w| w.line).collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn a_byte_order_mark_is_dropped_from_a_file_alone() {
    is("\u{feff}A=1", &[("A", "1")]);
    assert!(parse_text("\u{feff}A=1", Dialect::V5_6).is_err());
}

#[test]
fn version_5_4_takes_no_names_beyond_ascii() {
    assert!(parse_text("É=1", Dialect::V5_4).is_err());
    assert!(parse_text("É=1", Dialect::V5_6).is_ok());
}

#[test]
fn lines_are_counted_through_all_line_ends_and_values() {
    refused("A=1\r\n# c\rB=\"x\ny\"\n\nC=a b", 6, Fault::UnquotedWhitespace);
    let document = parse(b"A=1\r\n\r\nB=\"x\ny\"\nC=1").unwrap();
    assert_eq!(document.entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [1, 3, 5]);
}

#[test]
fn no_value_is_ever_shown() {
    const SECRET: &str = "Zq9secret";
    let files = [
        "A=Zq9secret x",
        "A=\"Zq9secret\\q\"",
        "A='Zq9secret",
        "A=\"Zq9secret",
        "A=\"Zq9secret\nB=\"x\"",
        "Zq9secret",
        "Zq9secret here",
        "Zq9secret!=1",
        "A=1\n=Zq9secret",
        "A=Zq9secret#x\nA=Zq9secret\"\"",
        "# A=\"Zq9secret\nB=1",
        "APP_KEY=Zq9secret",
        "A=${Zq9secret}\nB=$Zq9secret",
    ];
    for file in files {
        let parsed = parse(file.as_bytes());
        let report = validate(file.as_bytes(), &["A".to_owned()]);
        let mut shown = format!("{parsed:?}{report:?}");
        match report {
            Ok(report) => shown.extend(report.warnings.iter().map(Warning::to_string)),
            Err(problems) => shown.extend(problems.iter().map(Problem::to_string)),
        }
        // A word that could be a name is not told from one by a parser; everything else is.
        let bare_word = file == "Zq9secret";
        assert!(bare_word || !shown.contains(SECRET), "{file:?}: {shown}");
    }
}

mod validation {
    use super::*;

    fn problems(text: &str, keys: &[&str]) -> Vec<String> {
        let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        let problems = validate(text.as_bytes(), &keys).expect_err(text);
        problems
            .iter()
            .map(|p| format!("{:?} {:?} {:?}", p.line.unwrap_or(0), p.key.as_deref().unwrap_or("-"), p.kind))
            .collect()
    }

    fn warnings(text: &str) -> Vec<(usize, WarningKind)> {
        let report = validate(text.as_bytes(), &[]).unwrap_or_else(|problems| panic!("{problems:?}"));
        report.warnings.iter().map(|warning| (warning.line, warning.kind)).collect()
    }

    #[test]
    fn a_good_file_has_nothing_to_say() {
        let file = "# app\nAPP_ENV=production\nAPP_DEBUG=false\nAPP_KEY=base64:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\
            DB_PASSWORD=\" p#a$s s\"\nURL=\"http://${APP_ENV}\"\n";
        let report = validate(file.as_bytes(), &["DB_PASSWORD".to_owned()]).unwrap();
        assert_eq!(report, Report { keys: 5, warnings: vec![] });
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let found = problems("A=a b\nB=1\nC='x\n=1\nD-E=2\nF=\n", &["A", "B", "F", "G"]);
        assert_eq!(
            found,
            [
                "1 \"A\" Syntax(UnquotedWhitespace)",
                "3 \"C\" Syntax(UnclosedQuote)",
                "4 \"-\" Syntax(NoName)",
                "5 \"D-E\" Syntax(InvalidName)",
                "6 \"F\" Empty",
                "0 \"G\" Missing",
            ]
        );
    }

    #[test]
    fn a_quote_never_closed_is_told_and_the_rest_is_looked_at() {
        assert_eq!(
            problems("A=1\nDB_PASSWORD=\"foo\nB=x y\nC=1", &["C", "DB_PASSWORD"]),
            ["2 \"DB_PASSWORD\" Unterminated", "3 \"B\" Syntax(UnquotedWhitespace)"]
        );
        // What is inside a key of several lines is not taken for entries.
        assert_eq!(problems("K=\"-----BEGIN KEY-----\nab+c\nd e f\n", &[]), ["1 \"K\" Unterminated"]);
    }

    #[test]
    fn a_quote_closed_by_the_next_entry_hides_no_keys() {
        assert_eq!(
            problems("A=\"foo\nB=1\nC=\"bar\"\nD=2", &["B", "C", "D", "E"]),
            ["1 \"A\" Syntax(TextAfterQuote { on: 3 })", "0 \"E\" Missing"]
        );
    }

    #[test]
    fn a_comment_may_not_swallow_entries() {
        assert_eq!(
            problems("# A=\"x\nB=1\nC=\"y\"\nD=1", &["B"]),
            ["1 \"-\" CommentSwallows { through: 3 }"]
        );
        assert_eq!(problems("A=1\n# A=\"x\nB=1\n", &[]), ["2 \"-\" CommentSwallows { through: 4 }"]);
        // A whole value commented out is fine.
        assert_eq!(warnings("A=1\n# K=\"--\n# abc\n# --\"\nB=1"), []);
        assert_eq!(warnings("A=1\n# K=\"--\n# abc\n"), []);
    }

    #[test]
    fn files_that_define_nothing_are_refused() {
        for file in ["", "\n\n", "# nothing\n", "\u{feff}"] {
            assert_eq!(problems(file, &[]), ["0 \"-\" NoEntries"], "{file:?}");
        }
        assert_eq!(problems("A\n", &["A"]), ["1 \"A\" Missing"]);
        let utf16 = validate(b"\xff\xfeA\0=\x001\0", &[]).unwrap_err();
        assert_eq!(utf16.first().map(|problem| problem.kind), Some(ProblemKind::Utf16));
    }

    #[test]
    fn a_hostile_file_is_given_up() {
        let file = "A=\"x\n".repeat(20_000);
        let found = problems(&file, &[]);
        assert_eq!(found.len(), 51);
        assert_eq!(found.last().map(String::as_str), Some("0 \"-\" More"));
    }

    #[test]
    fn values_that_double_each_other_are_refused() {
        let mut file = "A0=0123456789abcdef\n".to_owned();
        file.extend((0..60).map(|i| format!("A{}=${{A{i}}}${{A{i}}}\n", i + 1)));
        let found = problems(&file, &["A60", "B"]);
        assert!(
            matches!(found.as_slice(), [large, missing] if large.ends_with("TooLarge") && missing.ends_with("Missing"))
        );
    }

    #[test]
    fn what_is_hardly_meant_is_warned_of() {
        use WarningKind::*;
        assert_eq!(
            warnings("PASS=ab#cd\nB=#x\nC= # c\nD=x # c\nE=\"x\"#c"),
            [(1, CommentCutsValue), (2, CommentCutsValue)]
        );
        assert_eq!(warnings("A=1\nB=2\nA=3"), [(3, Duplicate { earlier: 1 })]);
        assert_eq!(
            warnings("A=1\nB=$HOME\nC=pa$w0rd\nD='$HOME'\nE=\"\\$HOME\"\nF=a$Bc"),
            [(2, ShellVariable)]
        );
        assert_eq!(warnings("A=${B:-x}\nC=${A}"), [(1, ShellExpansion)]);
        assert_eq!(warnings("A=${B}\nB=1\nC=${B}"), [(1, UndefinedReference)]);
        assert_eq!(warnings("A=x\"y\"\nB='\"'"), [(1, QuoteInsideValue)]);
        assert_eq!(warnings("A=1\nB"), [(2, NoEquals)]);
        assert_eq!(warnings("A=1\r\nB=1\r\n"), [(1, CarriageReturn)]);
        assert_eq!(warnings("A=1\nB=x\0y"), [(2, Nul)]);
        assert_eq!(warnings("A=1\nÉ=1\nÜ=2"), [(2, OlderVersionsDiffer)]);
        assert_eq!(warnings("A=1\nK=\"a\nb=\"\nC=1"), [(2, OlderVersionsDiffer)]);
        let report = validate(b"A=1\nB=\xe9", &[]).unwrap();
        assert_eq!(report.warnings.iter().map(|w| (w.line, w.kind)).collect::<Vec<_>>(), [(2, NotUtf8)]);
    }

    #[test]
    fn laravels_own_traps_are_warned_of() {
        use WarningKind::*;
        assert_eq!(warnings("APP_ENV=production\nAPP_DEBUG=(True)"), [(2, DebugInProduction)]);
        assert_eq!(warnings("APP_ENV=local\nAPP_DEBUG=true"), []);
        assert_eq!(warnings("APP_KEY=SomeRandomString!"), [(1, MalformedAppKey)]);
        assert_eq!(warnings("APP_KEY="), [(1, MalformedAppKey)]);
    }

    #[test]
    fn warnings_and_problems_read_as_sentences() {
        let report = validate(b"A=1\nDB_PASSWORD=ab#cd", &[]).unwrap();
        assert_eq!(
            report.warnings[0].to_string(),
            "line 2, key DB_PASSWORD: the value ends at a `#`: quote it if the `#` is part of it"
        );
        let problems = validate(b"A=1", &["APP_KEY".to_owned()]).unwrap_err();
        assert_eq!(problems[0].to_string(), "key APP_KEY: required, but not defined: add it");
    }
}

/// Text in which every quirk of the grammar comes up often.
fn tricky() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "A", "BC", "export ", "=", "=\"", "\"", "'", "\\", "\n", "\r\n", "\r", " ", "\t", "#", "$", "${",
        "}", "${A}", "\0", "\x0B", "\x0C", "é", "\u{a0}", "\u{feff}", "n", "x y", "=\"\n",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

fn quote(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' | '$' => quoted.extend(['\\', c]),
            '\r' => quoted.push_str("\\r"),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
        let _ = validate(&bytes, &["A".to_owned()]);
    }

    #[test]
    fn what_is_accepted_is_what_the_library_accepts(text in tricky()) {
        let parsed = parse(text.as_bytes());
        let older = parse_text(&text, Dialect::V5_4);
        if let Ok(document) = &older {
            let _ = document.resolve(|_| Some("${A}".to_owned()));
        }
        // Stricter, never laxer. Reading swallowed lines again may shift what follows, but never hides a first fault.
        match (parsed, validate(text.as_bytes(), &[])) {
            (Err(error), Ok(_)) => prop_assert!(false, "accepted: {error}"),
            // A file that looks like UTF-16 is judged as a whole, whatever its lines are.
            (Err(_), Err(problems)) if problems.iter().any(|problem| problem.kind == ProblemKind::Utf16) => {}
            (Err(error), Err(problems)) => {
                let first = problems.first().and_then(|problem| problem.line);
                // A file of UTF-16 is told as a whole: no line of it means anything.
                let whole = problems.first().is_some_and(|problem| problem.kind == ProblemKind::Utf16);
                prop_assert!(
                    whole || first.is_some_and(|line| line <= error.line),
                    "{error} comes before {problems:?}"
                );
            }
            (Ok(document), Ok(report)) => prop_assert_eq!(report.keys, document.resolve(|_| None).len()),
            (Ok(_), Err(_)) => {}
        }
    }

    #[test]
    fn quoted_values_come_back(values in prop::collection::vec("(?s).{0,30}", 1..6)) {
        let file: String = values.iter().enumerate().map(|(i, v)| format!("KEY_{i}={}\n", quote(v))).collect();
        let resolved = parse(file.as_bytes()).unwrap().resolve(|_| None);
        for (i, value) in values.iter().enumerate() {
            prop_assert_eq!(resolved[&format!("KEY_{i}")].expose(), value);
        }
    }

    #[test]
    fn literal_line_ends_come_back_as_newlines(value in "[a-z=' #\n]{0,60}") {
        let file = format!("K=\"{value}\"\nEND=1");
        let resolved = parse(file.as_bytes()).unwrap().resolve(|_| None);
        prop_assert_eq!(resolved["K"].expose(), value);
        prop_assert_eq!(resolved["END"].expose(), "1");
    }
}
