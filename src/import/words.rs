//! Words of a command and pairs of an environment, as Python's `shlex` divides them for supervisord.

use super::text::{Atom, Text};

/// The words of a command: `shlex.split`, which knows quotes and backslashes and no operators.
pub(super) fn split(command: &Text) -> Result<Vec<Text>, String> {
    let mut words = Vec::new();
    let mut word: Option<Text> = None;
    let mut quote: Option<char> = None;
    let mut atoms = command.0.iter();
    while let Some(atom) = atoms.next() {
        match (quote, atom) {
            (Some(open), Atom::Char(char)) if *char == open => quote = None,
            (Some('"'), Atom::Char('\\')) => {
                let next = atoms.next().ok_or(UNCLOSED)?;
                if !matches!(next, Atom::Char('"' | '\\')) {
                    push(&mut word, Atom::Char('\\'));
                }
                push(&mut word, next.clone());
            }
            (Some(_), atom) => push(&mut word, atom.clone()),
            (None, Atom::Char('\\')) => {
                push(&mut word, atoms.next().ok_or("it ends in a backslash")?.clone())
            }
            (None, Atom::Char(char @ ('"' | '\''))) => {
                quote = Some(*char);
                word.get_or_insert_default();
            }
            (None, Atom::Char(' ' | '\t' | '\r' | '\n')) => words.extend(word.take()),
            (None, atom) => push(&mut word, atom.clone()),
        }
    }
    if quote.is_some() {
        return Err(UNCLOSED.to_owned());
    }
    words.extend(word);
    Ok(words)
}

const UNCLOSED: &str = "a quotation mark is not closed; \" ;\" and \" #\" begin a comment in supervisord's files, even between quotes";

fn push(word: &mut Option<Text>, atom: Atom) {
    word.get_or_insert_default().0.push(atom);
}

/// A word of a command that a shell would take as more than itself.
pub(super) fn is_operator(word: &str) -> bool {
    let redirects = word.trim_start_matches(|char: char| char.is_ascii_digit() || char == '&');
    ["&&", "||", "|", "&", ";"].contains(&word) || redirects.starts_with(['>', '<'])
}

/// The pairs of `KEY="value",KEY2=value2`: `shlex` in its old mode, with supervisord's letters (supervisor/datatypes.py,
/// `dict_of_key_value_pairs`).
pub(super) fn pairs(text: &Text) -> Result<Vec<(String, Text)>, String> {
    let tokens = tokens(text)?;
    let mut pairs: Vec<(String, Text)> = Vec::new();
    let equals = Text::literal("=");
    for group in tokens.chunks(4) {
        let [key, middle, value, ..] = group else { return Err(unfinished(&pairs)) };
        if *middle != equals {
            return Err(unfinished(&pairs));
        }
        let key = key.plain().ok_or("the name of a variable comes from a variable")?;
        let marks = |atom: &Atom| matches!(atom, Atom::Char('"' | '\''));
        let end = value.0.iter().rposition(|atom| !marks(atom)).map_or(0, |last| last.saturating_add(1));
        let value = Text(value.0.iter().take(end).skip_while(|atom| marks(atom)).cloned().collect());
        match pairs.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => pairs.push((key, value)),
        }
    }
    Ok(pairs)
}

/// Names the last key that was right, never a value: those are secrets often enough.
fn unfinished(pairs: &[(String, Text)]) -> String {
    let after = pairs.last().map(|(key, _)| format!(" after {key}")).unwrap_or_default();
    format!(
        "not KEY=\"value\",KEY=\"value\"{after}: values with other signs than letters, digits and _/.+-(): stand between \
         quotes"
    )
}

fn is_letter(char: char) -> bool {
    char.is_ascii_alphanumeric() || "_/.+-():".contains(char)
}

fn tokens(text: &Text) -> Result<Vec<Text>, String> {
    let mut tokens = Vec::new();
    let mut word: Option<Text> = None;
    let mut atoms = text.0.iter();
    while let Some(atom) = atoms.next() {
        match atom {
            Atom::Char(' ' | '\t' | '\r' | '\n') => tokens.extend(word.take()),
            Atom::Char('#') => {
                // A comment to the end of the line; in a word it does not even end the word.
                let _ = atoms.by_ref().find(|atom| **atom == Atom::Char('\n'));
            }
            Atom::Char(open @ ('"' | '\'')) if word.is_none() => {
                let mut quoted = Text(vec![atom.clone()]);
                loop {
                    let next = atoms.next().ok_or(UNCLOSED)?;
                    quoted.0.push(next.clone());
                    if *next == Atom::Char(*open) {
                        break;
                    }
                }
                tokens.push(quoted);
            }
            Atom::Char(char) if !is_letter(*char) && !matches!(char, '"' | '\'') => {
                tokens.extend(word.take());
                tokens.push(Text(vec![atom.clone()]));
            }
            atom => push(&mut word, atom.clone()),
        }
    }
    tokens.extend(word);
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str) -> Result<Vec<String>, String> {
        let words = split(&Text::literal(command))?;
        Ok(words.iter().map(|word| word.plain().unwrap()).collect())
    }

    fn env(text: &str) -> Result<Vec<(String, String)>, String> {
        let pairs = pairs(&Text::literal(text))?;
        Ok(pairs.into_iter().map(|(key, value)| (key, value.plain().unwrap())).collect())
    }

    // Every expectation here was made with python3's shlex.
    #[test]
    fn commands() {
        for (command, expected) in [
            ("php artisan queue:work", &["php", "artisan", "queue:work"][..]),
            ("sh -c 'a && b' \"c d\"e", &["sh", "-c", "a && b", "c de"]),
            (r#"a\ b "c\"d\e" 'f\'"#, &["a b", r#"c"d\e"#, r"f\"]),
            ("a '' \"\" b", &["a", "", "", "b"]),
            (" a \t\n b # c", &["a", "b", "#", "c"]),
            ("a>b;c", &["a>b;c"]),
            ("", &[]),
        ] {
            assert_eq!(words(command).unwrap(), expected, "{command}");
        }
        for command in ["'a", "a \"b", "a\\", "\"a\\"] {
            assert!(words(command).is_err(), "{command}");
        }
        assert!(["&&", "|", ">", "2>&1", ">>x", "&>x", "<"].iter().all(|word| is_operator(word)));
        assert!(!["a&b", "--x=>", "2", "", "-"].iter().any(|word| is_operator(word)));
    }

    #[test]
    fn environments() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (text, expected) in [
            ("A=1,B=2", vec![pair("A", "1"), pair("B", "2")]),
            ("A=\"x, y\",\n B='z'", vec![pair("A", "x, y"), pair("B", "z")]),
            ("A=http://h:1/p,B=(x)", vec![pair("A", "http://h:1/p"), pair("B", "(x)")]),
            ("A=\"it's\",A=\"\"", vec![pair("A", "")]),
            ("A=\"\\\",B=2", vec![pair("A", "\\"), pair("B", "2")]),
            ("A=1,", vec![pair("A", "1")]),
            ("A=1;B=2", vec![pair("A", "1"), pair("B", "2")]),
            ("", vec![]),
        ] {
            assert_eq!(env(text).unwrap(), expected, "{text}");
        }
        for text in ["A", "A=", "A=1 B=2", "A=a@b", "A=\"x", "=1", "A=x@S3CR3T"] {
            let error = env(text).unwrap_err();
            assert!(!error.contains("S3CR3T"), "{error}");
        }
    }
}
