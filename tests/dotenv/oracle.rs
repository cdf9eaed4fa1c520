//! The real phpdotenv, asked in one PHP process.

use crate::support::{need, phpdotenv};
use php_init::dotenv::Dialect;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// One file to read.
pub struct Case {
    pub bytes: Vec<u8>,
    /// Through a file, with byte order mark and encoding, or as text.
    pub file: bool,
    /// The environment under the immutable repository.
    pub real: BTreeMap<String, String>,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub error: Option<String>,
    /// Names and unresolved values in the order of the file.
    pub entries: Vec<(String, Option<String>)>,
    pub values: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Question<'a> {
    text: String,
    file: bool,
    real: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Hello {
    dialect: String,
}

#[derive(Deserialize)]
struct Reply {
    error: Option<String>,
    #[serde(default)]
    entries: Vec<(String, Option<String>)>,
    #[serde(default)]
    values: BTreeMap<String, String>,
}

pub struct Oracle {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub dialect: Dialect,
}

impl Oracle {
    /// `None`: PHP or phpdotenv is not installed, and the test is skipped.
    pub fn start() -> Option<Self> {
        if !need(&["php", "phpdotenv"]) {
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dotenv/oracle.php");
        let mut command = Command::new("php");
        command.arg(script).arg(phpdotenv()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("php starts");
        let stdin = child.stdin.take().expect("piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut hello = String::new();
        stdout.read_line(&mut hello).expect("php writes");
        let hello: Hello = serde_json::from_str(&hello).expect("a hello from oracle.php");
        let dialect = if hello.dialect == "V5_4" { Dialect::V5_4 } else { Dialect::V5_6 };
        Some(Self { child, stdin, stdout, dialect })
    }

    /// All answers, in order.
    pub fn ask(self, cases: &[Case]) -> Vec<Answer> {
        let Self { mut child, mut stdin, stdout, .. } = self;
        let answers = std::thread::scope(|scope| {
            scope.spawn(move || {
                for case in cases {
                    let question = Question { text: hex(&case.bytes), file: case.file, real: &case.real };
                    let line = serde_json::to_string(&question).expect("plain data");
                    // A PHP that died closes the pipe; the missing answers tell.
                    if writeln!(stdin, "{line}").is_err() {
                        return;
                    }
                }
            });
            stdout.lines().map(|line| read(&line.expect("php writes UTF-8"))).collect()
        });
        assert!(child.wait().expect("php ends").success(), "oracle.php failed");
        answers
    }
}

fn read(line: &str) -> Answer {
    let reply: Reply = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
    Answer {
        error: reply.error,
        entries: reply
            .entries
            .into_iter()
            .map(|(name, value)| (unhex(&name), value.map(|v| unhex(&v))))
            .collect(),
        values: reply.values.iter().map(|(name, value)| (unhex(name), unhex(value))).collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> String {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = text.as_bytes().chunks(2).map(|pair| digits(pair).expect("hex")).collect();
    String::from_utf8(bytes).expect("phpdotenv keeps UTF-8 intact")
}

/// PCRE2's version, and every code point from 0x80 that phpdotenv's pattern of names takes, in order.
pub fn name_characters() -> Option<(String, Vec<u32>)> {
    const SCRIPT: &str = r"
        echo PCRE_VERSION, PHP_EOL;
        for ($i = 0x80; $i < 0x110000; $i++) {
            if (($i < 0xD800 || $i > 0xDFFF) && preg_match('~(*UTF8)\A[\p{Ll}\p{Lu}\p{M}\p{N}_.]+\z~', mb_chr($i))) {
                echo $i, PHP_EOL;
            }
        }";
    if !need(&["php"]) {
        return None;
    }
    let output = Command::new("php").args(["-r", SCRIPT]).output().expect("php starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("digits");
    let mut lines = text.lines();
    let version = lines.next().expect("a version").to_owned();
    Some((version, lines.map(|line| line.parse().expect("a code point")).collect()))
}
