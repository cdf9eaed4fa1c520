//! supervisord's files as text: sections, keys and values, with the place of each.
//!
//! The grammar is that of Python's `configparser.RawConfigParser` as supervisord sets it up (supervisor/options.py,
//! `UnhosedConfigParser`): `;` and `#` begin a comment at the start of a line or after white space, a line that is
//! indented deeper than its key goes on with the value, and what is said twice is said last.

use super::{File, Problem};

/// A value as it is written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// Lines are joined by newlines; comments are gone.
    pub text: String,
    /// Index into the files that were read.
    pub file: usize,
    /// From 1.
    pub line: usize,
}

/// One section of all the files, under its whole name: `program:x`.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub name: String,
    pub file: usize,
    pub line: usize,
    /// In lower case, in the order of their first mention.
    pub keys: Vec<(String, Value)>,
}

impl Section {
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.keys.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// `x` of `program:x`, when the kind is this.
    pub fn named(&self, kind: &str) -> Option<&str> {
        self.name.strip_prefix(kind)?.strip_prefix(':')
    }
}

/// Sections in the order of their first mention.
#[derive(Clone, Debug, Default)]
pub(super) struct Ini {
    pub sections: Vec<Section>,
    /// `[DEFAULT]`: holds for every section that does not say otherwise.
    defaults: Vec<(String, Value)>,
}

/// Where the keys of the current line go.
#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    Defaults,
    Section(usize),
}

impl Ini {
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Adds a file to what was read before; what it says wins.
    pub fn read(&mut self, index: usize, file: &File, problems: &mut Vec<Problem>) {
        let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut place = Place::Nowhere;
        let mut key: Option<String> = None;
        let mut indent = 0;
        for (line, number) in text.lines().zip(1..) {
            let problem = |message: String| Problem::new(file, number, message);
            if line.contains('\0') {
                problems.push(problem("a zero byte, which no text file has".to_owned()));
                continue;
            }
            let (body, commented) = without_comment(line);
            if body.is_empty() {
                if let (false, Some(value)) = (commented, self.last(place, key.as_deref())) {
                    value.text.push('\n');
                }
                continue;
            }
            let depth = line.chars().take_while(|char| char.is_whitespace()).count();
            if depth > indent
                && let Some(value) = self.last(place, key.as_deref())
            {
                value.text.push('\n');
                value.text.push_str(body);
                continue;
            }
            indent = depth;
            if let Some(name) = header(body) {
                place = self.open(name, index, number);
                key = None;
            } else if matches!(place, Place::Nowhere) {
                problems.push(problem("this line stands before the first [section]".to_owned()));
                return;
            } else if let Some((name, text)) = option(body) {
                key = Some(name.clone());
                self.set(place, name, Value { text, file: index, line: number });
            } else {
                problems.push(problem("neither [section] nor key=value".to_owned()));
            }
        }
    }

    /// Applies the defaults and takes the blank ends off values, once all files were read.
    pub fn finish(&mut self) {
        for section in &mut self.sections {
            for (key, value) in &self.defaults {
                if section.get(key).is_none() {
                    section.keys.push((key.clone(), value.clone()));
                }
            }
            for (_, value) in &mut section.keys {
                value.text.truncate(value.text.trim_end().len());
            }
        }
    }

    fn open(&mut self, name: &str, file: usize, line: usize) -> Place {
        if name == "DEFAULT" {
            return Place::Defaults;
        }
        if let Some(known) = self.sections.iter().position(|section| section.name == name) {
            return Place::Section(known);
        }
        self.sections.push(Section { name: name.to_owned(), file, line, keys: Vec::new() });
        Place::Section(self.sections.len().saturating_sub(1))
    }

    fn keys(&mut self, place: Place) -> Option<&mut Vec<(String, Value)>> {
        match place {
            Place::Nowhere => None,
            Place::Defaults => Some(&mut self.defaults),
            Place::Section(index) => self.sections.get_mut(index).map(|section| &mut section.keys),
        }
    }

    fn last(&mut self, place: Place, key: Option<&str>) -> Option<&mut Value> {
        let key = key?;
        self.keys(place)?.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    fn set(&mut self, place: Place, key: String, value: Value) {
        let Some(keys) = self.keys(place) else { return };
        match keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => keys.push((key, value)),
        }
    }
}

