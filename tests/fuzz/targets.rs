//! What strangers' bytes are fed to, and what must hold whatever they are: nothing panics, nothing grows without bound, and
//! what is accepted means what it says. Shared by the tests of a normal run and by the targets of cargo-fuzz.

use php_init::config::plan::{Cipher, DecryptFormat, DecryptPlan, Derivation, Digest, KeySource, Secret};
use php_init::config::tree::Source;
use php_init::config::{load, print, resolve};
use php_init::control::request::parse_request;
use php_init::dotenv::{self, parse};
use php_init::fetch::decrypt::decrypt;
use php_init::fetch::job::{Format, Job};
use php_init::fetch::secret::{Content, Redact};
use php_init::fetch::vars::Vars;
use php_init::import::{self, import};
use php_init::logs::line::{End, Framer};
use php_init::probe::fastcgi::Parser;
use php_init::schedule::Schedule;
use php_init::schedule::crontab;
use std::path::Path;

type Target = fn(&[u8]);

/// Every target by its name, which is that of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("dotenv", dotenv),
    ("config", config),
    ("crontab", crontab),
    ("schedule", schedule),
    ("supervisord", supervisord),
    ("fastcgi", fastcgi),
    ("control", control),
    ("lines", lines),
    ("decrypt", decrypt_container),
];

/// What validation accepts can be read, and its values can be resolved.
pub fn dotenv(bytes: &[u8]) {
    match dotenv::validate(bytes, &["APP_KEY".to_owned()]) {
        Ok(_) => {
            let document = parse(bytes).expect("validated, so it parses");
            let values = document.resolve(|_| None);
            assert!(values.get("APP_KEY").is_some_and(|value| !value.expose().is_empty()));
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
}

/// A configuration is a plan that prints as the same plan, or it is refused with a place.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let env = |name: &str| (name == "SET").then(|| "value".to_owned());
    let plan = |text: String| {
        let file = Source { name: "/etc/init.toml".to_owned(), text };
        let layers = load::layers(Some(file), None, &env, &|_| false, Some(Path::new("/var/www/html")))?;
        let plan = resolve::resolve(&layers, &env, None)?;
        let written = resolve::as_written(&layers, &env, None)?;
        Ok::<_, Vec<php_init::config::ConfigError>>((print::print(&written, &plan), plan))
    };
    match plan(text.to_owned()) {
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.to_string().is_empty()))
        }
        Ok((printed, first)) => {
            // A value that looks like a secret is not printed, and says so when it is read.
            if !printed.contains("is not printed, since it looks like a secret") {
                let (_, second) =
                    plan(printed.clone()).unwrap_or_else(|errors| panic!("{errors:?}\n{printed}"));
                assert!(same(&first, &second), "{printed}");
            }
        }
    }
}

fn same(one: &php_init::config::plan::Plan, other: &php_init::config::plan::Plan) -> bool {
    let mut one = one.clone();
    one.preset.clone_from(&other.preset);
    one == *other
}

/// Every entry of a crontab that is accepted is a schedule that goes forward.
pub fn crontab(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for path in ["/etc/crontab", "/etc/crontabs/www-data", "/etc/cron.d/app"] {
        if let Ok((plans, _)) = crontab::plans(Path::new(path), text) {
            for plan in plans {
                forward(
                    &Schedule::parse(&plan.schedule, plan.time_zone.as_deref()).expect("accepted before"),
                );
            }
        }
    }
}

pub fn schedule(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (text, zone) = text.split_once('\n').map_or((text, None), |(text, zone)| (text, Some(zone)));
    if let Ok(schedule) = Schedule::parse(text, zone) {
        forward(&schedule);
    }
}

fn forward(schedule: &Schedule) {
    let mut at = jiff::Timestamp::UNIX_EPOCH;
    for _ in 0..5 {
        let Some(next) = schedule.next_after(at) else { return };
        assert!(next > at);
        at = next;
    }
}

/// What comes out is TOML, whatever went in.
pub fn supervisord(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file =
        import::File { name: "supervisord.conf".to_owned(), here: "/etc".to_owned(), text: text.to_owned() };
    let _ = import::includes(&file, &|_| None);
    if let Ok(toml) = import(&import::Input { files: vec![file], ..import::Input::default() }) {
        assert!(toml.parse::<toml::Table>().is_ok(), "{toml}");
    }
}

