//! From a raw entry to a name and a value.
//!
//! The twin of phpdotenv's `Parser/EntryParser.php` and `Parser/Lexer.php`: the same automaton over the same tokens,
//! with the same quirks. It records besides what the lints want to know.

use super::error::Fault;
use super::lines::TRIMMED;
use super::{Dialect, Secret, Value, unicode};

/// Longest token of phpdotenv's lexer, in bytes. Only seen where a value begins with form feeds.
const LONGEST_TOKEN: usize = 1000;

/// Why an entry was refused: the kind, and the name as far as it was understood.
pub(super) struct Refused {
    pub(super) fault: Fault,
    pub(super) name: Option<String>,
}

/// Reads `raw`, whose first line is line `line` (from 1) of the file.
pub(super) fn parse(raw: &str, line: usize, dialect: Dialect) -> Result<(String, Option<Value>), Refused> {
    let Some((name, value)) = raw.split_once('=') else {
        let fault = Refused { fault: Fault::NotAnAssignment, name: None };
        return parse_name(raw, dialect).map(|name| (name, None)).map_err(|_| fault);
    };
    let (name, trimmed) = (name.trim_matches(TRIMMED), value.trim_matches(TRIMMED));
    if name.is_empty() {
        return Err(Refused { fault: Fault::NoName, name: None });
    }
    let name = parse_name(name, dialect)
        .map_err(|fault| Refused { fault, name: super::error::presentable(name) })?;
    if trimmed.is_empty() {
        return Ok((name, Some(Value::default())));
    }
    // Line of the first character of the trimmed value: a value may begin below its name.
    let skipped = raw.len() - value.trim_start_matches(TRIMMED).len();
    let above = raw.get(..skipped).unwrap_or_default().matches('\n').count();
    match Automaton::new(trimmed, line + above).run() {
        Ok(mut parsed) => {
            parsed.facts.cut_by_comment |= value.starts_with('#') && !value.starts_with("# ");
            Ok((name, Some(parsed)))
        }
        Err(fault) => Err(Refused { fault, name: Some(name) }),
    }
}

fn parse_name(name: &str, dialect: Dialect) -> Result<String, Fault> {
    let exported = name.strip_prefix("export").filter(|rest| rest.starts_with(is_space));
    let unexported = match exported {
        // The length is that of the whole left side, `export` included.
        Some(rest) if name.chars().count() > 8 => rest.trim_start_matches(|c| match dialect {
            Dialect::V5_4 => TRIMMED.contains(&c),
            Dialect::V5_6 => is_space(c),
        }),
        _ => name,
    };
    let bare = unquote_name(unexported);
    let valid = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '_' | '.')
            || (dialect == Dialect::V5_6 && !c.is_ascii() && unicode::is_name_char(c))
    };
    if !bare.is_empty() && bare.chars().all(valid) {
        return Ok(bare.to_owned());
    }
    Err(if exported.is_some() && name.chars().count() <= 8 { Fault::ShortExport } else { Fault::InvalidName })
}

/// `"A"` and `'A'` are `A`; quotes around nothing stay.
fn unquote_name(name: &str) -> &str {
    let inner = ['"', '\''].iter().find_map(|quote| name.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.filter(|inner| !inner.is_empty()).unwrap_or(name)
}

/// C's isspace() in the C locale, and PCRE2's `\s`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0B' | '\x0C' | '\r')
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Initial,
    Unquoted,
    SingleQuoted,
    DoubleQuoted,
    Escape,
    /// After an unquoted word, or after a closing quote.
    Whitespace {
        quoted: bool,
    },
    Comment,
}

#[derive(Clone, Copy)]
enum Token<'a> {
    Space(&'a str),
    Backslash,
    SingleQuote,
    DoubleQuote,
    Hash,
    Dollar,
    Text(&'a str),
}

impl<'a> Token<'a> {
    /// Splits the first token off `text`.
    fn first(text: &'a str) -> Option<(Self, &'a str)> {
        let first = text.chars().next()?;
        let single = match first {
            '\\' => Some(Self::Backslash),
            '\'' => Some(Self::SingleQuote),
            '"' => Some(Self::DoubleQuote),
            '#' => Some(Self::Hash),
            '$' => Some(Self::Dollar),
            _ => None,
        };
        if let Some(token) = single {
            return Some((token, text.get(1..).unwrap_or_default()));
        }
        let ends_line = |c: char| matches!(c, '\r' | '\n');
        let length = if is_space(first) {
            let kind = ends_line(first);
            // Only whitespace, so every byte is a character and the cut cannot fall inside one.
            text.find(|c: char| !is_space(c) || ends_line(c) != kind).unwrap_or(text.len()).min(LONGEST_TOKEN)
        } else {
            // The lexer cuts here too, but no state treats the second half otherwise than the first.
            text.find(|c: char| is_space(c) || matches!(c, '\\' | '\'' | '"' | '#' | '$'))
                .unwrap_or(text.len())
        };
        let (token, rest) = text.split_at(length);
        Some((if is_space(first) { Self::Space(token) } else { Self::Text(token) }, rest))
    }

    fn text(self) -> &'a str {
        match self {
            Self::Space(text) | Self::Text(text) => text,
            Self::Backslash => "\\",
            Self::SingleQuote => "'",
            Self::DoubleQuote => "\"",
            Self::Hash => "#",
            Self::Dollar => "$",
        }
    }
}