/// The line without its comment and the white space around it, and whether there was a comment.
///
/// The search goes on by pairs, one further `;` and one further `#` at a time, until one of them begins a comment:
/// with `a;b #c ;d` the `#` wins. This is how configparser does it, and it decides what is cut.
fn without_comment(line: &str) -> (&str, bool) {
    if line.trim_start().starts_with([';', '#']) {
        return ("", true);
    }
    let places = |mark: char| line.match_indices(mark).map(|(at, _)| at).collect::<Vec<_>>();
    let (semicolons, hashes) = (places(';'), places('#'));
    let begins = |at: &usize| {
        let before = line.get(..*at).and_then(|before| before.chars().next_back());
        before.is_none_or(char::is_whitespace)
    };
    for round in 0..semicolons.len().max(hashes.len()) {
        let both = [semicolons.get(round), hashes.get(round)];
        if let Some(start) = both.into_iter().flatten().copied().filter(|at| begins(at)).min() {
            return (line.get(..start).unwrap_or_default().trim(), true);
        }
    }
    (line.trim(), false)
}

/// `name` of `[name]`, whatever follows it.
fn header(body: &str) -> Option<&str> {
    let rest = body.strip_prefix('[')?;
    let name = rest.get(..rest.rfind(']')?)?;
    (!name.is_empty()).then_some(name)
}

/// Key and value, divided by the first `=` or `:`.
fn option(body: &str) -> Option<(String, String)> {
    let (key, value) = body.split_once(['=', ':'])?;
    let key = key.trim_end();
    (!key.is_empty()).then(|| (key.to_lowercase(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ini(text: &str) -> (Ini, Vec<Problem>) {
        let (mut ini, mut problems) = (Ini::default(), Vec::new());
        ini.read(0, &File { name: "x.conf".into(), here: "/".into(), text: text.into() }, &mut problems);
        ini.finish();
        (ini, problems)
    }

    fn value(text: &str, key: &str) -> String {
        let (ini, problems) = ini(&format!("[s]\n{text}"));
        assert_eq!(problems, []);
        ini.section("s").unwrap().get(key).unwrap().text.clone()
    }

    // Every expectation here was made with python3's configparser and supervisord's settings for it.
    #[test]
    fn comments() {
        for (line, expected) in [
            ("k=a;b", "a;b"),
            ("k=a ;b", "a"),
            ("k=a #b", "a"),
            ("k=a#b", "a#b"),
            ("k=a;b ;c", "a;b"),
            ("k=a;b ;c #d", "a;b ;c"),
            ("k=\"a ; b\"", "\"a"),
            ("k: v = w", "v = w"),
            ("K  =  v", "v"),
            ("k=", ""),
        ] {
            assert_eq!(value(line, "k"), expected, "{line}");
        }
    }

    #[test]
    fn values_go_on_while_they_are_indented() {
        assert_eq!(value("k=a\n  b\n\tc ; d\n; e\n\n  f\nl=g\n", "k"), "a\nb\nc\n\nf");
        assert_eq!(value("k=\n  a=1,\n  b=2\n\n\n", "k"), "\na=1,\nb=2");
        assert_eq!(value("  k=a\n  l=b\n", "k"), "a");
        assert_eq!(value("k=a\r\n b\r\n", "k"), "a\nb");
    }

    #[test]
    fn sections_are_merged_and_the_last_word_wins() {
        let (ini, problems) = ini("[DEFAULT]\nd=1\n[a] ; x\nk=1\n[b]x\nk=2\n[a]\nk=3\nd=4\n[a:b]c]\n");
        assert_eq!(problems, []);
        let names: Vec<&str> = ini.sections.iter().map(|section| section.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "a:b]c"]);
        let a = ini.section("a").unwrap();
        assert_eq!((a.get("k").unwrap().text.as_str(), a.get("k").unwrap().line), ("3", 8));
        assert_eq!(a.get("d").unwrap().text, "4");
        assert_eq!(ini.section("b").unwrap().get("d").unwrap().text, "1");
    }

    #[test]
    fn what_is_no_such_file_is_told_by_line() {
        let lines = |text: &str| ini(text).1.iter().map(|problem| problem.line).collect::<Vec<_>>();
        assert_eq!(lines("\n* * * * * true\n"), [2]);
        assert_eq!(lines("[a]\nhello\n=x\nk=v\n\0\n"), [2, 3, 5]);
        assert_eq!(lines(" indented=1\n"), [1]);
    }
}