/// An answer is the same in one piece and in many, and never larger than its limit.
pub fn fastcgi(bytes: &[u8]) {
    const LIMIT: usize = 4096;
    let whole = Parser::new(LIMIT).feed(bytes);
    let mut parser = Parser::new(LIMIT);
    let mut pieces = Ok(None);
    for byte in bytes.chunks(7) {
        pieces = parser.feed(byte);
        if !matches!(pieces, Ok(None)) {
            break;
        }
    }
    if let Ok(Some(answer)) = &whole {
        assert!(answer.stdout.len() + answer.stderr.len() <= bytes.len());
        let _ = answer.status();
        assert_eq!(pieces.as_ref().ok().and_then(Option::as_ref), Some(answer));
    }
}

/// A request is one of ours, and means the same when it is said again.
pub fn control(bytes: &[u8]) {
    if let Ok(envelope) = parse_request(bytes) {
        let again = serde_json::to_vec(&envelope).expect("of our own types");
        assert_eq!(parse_request(&again).ok(), Some(envelope));
    }
}

/// No byte of a stream is lost, added or moved, however it arrives; no line is torn below the limit.
pub fn lines(bytes: &[u8]) {
    const MAX: usize = 64;
    let step = bytes.first().map_or(1, |first| usize::from(*first) % 97 + 1);
    let mut framer = Framer::new(MAX);
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    for chunk in bytes.chunks(step) {
        let mut input = chunk;
        while let Some(piece) = framer.next(&mut input) {
            out.extend_from_slice(piece.bytes);
            ends.push((out.len(), piece.end));
            assert!(piece.bytes.len() <= MAX + 1);
        }
        assert!(framer.held() <= MAX + 1);
    }
    if let Some(piece) = framer.finish() {
        out.extend_from_slice(piece.bytes);
    }
    assert_eq!(out, bytes);
    for (at, end) in ends {
        assert_eq!(end == End::Newline, out[at - 1] == b'\n');
    }
}

/// The first byte chooses who encrypted it. What is not refused is no larger than what came.
pub fn decrypt_container(bytes: &[u8]) {
    let Some((choice, content)) = bytes.split_first() else { return };
    let key = || KeySource::Env("KEY".to_owned());
    let (format, secret) = match choice % 5 {
        0 => (DecryptFormat::Laravel, Secret::Key { key: key(), iv: None }),
        1 => (DecryptFormat::LaravelIfEncrypted, Secret::Key { key: key(), iv: None }),
        2 => (DecryptFormat::Openssl, Secret::Key { key: KeySource::Env("HEX".to_owned()), iv: None }),
        3 => {
            let derivation = Derivation::OneRound;
            (DecryptFormat::Openssl, Secret::Passphrase { from: key(), digest: Digest::Md5, derivation })
        }
        _ => {
            let derivation = Derivation::Pbkdf2 { iterations: 2 };
            (DecryptFormat::Openssl, Secret::Passphrase { from: key(), digest: Digest::Sha512, derivation })
        }
    };
    let ciphers = [Cipher::Aes128Cbc, Cipher::Aes256Cbc, Cipher::Aes128Gcm, Cipher::Aes256Gcm, Cipher::Des3];
    let cipher = ciphers[usize::from(choice / 5) % ciphers.len()];
    let job = Job {
        source: "/source".to_owned(),
        path: "/opt/php/.env".into(),
        format: Format::Raw,
        mode: 0o440,
        uid: None,
        gid: None,
        required: true,
        timeout_ms: 1,
        max_size: 1 << 20,
        require_keys: Vec::new(),
        staged_source: None,
        certificate: None,
        env_keys: Vec::new(),
        planned_keys: Vec::new(),
        decrypt: Some(DecryptPlan { format, cipher, secret, base64: choice % 2 == 1 }),
        known: None,
        vars: Default::default(),
        endpoint: None,
        region: None,
        path_style: None,
        directory: None,
    };
    let vars: Vars = [("KEY", "0123456789abcdef0123456789abcdef"), ("HEX", "00112233")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if let Ok(plain) = decrypt(Content::new(content.to_vec()), &job, &vars, &mut Redact::default()) {
        assert!(plain.len() <= content.len());
    }
}