struct Automaton<'a> {
    rest: &'a str,
    /// Of the next token, from 1.
    line: usize,
    state: State,
    chars: String,
    value: Value,
}

impl<'a> Automaton<'a> {
    fn new(text: &'a str, line: usize) -> Self {
        // Room for all of it at once: a buffer that grows leaves copies of secrets behind.
        let chars = String::with_capacity(text.len());
        Self { rest: text, line, state: State::Initial, chars, value: Value::default() }
    }

    fn run(mut self) -> Result<Value, Fault> {
        while let Some((token, rest)) = Token::first(self.rest) {
            self.rest = rest;
            self.state = self.step(token)?;
            self.line += token.text().matches('\n').count();
        }
        match self.state {
            State::SingleQuoted | State::DoubleQuoted | State::Escape => Err(Fault::UnclosedQuote),
            _ => {
                self.value.text = Secret::new(self.chars);
                Ok(self.value)
            }
        }
    }

    fn push(&mut self, token: Token<'_>, next: State) -> State {
        if matches!(token, Token::Dollar) && matches!(next, State::Unquoted | State::DoubleQuoted) {
            self.value.vars.push(self.chars.len());
        }
        self.chars.push_str(token.text());
        next
    }

    fn step(&mut self, token: Token<'_>) -> Result<State, Fault> {
        Ok(match (self.state, token) {
            (State::Initial, Token::SingleQuote) => State::SingleQuoted,
            (State::Initial, Token::DoubleQuote) => State::DoubleQuoted,
            (State::Initial, Token::Hash) => State::Comment,
            (State::Unquoted, Token::Hash) => {
                self.value.facts.cut_by_comment = true;
                State::Comment
            }
            (State::Unquoted, Token::Space(_)) => State::Whitespace { quoted: false },
            (State::Initial | State::Unquoted, _) => {
                self.value.facts.quote_inside |= matches!(token, Token::SingleQuote | Token::DoubleQuote);
                self.push(token, State::Unquoted)
            }
            (State::SingleQuoted, Token::SingleQuote) => State::Whitespace { quoted: true },
            (State::SingleQuoted, _) => self.push(token, State::SingleQuoted),
            (State::DoubleQuoted, Token::DoubleQuote) => State::Whitespace { quoted: true },
            (State::DoubleQuoted, Token::Backslash) => State::Escape,
            (State::DoubleQuoted, _) => self.push(token, State::DoubleQuoted),
            (State::Escape, _) => {
                self.escape(token)?;
                State::DoubleQuoted
            }
            (State::Whitespace { .. } | State::Comment, Token::Hash) | (State::Comment, _) => State::Comment,
            (State::Whitespace { .. }, Token::Space(_)) => self.state,
            (State::Whitespace { quoted: true }, _) => return Err(Fault::TextAfterQuote { on: self.line }),
            (State::Whitespace { quoted: false }, _) => return Err(Fault::UnquotedWhitespace),
        })
    }

    /// What follows a backslash in double quotes.
    fn escape(&mut self, token: Token<'_>) -> Result<(), Fault> {
        let text = match token {
            Token::DoubleQuote | Token::Backslash | Token::Dollar => {
                // An escaped `$` starts no variable.
                self.chars.push_str(token.text());
                return Ok(());
            }
            Token::Text(text) => text,
            _ => return Err(Fault::BadEscape),
        };
        let mut rest = text.chars();
        self.chars.push(match rest.next() {
            Some('f') => '\x0C',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\x0B',
            _ => return Err(Fault::BadEscape),
        });
        self.chars.push_str(rest.as_str());
        Ok(())
    }
}
