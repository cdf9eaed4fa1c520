//! A file that is fetched and placed, and what follows from a change of it.

use super::source::Source;
use super::{DecryptPlan, Signal};
use std::path::PathBuf;
use std::time::Duration;

/// What a fetched file is validated as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FileFormat {
    /// phpdotenv's grammar.
    Dotenv,
    /// Certificates and keys.
    Pem,
    #[default]
    Raw,
}

#[derive(Clone, PartialEq)]
pub struct FilePlan {
    /// `s3://bucket/key[?versionId=…]`, `arn:aws:s3:::bucket/key`, `file:///path` or an absolute path.
    pub source: String,
    pub path: PathBuf,
    pub format: FileFormat,
    /// Permission bits, such as 0o440.
    pub mode: u32,
    /// `name`, `name:group` or numeric ids; the plan's user when absent.
    pub owner: Option<String>,
    /// A missing source fails the boot.
    pub required: bool,
    /// For the whole fetch, all attempts included.
    pub timeout: Duration,
    /// Largest size in bytes that is accepted.
    pub max_size: u64,
    /// Keys that a dotenv file must define with a value.
    pub require_keys: Vec<String>,
    /// This file is the private key of the certificate that is placed there, by another file of the plan.
    pub certificate: Option<PathBuf>,
    pub decrypt: Option<DecryptPlan>,
    /// Endpoint instead of AWS's own (also AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL).
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`. `None`: path style for every endpoint that is
    /// not AWS's own, and for buckets with dots.
    pub path_style: Option<bool>,
    /// How often the source is looked at for a change; `None`: only when a reload is asked for.
    pub refresh: Option<Duration>,
    pub on_change: OnChange,
}

impl FilePlan {
    /// This file is the key of `other`, or is read from where `other` is placed.
    pub fn needs(&self, other: &Self) -> bool {
        self.path != other.path
            && (self.certificate.as_ref() == Some(&other.path)
                || self.source_file().as_ref() == Some(&other.path))
    }

    /// The source, where it is a file.
    pub fn source_file(&self) -> Option<PathBuf> {
        match Source::parse(&self.source) {
            Ok(Source::File(path)) => Some(path),
            _ => None,
        }
    }
}

/// What a change that a refresh finds leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// A reload of everything.
    #[default]
    Reload,
    /// The new file is put into its place, and that is all.
    Nothing,
    /// The new file is put into its place, then the main processes of this service get this signal.
    Signal { signal: Signal, service: String },
}
