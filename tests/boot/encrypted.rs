//! Encrypted sources, made by the programs that people use: opened with the right key, refused whole with any other.

use crate::harness::{Done, NEEDS, PLACES, Place, Setup};
use crate::support::need;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

/// In every value of the plain text.
const SECRET: &str = "S3CR3T";
const PLAIN: &str = "APP_KEY=base64:S3CR3T=\nDB_PASSWORD=\"S3CR3T with spaces\"\nEMPTY=\n";
/// 32 bytes, as `env:encrypt` prints them.
const KEY: &str = "base64:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER_KEY: &str = "base64:YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk=";

fn pipe(program: &str, arguments: &[&str], input: &str) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "{program} {arguments:?}: {output:?}");
    output.stdout
}

fn encrypt(form: &str, cipher: &str, key: &str) -> Vec<u8> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/boot/encrypt.php");
    pipe("php", &[script, form, cipher, key], PLAIN)
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    pipe("openssl", &[&["enc", "-e"], arguments].concat(), PLAIN)
}

fn setup(place: Place, decrypt: &str, file: &[u8]) -> Setup {
    let config = format!(
        "user = \"www-data\"\n[log]\nlevel = \"trace\"\n[[file]]\nsource = \"DIR/source\"\npath = \".env\"\nformat = \"dotenv\"\n\
         decrypt = {{ {decrypt} }}\n"
    );
    let setup = Setup::new(place, &config);
    setup.file("source", file, 0o600);
    setup
}

/// Boots and shows what was placed and what a child sees of the keys.
fn boots(setup: Setup, variables: &[(&str, &str)]) -> Done {
    let env = setup.path("state/.env");
    let setup = variables.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
    let done = setup.sh(&format!("cat {}; env | grep -E '_TEST_|ENCRYPTION_KEY'; true", env.display()));
    assert!(!done.stderr.contains(SECRET), "{done:?}");
    for (_, value) in variables {
        assert!(!done.all().contains(value), "a key got out: {done:?}");
    }
    done
}

fn opens(decrypt: &str, file: &[u8], variables: &[(&str, &str)]) {
    for place in PLACES {
        let done = boots(setup(place, decrypt, file), variables).expect(0);
        assert_eq!(done.stdout, PLAIN, "{decrypt}");
    }
}

/// Refused with `code` and `words`, and nothing is on the disk.
fn refused(decrypt: &str, file: &[u8], variables: &[(&str, &str)], code: i32, words: &[&str]) {
    for place in PLACES {
        let setup =
            setup(place, decrypt, file).before("mkdir -m 0755 DIR/state; echo OLD=1 > DIR/state/.env");
        let path = setup.path("state");
        let setup = variables.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
        let done = setup.sh("echo started").expect(code).says(words);
        assert!(!done.all().contains(SECRET) && done.stdout.is_empty(), "{done:?}");
        assert!(variables.iter().all(|(_, value)| !done.all().contains(value)), "a key got out: {done:?}");
        assert_eq!(fs::read_to_string(path.join(".env")).unwrap(), "OLD=1\n");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "something is left behind");
    }
}

#[test]
fn what_laravel_encrypted_is_opened_with_its_key() {
    if !need(&[NEEDS, &["php"]].concat()) {
        return;
    }
    let key = [("LARAVEL_ENV_ENCRYPTION_KEY", KEY)];
    opens("format = \"laravel\"", &encrypt("laravel", "aes-256-cbc", KEY), &key);
    opens("format = \"laravel\"", &encrypt("readable", "aes-256-cbc", KEY), &key);
    opens("format = \"laravel\", cipher = \"aes-256-gcm\"", &encrypt("whole", "aes-256-gcm", KEY), &key);
    opens("format = \"laravel\", cipher = \"aes-256-gcm\"", &encrypt("readable", "aes-256-gcm", KEY), &key);
    let raw = [("ENV_TEST_KEY", "0123456789abcdef")];
    for cipher in ["aes-128-cbc", "aes-128-gcm"] {
        let decrypt = format!("format = \"laravel\", cipher = \"{cipher}\", key-env = \"ENV_TEST_KEY\"");
        opens(&decrypt, &encrypt("whole", cipher, raw[0].1), &raw);
    }
    // Where it need not be encrypted.
    opens("format = \"laravel-if-encrypted\"", &encrypt("laravel", "aes-256-cbc", KEY), &key);
    opens("format = \"laravel-if-encrypted\"", PLAIN.as_bytes(), &[]);
}

