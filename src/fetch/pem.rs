//! Is a file PEM: one block or more, each whole. What a bucket's error page or a cut download is not.

use super::decrypt::from_base64;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// # Errors
/// What is wrong with it, and in which line; never a part of it.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let mut blocks = 0_usize;
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
            if from_base64(body.as_bytes()).is_none_or(|body| body.is_empty()) {
                return Err(format!("line {at}: the block's body is not base64"));
            }
            blocks = blocks.saturating_add(1);
        } else if let Some((_, _, body)) = &mut open {
            body.push_str(line);
            body.push('\n');
        }
    }
    match open {
        Some((at, ..)) => Err(format!("line {at}: the block has no end: the file is cut short")),
        None if blocks == 0 => Err("it holds no block that begins with -----BEGIN".to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    const GOOD: &str = "text before\n-----BEGIN CERTIFICATE-----\nAAAA\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn whole_blocks_are_accepted() {
        check(GOOD.as_bytes()).unwrap();
        check(GOOD.repeat(3).replace('\n', "\r\n").as_bytes()).unwrap();
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        check(old.as_bytes()).unwrap();
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
