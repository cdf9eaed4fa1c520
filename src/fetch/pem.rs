//! Is a file PEM: one block or more, each whole. What a bucket's error page or a cut download is not. And: is it the private
//! key of a certificate.

use super::decrypt::from_base64;
use super::secret::Content;
use rcgen::{KeyPair, PublicKeyData as _};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

struct Block<'a> {
    label: &'a str,
    der: Content,
}

/// # Errors
/// What is wrong with it, and in which line; never a part of it.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    blocks(bytes).map(drop)
}

/// Whether a private key is in it, of whatever kind and encrypted or not.
///
/// # Errors
/// As [`check`].
pub fn has_key(bytes: &[u8]) -> Result<bool, String> {
    Ok(blocks(bytes)?.iter().any(|block| block.label.ends_with("PRIVATE KEY")))
}

/// Whether the first key of `key` is that of the first certificate of `certificate`. Only what can be shown to be wrong is:
/// an encrypted key, or one in another form than PKCS #8 (RFC 5958), is taken to be right.
///
/// # Errors
/// There is no certificate, or one of them is no PEM.
pub fn belong_together(key: &[u8], certificate: &[u8]) -> Result<bool, String> {
    let certificates = blocks(certificate)?;
    let certificate = certificates.iter().find(|block| block.label.ends_with("CERTIFICATE"));
    let certificate = certificate.ok_or("it holds no certificate")?.der.as_slice();
    let keys = blocks(key)?;
    let key = keys.iter().find(|block| block.label == "PRIVATE KEY");
    let Some(key) = key.and_then(|key| KeyPair::try_from(key.der.as_slice()).ok()) else { return Ok(true) };
    // The public key stands in its certificate as it is: the content of a BIT STRING (RFC 5280, 4.1).
    let public = key.der_bytes();
    Ok(certificate.windows(public.len().max(1)).any(|part| part == public))
}

fn blocks(bytes: &[u8]) -> Result<Vec<Block<'_>>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let mut blocks = Vec::new();
    // The line, the label and the body of the block that is open.
    let mut open: Option<(usize, &str, String)> = None;
    for (number, line) in (1_usize..).zip(text.lines().map(str::trim_end)) {
        let label = |start: &str| line.strip_prefix(start).and_then(|rest| rest.strip_suffix(DASHES));
        if let Some(label) = label(BEGIN) {
            if open.is_some() {
                return Err(format!("line {number}: a block begins in another"));
            }
            open = Some((number, label, String::new()));
        } else if let Some(label) = label(END) {
            let (at, _, body) = open
                .take()
                .filter(|(_, begun, _)| *begun == label)
                .ok_or_else(|| format!("line {number}: a block ends that did not begin"))?;
            // An encrypted key of the old form has headers before its body.
            let body = body.split_once("\n\n").map_or(body.as_str(), |(_, body)| body);
            let der = from_base64(body.as_bytes())
                .filter(|body| !body.is_empty())
                .ok_or_else(|| format!("line {at}: the block's body is not base64"))?;
            blocks.push(Block { label, der });
        } else if let Some((_, _, body)) = &mut open {
            body.push_str(line);
            body.push('\n');
        }
    }
    match open {
        Some((at, ..)) => Err(format!("line {at}: the block has no end: the file is cut short")),
        None if blocks.is_empty() => Err("it holds no block that begins with -----BEGIN".to_owned()),
        None => Ok(blocks),
    }
}

#[cfg(test)]
mod tests {
    use super::{belong_together, check, has_key};
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};

    const GOOD: &str = "text before\n-----BEGIN CERTIFICATE-----\nAAAA\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn whole_blocks_are_accepted() {
        check(GOOD.as_bytes()).unwrap();
        check(GOOD.repeat(3).replace('\n', "\r\n").as_bytes()).unwrap();
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        check(old.as_bytes()).unwrap();
    }

    /// A certificate and its key.
    fn pair(kind: &'static SignatureAlgorithm) -> (String, String) {
        let key = KeyPair::generate_for(kind).unwrap();
        let params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_key_belongs_to_its_own_certificate_alone() {
        for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let (first, second) = (pair(kind), pair(kind));
            let together =
                |key: &str, certificate: &str| belong_together(key.as_bytes(), certificate.as_bytes());
            assert_eq!(together(&first.1, &first.0), Ok(true));
            assert_eq!(together(&second.1, &first.0), Ok(false));
            // One file with both, and a chain whose first certificate is the server's.
            let both = format!("{}{}", first.0, first.1);
            assert_eq!(together(&both, &both), Ok(true));
            assert_eq!(together(&second.1, &format!("{}{}", first.0, second.0)), Ok(false));
            assert!(together(&first.1, &first.1).unwrap_err().contains("no certificate"));
            assert_eq!((has_key(first.0.as_bytes()), has_key(both.as_bytes())), (Ok(false), Ok(true)));
        }
        let other = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(has_key(other.as_bytes()), Ok(true));
        assert_eq!(belong_together(other.as_bytes(), GOOD.as_bytes()), Ok(true), "it cannot be told");
    }

    #[test]
    fn anything_else_is_told_by_its_line() {
        for (text, why) in [
            ("<html>", "no block"),
            ("", "no block"),
            (&GOOD[..40], "line 2: the block has no end"),
            (&GOOD.replace("END CERTIFICATE", "END KEY"), "line 5: a block ends"),
            (&GOOD.replace("AAAA", "A*"), "line 2: the block's body"),
            (&GOOD.replace("AAAA\nAAAA\n", ""), "line 2: the block's body"),
            ("-----BEGIN A-----\n-----BEGIN B-----\n", "line 2: a block begins in another"),
        ] {
            assert!(check(text.as_bytes()).unwrap_err().contains(why), "{text}");
        }
        assert!(check(b"\xff").is_err());
    }
}
