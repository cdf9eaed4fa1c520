//! Files made by the real programs, in tests/decrypt; here what no program makes.

use super::*;
use crate::config::plan::{Cipher, Derivation, Digest};
use crate::fetch::job::Format;

fn job(plan: DecryptPlan) -> Job {
    Job {
        source: "/source".into(),
        path: "/opt/php/.env".into(),
        format: Format::Raw,
        mode: 0o440,
        uid: None,
        gid: None,
        required: true,
        timeout_ms: 1,
        max_size: 1,
        require_keys: Vec::new(),
        staged_source: None,
        certificate: None,
        env_keys: Vec::new(),
        planned_keys: Vec::new(),
        decrypt: Some(plan),
        endpoint: None,
        region: None,
        path_style: None,
        directory: None,
        known: None,
        vars: Default::default(),
    }
}

fn laravel(format: DecryptFormat, cipher: Cipher) -> Job {
    let secret = Secret::Key { key: KeySource::Env("KEY".into()), iv: None };
    job(DecryptPlan { format, cipher, secret, base64: false })
}

fn openssl(secret: Secret) -> Job {
    job(DecryptPlan { format: DecryptFormat::Openssl, cipher: Cipher::Aes256Cbc, secret, base64: false })
}

fn run(job: &Job, content: &[u8], vars: &[(&str, &str)]) -> Result<Vec<u8>, FetchError> {
    let content = Content::new(content.to_vec());
    decrypt(content, job, &Vars::of(vars), &mut Redact::default()).map(|content| content.as_slice().to_vec())
}

#[test]
fn a_file_that_is_not_encrypted_is_taken_only_where_that_is_allowed() {
    let plain = b"APP_KEY=base64:abc=\nB=1\n";
    let lenient = laravel(DecryptFormat::LaravelIfEncrypted, Cipher::Aes256Cbc);
    // Without any key: nothing is to be decrypted.
    assert_eq!(run(&lenient, plain, &[]).unwrap(), plain);
    let strict = laravel(DecryptFormat::Laravel, Cipher::Aes256Cbc);
    let key = "x".repeat(32);
    let error = run(&strict, plain, &[("KEY", &key)]).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("does not look like the output of artisan env:encrypt"), "{error}");
}

#[test]
fn a_missing_or_unfit_key_is_a_setting_and_names_its_place() {
    let strict = laravel(DecryptFormat::Laravel, Cipher::Aes128Cbc);
    for (vars, text) in [
        (&[][..], "the variable KEY is not set"),
        (&[("KEY", "S3CR3T-of-odd-length")][..], "the variable KEY holds no key of 16 bytes"),
        (&[("KEY", "base64:%%%%")][..], "the variable KEY holds no key of 16 bytes"),
    ] {
        let error = run(&strict, b"x", vars).unwrap_err();
        assert_eq!(error.kind, Kind::Setting, "{error}");
        assert!(error.message.contains(text) && !error.to_string().contains("S3CR3T"), "{error}");
    }
    let hex = openssl(Secret::Key { key: KeySource::Env("KEY".into()), iv: None });
    for key in ["xyz", &"0".repeat(65)] {
        let error = run(&hex, &[0; 16], &[("KEY", key)]).unwrap_err();
        assert!(error.message.contains("not a hexadecimal number of 64 digits, as -K takes it"), "{error}");
    }
}

#[test]
fn nothing_that_a_stranger_made_does_more_than_fail() {
    let key = "0".repeat(64);
    let jobs = [
        laravel(DecryptFormat::Laravel, Cipher::Aes256Cbc),
        laravel(DecryptFormat::Laravel, Cipher::Aes256Gcm),
        openssl(Secret::Key { key: KeySource::Env("HEX".into()), iv: Some(KeySource::Env("IV".into())) }),
        openssl(Secret::Passphrase {
            from: KeySource::Env("KEY".into()),
            digest: Digest::Md5,
            derivation: Derivation::OneRound,
        }),
    ];
    let vars = [("KEY", &key[..32]), ("HEX", key.as_str()), ("IV", "00")];
    proptest::proptest!(|(bytes: Vec<u8>, salted: bool)| {
        let mut content = if salted { b"Salted__12345678".to_vec() } else { Vec::new() };
        content.extend(&bytes);
        for job in &jobs {
            if let Err(error) = run(job, &content, &vars) {
                proptest::prop_assert_eq!(error.kind, Kind::Invalid);
            }
        }
    });
}

#[test]
fn a_payload_of_strange_parts_is_refused() {
    let strict = laravel(DecryptFormat::Laravel, Cipher::Aes256Cbc);
    let gcm = laravel(DecryptFormat::Laravel, Cipher::Aes256Gcm);
    let key = "k".repeat(32);
    for json in [
        r#"{"iv":"","value":"","mac":""}"#,
        r#"{"iv":"AAAAAAAAAAAAAAAAAAAAAA==","value":"","mac":"zz"}"#,
        r#"{"iv":"AAAAAAAAAAAAAAAAAAAAAA==","value":"","mac":"é","tag":"AA=="}"#,
        r#"{"iv":"AAAAAAAAAAAAAAAA","value":"AAAA","mac":"","tag":"AAAAAAAAAAAAAAAAAAAAAA=="}"#,
    ] {
        let content = STANDARD.encode(json);
        for job in [&strict, &gcm] {
            assert_eq!(
                run(job, content.as_bytes(), &[("KEY", &key)]).unwrap_err().kind,
                Kind::Invalid,
                "{json}"
            );
        }
    }
}
