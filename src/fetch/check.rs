//! Is what came a valid file of its format.
//!
//! The one place where fetching meets [`crate::dotenv`]. Problems and warnings name lines and keys, never a value:
//! phpdotenv's own messages show the offending text, which is why a bad file must be caught before PHP reads it.

use super::error::{FetchError, Kind};
use super::job::{Format, Job};
use super::secret::Content;
use super::vars::Vars;
use super::{file, pem};
use crate::dotenv::{self, Document, Problem, Warning};

/// Problems shown in full; the rest is counted.
const SHOWN: usize = 10;

/// Checks the content of `job`'s source and returns warnings. `vars` is the environment that init started with.
pub fn check(bytes: &[u8], job: &Job, vars: &Vars) -> Result<Vec<String>, FetchError> {
    match job.format {
        Format::Raw if bytes.is_empty() => Ok(vec!["the file is empty".to_owned()]),
        Format::Raw => Ok(Vec::new()),
        Format::Pem => pem(bytes, job).map(|()| Vec::new()),
        Format::Dotenv if bytes.iter().all(u8::is_ascii_whitespace) && !job.required => {
            Ok(vec!["the file is empty".to_owned()])
        }
        Format::Dotenv => dotenv(bytes, job, vars).map_err(|problems| invalid(job, &problems)),
    }
}

fn pem(bytes: &[u8], job: &Job) -> Result<(), FetchError> {
    let invalid = |why: String| {
        FetchError::new(Kind::Invalid, format!("cannot accept {}: {why}", job.source))
            .hint(format!("nothing was written: an earlier {} is as it was", job.path.display()))
    };
    let Some(certificate) = &job.certificate else { return pem::check(bytes).map_err(invalid) };
    if !pem::has_key(bytes).map_err(invalid)? {
        return Err(invalid("it holds no private key".to_owned()));
    }
    let other = Content::new(file::read(certificate, job.max_size)?);
    match pem::belong_together(bytes, other.as_slice()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(invalid("it is not the key of its certificate".to_owned())
            .hint("where both are being replaced, the next attempt finds both")),
        Err(why) => Err(invalid(format!("its certificate cannot be used: {why}"))),
    }
}

/// Warnings, or problems, in lines without values.
fn dotenv(bytes: &[u8], job: &Job, vars: &Vars) -> Result<Vec<String>, Vec<Problem>> {
    let report = dotenv::validate(bytes, &job.require_keys)?;
    let mut warnings = report.warnings;
    if let Ok(document) = dotenv::parse(bytes) {
        warnings.extend(shadowed(&document, job, vars));
    }
    Ok(warnings.iter().map(ToString::to_string).collect())
}

/// Entries that the environment wins over, where that makes a difference: a key such as APP_ENV is the same in both
/// places of most task definitions.
fn shadowed(document: &Document, job: &Job, vars: &Vars) -> Vec<Warning> {
    let values = document.resolve(|_| None);
    let same = |key: &str| {
        let planned = job.planned_keys.iter().any(|known| known == key);
        !planned && values.get(key).is_some_and(|value| vars.raw(key) == Some(value.expose()))
    };
    document.shadowed(|key| job.env_keys.iter().any(|known| known == key) && !same(key))
}

fn invalid(job: &Job, problems: &[Problem]) -> FetchError {
    let shown: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = match problems.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    FetchError::new(Kind::Invalid, format!("cannot accept {}: {}{more}", job.source, shown.join("; ")))
        .hint("correct it at its source; nothing was written, so the application never sees a broken file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(format: Format, required: bool) -> Job {
        Job {
            source: "s3://bucket/.env".into(),
            path: "/opt/php/.env".into(),
            format,
            mode: 0o440,
            uid: None,
            gid: None,
            required,
            timeout_ms: 1,
            max_size: 1,
            require_keys: Vec::new(),
            staged_source: None,
            certificate: None,
            env_keys: vec!["APP_ENV".into(), "NAME".into(), "PLANNED".into()],
            planned_keys: vec!["PLANNED".into()],
            decrypt: None,
            endpoint: None,
            region: None,
            path_style: None,
            directory: None,
            known: None,
            vars: Default::default(),
        }
    }

    #[test]
    fn an_empty_dotenv_is_fatal_unless_optional() {
        assert_eq!(check(b"", &job(Format::Dotenv, true), &Vars::default()).unwrap_err().kind, Kind::Invalid);
        assert_eq!(
            check(b" \n", &job(Format::Dotenv, false), &Vars::default()).unwrap(),
            ["the file is empty"]
        );
        assert_eq!(check(b"", &job(Format::Raw, true), &Vars::default()).unwrap(), ["the file is empty"]);
        assert!(check(b"\xff", &job(Format::Raw, true), &Vars::default()).unwrap().is_empty());
    }

    #[test]
    fn problems_are_all_told_without_values() {
        let text: String = (1..=12).map(|n| format!("A{n}=S3CR3T x\n")).collect();
        let error = check(text.as_bytes(), &job(Format::Dotenv, true), &Vars::default()).unwrap_err();
        assert!(
            error.message.contains("A1")
                && error.message.contains("A10")
                && error.message.ends_with("and 2 more")
        );
        assert!(!error.message.contains("S3CR3T"), "{error}");
    }

    #[test]
    fn what_the_environment_has_already_is_told() {
        let warnings = check(b"APP_ENV=S3CR3T\nB=1\n", &job(Format::Dotenv, true), &Vars::default()).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("APP_ENV"), "{warnings:?}");
        assert!(!warnings[0].contains("S3CR3T"));
    }

    #[test]
    fn a_variable_with_the_value_of_the_file_is_not_worth_a_warning() {
        let vars = Vars::of(&[("APP_ENV", "production"), ("NAME", "the app"), ("PLANNED", "x")]);
        let text = b"APP_ENV=production\nSHORT=app\nNAME=\"the ${SHORT}\"\nPLANNED=x\n";
        let warnings = check(text, &job(Format::Dotenv, true), &vars).unwrap();
        assert!(matches!(warnings.as_slice(), [one] if one.contains("PLANNED")), "{warnings:?}");
        let warnings = check(b"APP_ENV=local\n", &job(Format::Dotenv, true), &vars).unwrap();
        assert!(matches!(warnings.as_slice(), [one] if one.contains("APP_ENV")), "{warnings:?}");
    }
}
