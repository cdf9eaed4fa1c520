//! `self-signed:NAME[,NAME…]`: a certificate and its key made here, in one PEM file, so that they always belong together.
//!
//! For what encrypts the way from a load balancer, which does not look at names or issuers. The alternative people have is a key
//! that is baked into the image, the same in every container and for everyone who can pull it.

use super::error::{FetchError, Kind};
use super::secret::Content;
use rcgen::{CertificateParams, DnType, KeyPair};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long a pair is valid. Nobody who checks dates accepts a self-signed one, so this is only an end to it.
const LIFETIME: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// A pair older than this is replaced.
const RENEW_AFTER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The largest file that may be an earlier pair.
const MAX_SIZE: u64 = 64 * 1024;

/// A pair for `names`; the one at `path`, when it was made for the same names not too long ago.
///
/// # Errors
/// [`Kind::Setting`] for a name that no certificate can hold.
pub fn pair(names: &[String], path: &Path) -> Result<Content, FetchError> {
    pair_at(names, path, now())
}

fn now() -> SystemTime {
    let wall = u64::try_from(crate::sys::clock::wall()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_nanos(wall)
}

fn pair_at(names: &[String], path: &Path, now: SystemTime) -> Result<Content, FetchError> {
    let heading = format!("# self-signed by init for {}\n", names.join(","));
    if let Some(earlier) = earlier(path, &heading, now) {
        return Ok(earlier);
    }
    let refused = |kind, error: rcgen::Error| {
        FetchError::new(
            kind,
            format!("cannot make a self-signed certificate for {}: {error}", names.join(",")),
        )
    };
    let mut params = CertificateParams::new(names).map_err(|error| refused(Kind::Setting, error))?;
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("", String::as_str));
    // A day of grace for clocks that are behind.
    let day = Duration::from_secs(24 * 60 * 60);
    params.not_before = (now.checked_sub(day).unwrap_or(now)).into();
    params.not_after = (now.checked_add(LIFETIME).unwrap_or(now)).into();
    let key = KeyPair::generate().map_err(|error| refused(Kind::Internal, error))?;
    let certificate = params.self_signed(&key).map_err(|error| refused(Kind::Internal, error))?;
    let key = Content::new(key.serialize_pem().into_bytes());
    let mut both = Content::with_capacity(MAX_SIZE as usize);
    both.extend(heading.as_bytes());
    both.extend(certificate.pem().as_bytes());
    both.extend(key.as_slice());
    Ok(both)
}

fn earlier(path: &Path, heading: &str, now: SystemTime) -> Option<Content> {
    let written = crate::files::metadata(path).ok()?.modified().ok()?;
    let age = now.duration_since(written).unwrap_or_default();
    let bytes = super::file::read(path, MAX_SIZE).ok().filter(|_| age < RENEW_AFTER)?;
    let content = Content::new(bytes);
    content.as_slice().starts_with(heading.as_bytes()).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_pair_is_kept_while_it_is_young_and_for_the_same_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pair.pem");
        let now = super::now();
        let first = pair_at(&names(&["localhost", "127.0.0.1"]), &path, now).unwrap();
        std::fs::write(&path, first.as_slice()).unwrap();
        let again = pair_at(&names(&["localhost", "127.0.0.1"]), &path, now).unwrap();
        assert_eq!(first.as_slice(), again.as_slice());
        let other = pair_at(&names(&["example.com"]), &path, now).unwrap();
        assert_ne!(first.as_slice(), other.as_slice());
        let late = pair_at(&names(&["localhost", "127.0.0.1"]), &path, now + RENEW_AFTER * 2).unwrap();
        assert_ne!(first.as_slice(), late.as_slice());
    }

    #[test]
    fn a_name_that_no_certificate_can_hold_is_refused() {
        let error = pair_at(&names(&["münchen"]), Path::new("/none"), now()).err().unwrap();
        assert_eq!(error.kind, Kind::Setting);
        assert!(error.message.contains("münchen"), "{error}");
    }
}