#[test]
fn what_openssl_encrypted_is_opened_as_the_article_did_and_better() {
    if !need(&[NEEDS, &["openssl"]].concat()) {
        return;
    }
    let key = "123456789012345612345678901234560000000000000000";
    let iv = "ABCDEFABCDEFABCD";
    let variables = [("CREDENTIALS_TEST_KEY", key), ("CREDENTIALS_TEST_IV", iv)];
    let article = "format = \"openssl\", cipher = \"des3\", key-env = \"CREDENTIALS_TEST_KEY\", iv-env = \"CREDENTIALS_TEST_IV\"";
    opens(article, &openssl(&["-des3", "-K", key, "-iv", iv]), &variables);
    opens(&format!("{article}, base64 = true"), &openssl(&["-des3", "-a", "-K", key, "-iv", iv]), &variables);
    // A shorter vector is filled with zeros, by openssl too.
    let short = "0011223344";
    let aes = article.replace("des3", "aes-256-cbc");
    let variables = [("CREDENTIALS_TEST_KEY", key), ("CREDENTIALS_TEST_IV", short)];
    opens(&aes, &openssl(&["-aes-256-cbc", "-K", key, "-iv", short]), &variables);
    let pass = [("ENV_TEST_PASSPHRASE", "correct horse")];
    let decrypt = "format = \"openssl\", cipher = \"aes-256-cbc\", passphrase-env = \"ENV_TEST_PASSPHRASE\"";
    let with = ["-aes-256-cbc", "-pass", "pass:correct horse"];
    opens(decrypt, &openssl(&[&with[..], &["-pbkdf2"]].concat()), &pass);
    opens(
        &format!("{decrypt}, iterations = 1234, digest = \"sha512\", base64 = true"),
        &openssl(&[&with[..], &["-iter", "1234", "-md", "sha512", "-a"]].concat()),
        &pass,
    );
    opens(&format!("{decrypt}, pbkdf2 = false"), &openssl(&with), &pass);
    opens(
        &format!("{decrypt}, pbkdf2 = false, digest = \"md5\""),
        &openssl(&[&with[..], &["-md", "md5"]].concat()),
        &pass,
    );
}

#[test]
fn a_key_may_stand_in_a_file_of_roots() {
    if !need(&[NEEDS, &["openssl"]].concat()) {
        return;
    }
    let file = openssl(&["-aes-256-cbc", "-pass", "pass:correct horse", "-pbkdf2"]);
    let decrypt = "format = \"openssl\", cipher = \"aes-256-cbc\", passphrase-file = \"DIR/key\"";
    for place in PLACES {
        let setup = setup(place, decrypt, &file);
        setup.file("key", "correct horse\n", 0o400);
        assert_eq!(boots(setup, &[]).expect(0).stdout, PLAIN);
    }
    refused(decrypt, &file, &[], 78, &["cannot decrypt", "/source: cannot read", "/key: No such file"]);
}

#[test]
fn a_wrong_key_a_changed_file_and_a_wrong_padding_are_one_error_and_write_nothing() {
    if !need(&[NEEDS, &["php", "openssl"]].concat()) {
        return;
    }
    let one = &[
        "cannot decrypt",
        "the key or the cipher is another one, or the file was changed",
        "nothing was written",
    ];
    let laravel = "format = \"laravel\"";
    let file = encrypt("laravel", "aes-256-cbc", KEY);
    refused(laravel, &file, &[("LARAVEL_ENV_ENCRYPTION_KEY", OTHER_KEY)], 65, one);
    let key = [("LARAVEL_ENV_ENCRYPTION_KEY", KEY)];
    refused("format = \"laravel\", cipher = \"aes-256-gcm\"", &file, &key, 65, one);
    // One bit of the cipher text, found through the JSON that surrounds it.
    let changed = pipe(
        "php",
        &[
            "-r",
            "$j = json_decode(base64_decode(stream_get_contents(STDIN)), true); $v = base64_decode($j['value']); \
                 $v[20] = chr(ord($v[20]) ^ 1); $j['value'] = base64_encode($v); echo base64_encode(json_encode($j));",
        ],
        std::str::from_utf8(&file).unwrap(),
    );
    refused(laravel, &changed, &key, 65, one);
    let readable = encrypt("readable", "aes-256-gcm", KEY);
    let other = [("LARAVEL_ENV_ENCRYPTION_KEY", OTHER_KEY)];
    refused("format = \"laravel\", cipher = \"aes-256-gcm\"", &readable, &other, 65, one);
    refused(laravel, &file, &[], 78, &["the variable LARAVEL_ENV_ENCRYPTION_KEY is not set"]);
    refused(laravel, PLAIN.as_bytes(), &key, 65, &["does not look like the output of artisan env:encrypt"]);
    let decrypt = "format = \"openssl\", cipher = \"aes-256-cbc\", key-env = \"ENV_TEST_KEY\"";
    let right = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let file = openssl(&["-aes-256-cbc", "-K", right, "-iv", "0"]);
    // The padding of the last block, certainly: its bytes are those of the key's own making.
    let wrong = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    refused(decrypt, &file, &[("ENV_TEST_KEY", wrong)], 65, &["cannot"]);
    refused(
        decrypt,
        &file[..file.len() - 3],
        &[("ENV_TEST_KEY", right)],
        65,
        &["does not look like the output of openssl enc"],
    );
    refused(decrypt, &[0; 32], &[("ENV_TEST_KEY", right)], 65, &["cannot"]);
}
