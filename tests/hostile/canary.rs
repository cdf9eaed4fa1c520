//! Secrets that can be recognized wherever they turn up: `CANARY-name-` and 32 hexadecimal digits.
//!
//! The prefix alone is in the memory of every process that runs this program; a whole canary is only where it was put.

use crate::luck::Luck;

const PREFIX: &[u8] = b"CANARY-";
const DIGITS: usize = 32;

/// A new secret.
pub fn make(name: &str, luck: &mut Luck) -> String {
    format!("CANARY-{name}-{:016x}{:016x}", luck.next(), luck.next())
}

/// The name in a canary, which says where it was put.
pub fn name(canary: &str) -> &str {
    canary.split('-').nth(1).unwrap_or_default()
}

/// Every whole canary in these bytes.
pub fn find(bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = position(&bytes[from..], PREFIX) {
        let start = from + at;
        from = start + PREFIX.len();
        let rest = &bytes[from..];
        let letters = rest.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        let digits = rest.get(letters + 1..letters + 1 + DIGITS).unwrap_or_default();
        let whole = letters > 0
            && rest.get(letters) == Some(&b'-')
            && digits.len() == DIGITS
            && digits.iter().all(u8::is_ascii_hexdigit);
        if whole {
            let end = from + letters + 1 + DIGITS;
            found.push(String::from_utf8_lossy(&bytes[start..end]).into_owned());
        }
    }
    found
}

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let mut from = 0;
    // Few bytes are the first one, so this is much faster than comparing windows.
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == what[0]) {
        let start = from + at;
        if bytes[start..].starts_with(what) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_canaries_are_found_and_pieces_are_not() {
        let canary = make("aws", &mut Luck::new(1));
        assert_eq!(name(&canary), "aws");
        let text = format!("CANARY- x CANARY-a-12 \0{canary}\0{canary}");
        assert_eq!(find(text.as_bytes()), [canary.clone(), canary.clone()]);
        assert_eq!(find(&canary.as_bytes()[..canary.len() - 1]), [""; 0]);
    }
}
