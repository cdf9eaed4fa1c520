//! Which certificate authorities are trusted: AWS_CA_BUNDLE, else the system's, else the ones built in.
//!
//! Neither the SDK nor its TLS stack knows AWS_CA_BUNDLE. The system's roots are SSL_CERT_FILE, SSL_CERT_DIR or the
//! distribution's places; an image without ca-certificates has none, and the SDK then fails every handshake (and
//! panics in a debug build), so Mozilla's roots take their place.

use super::http::Http;
use crate::fetch::error::{FetchError, Kind};
use crate::fetch::file::reason;
use crate::fetch::vars::Vars;
use crate::files;
use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The distributions' bundles, after openssl-probe's list.
const FILES: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
    "/opt/etc/ssl/certs/ca-certificates.crt",
];
const DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
/// Largest file that is taken for a bundle of certificates, in bytes. Mozilla's is 220 kB.
const MAX_BUNDLE: u64 = 16 * 1024 * 1024;

/// The trusted roots, and warnings about them.
pub fn trust(vars: &Vars) -> Result<(TlsContext, Vec<String>), FetchError> {
    let mut warnings = Vec::new();
    let store = if let Some(path) = vars.get("AWS_CA_BUNDLE") {
        bundle(Path::new(path), &mut warnings)?
    } else if system(vars) {
        TrustStore::default()
    } else {
        if let Some(name) = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find(|name| vars.has(name)) {
            warnings.push(format!("{name} names no readable certificate; the built-in roots are used"));
        }
        built_in()
    };
    let context = context(store)?;
    Ok((context, warnings))
}

fn context(store: TrustStore) -> Result<TlsContext, FetchError> {
    TlsContext::builder()
        .with_trust_store(store)
        .build()
        .map_err(|error| FetchError::new(Kind::Internal, format!("cannot set up TLS: {error}")))
}

fn built_in() -> TrustStore {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .fold(TrustStore::empty(), |store, der| store.with_pem_certificate(pem(der.as_ref())))
}

fn pem(der: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        aws_smithy_types::base64::encode(der)
    )
}

/// Whether the platform's own roots hold at least one certificate.
fn system(vars: &Vars) -> bool {
    let (file, directories) = (vars.get("SSL_CERT_FILE"), vars.get("SSL_CERT_DIR"));
    if file.is_some() || directories.is_some() {
        return file.is_some_and(|file| holds_certificate(Path::new(file)))
            || directories.is_some_and(|list| list.split(':').any(|dir| any_certificate(Path::new(dir))));
    }
    FILES.iter().any(|file| holds_certificate(Path::new(file)))
        || DIRECTORIES.iter().any(|dir| any_certificate(Path::new(dir)))
}

fn any_certificate(dir: &Path) -> bool {
    files::list(dir).is_ok_and(|names| names.iter().any(|name| holds_certificate(&dir.join(name))))
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

fn holds_certificate(path: &Path) -> bool {
    read(path).is_ok_and(|text| text.contains(BEGIN))
}

fn read(path: &Path) -> std::io::Result<String> {
    let bytes = files::read_bounded(&files::open_configuration(path)?, MAX_BUNDLE)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn bundle(path: &Path, warnings: &mut Vec<String>) -> Result<TrustStore, FetchError> {
    let unusable = |why: &str| {
        FetchError::new(Kind::Setting, format!("cannot use AWS_CA_BUNDLE {}: {why}", path.display()))
            .hint("set AWS_CA_BUNDLE to a file with certificates in PEM, or unset it")
    };
    let text = read(path).map_err(|error| unusable(&reason(&error)))?;
    let certificates = blocks(&text);
    if certificates.is_empty() {
        return Err(unusable("it holds no certificate in PEM"));
    }
    let all = certificates.iter().fold(TrustStore::empty(), |store, pem| store.with_pem_certificate(*pem));
    if parses(&all) {
        return Ok(all);
    }
    // The SDK panics on the first certificate that it cannot parse; leave out the ones that are at fault.
    let good: Vec<&str> = certificates
        .iter()
        .copied()
        .filter(|pem| parses(&TrustStore::empty().with_pem_certificate(*pem)))
        .collect();
    if good.is_empty() {
        return Err(unusable("none of its certificates can be parsed"));
    }
    let bad = certificates.len() - good.len();
    warnings.push(format!("{bad} certificates of AWS_CA_BUNDLE {} cannot be parsed", path.display()));
    Ok(good.into_iter().fold(TrustStore::empty(), |store, pem| store.with_pem_certificate(pem)))
}

fn blocks(text: &str) -> Vec<&str> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        rest = &rest[start..];
        let Some(end) = rest.find(END) else { break };
        found.push(&rest[..end + END.len()]);
        rest = &rest[end + END.len()..];
    }
    found
}

fn parses(store: &TrustStore) -> bool {
    let Ok(tls) = context(store.clone()) else { return false };
    let http = Http { tls: Some(tls), proxy: false };
    catch_unwind(AssertUnwindSafe(|| http.connector(&HttpConnectorSettings::default()))).is_ok()
}

/// The place of the system's roots, for an error's remedy.
pub fn location(vars: &Vars) -> PathBuf {
    vars.first(&["AWS_CA_BUNDLE", "SSL_CERT_FILE"]).map_or_else(|| PathBuf::from(FILES[0]), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_roots_parse() {
        assert!(parses(&built_in()));
        assert!(webpki_root_certs::TLS_SERVER_ROOT_CERTS.len() > 100);
    }

    #[test]
    fn system_roots_are_found_where_they_are_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let name = path.to_str().unwrap().to_owned();
        let vars = Vars::of(&[("SSL_CERT_FILE", &name)]);
        assert!(!system(&vars));
        std::fs::write(&path, pem(webpki_root_certs::TLS_SERVER_ROOT_CERTS[0].as_ref())).unwrap();
        assert!(system(&vars));
        assert!(system(&Vars::of(&[("SSL_CERT_DIR", dir.path().to_str().unwrap())])));
        let (_, warnings) = trust(&Vars::of(&[("SSL_CERT_FILE", "/nonexistent")])).unwrap();
        assert!(warnings[0].contains("SSL_CERT_FILE"), "{warnings:?}");
    }

    #[test]
    fn a_bundle_of_ones_own_must_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let vars = Vars::of(&[("AWS_CA_BUNDLE", path.to_str().unwrap())]);
        let error = |vars: &Vars| trust(vars).err().unwrap();
        assert!(error(&vars).message.contains("No such file"), "{}", error(&vars));
        std::fs::write(&path, "hello").unwrap();
        assert!(error(&vars).message.contains("no certificate"), "{}", error(&vars));
        let bad = format!("{BEGIN}\nAAAA\n-----END CERTIFICATE-----\n");
        std::fs::write(&path, &bad).unwrap();
        assert!(error(&vars).message.contains("none of its"), "{}", error(&vars));
        let good = pem(webpki_root_certs::TLS_SERVER_ROOT_CERTS[0].as_ref());
        std::fs::write(&path, format!("{bad}{good}{good}")).unwrap();
        let (_, warnings) = trust(&vars).unwrap();
        assert!(warnings[0].contains("1 certificates"), "{warnings:?}");
    }
}
