//! Whatever the file holds, it is read or refused: no panic, and every error points into a file.

use crate::support::{layers_of, no_env};
use php_init::config::{expand, resolve};
use proptest::prelude::*;

const REFERENCE: &str = include_str!("../../config/reference.toml");

/// Pieces that matter to the reader.
const PIECES: &[&str] = &[
    "\"",
    "'",
    "${",
    "}",
    "${A:-",
    "$$",
    "[",
    "]",
    "[[file]]\n",
    "{",
    ",",
    "=",
    "\n",
    "é",
    "\\u0000",
    "-1",
    "true",
    "1e9",
    "\"none\"",
    "\"...\"",
    "[service.a]\n",
    "\0",
    "99999999999999999999",
    "1979-05-27",
    "#",
];

fn position(text: &str, share: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a short text"
    )]
    let mut at = (text.len() as f64 * share) as usize;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

proptest! {
    #[test]
    fn a_damaged_file_is_told_or_read(
        cuts in prop::collection::vec((0.0..1.0f64, 0usize..40, 0usize..PIECES.len()), 1..4),
    ) {
        let mut text = REFERENCE.to_owned();
        for (share, length, piece) in cuts {
            let start = position(&text, share);
            let mut end = (start + length).min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.replace_range(start..end.max(start), PIECES[piece]);
        }
        let errors = match layers_of(&text, &no_env) {
            Err(errors) => errors,
            Ok(layers) => resolve(&layers, &no_env, None).err().unwrap_or_default(),
        };
        for error in errors {
            let place = error.place.clone().unwrap();
            prop_assert!(place.line >= 1 && place.column >= 1 && place.width >= 1, "{error}");
            prop_assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
        }
    }

    #[test]
    fn references_in_any_text_are_expanded_or_refused(parts in prop::collection::vec(0usize..PIECES.len(), 0..12)) {
        let text: String = parts.iter().map(|part| PIECES[*part]).collect();
        match expand::expand(&text, &|_| Some("v".into())) {
            Ok(expanded) => prop_assert!(expanded.changed || expanded.text == text),
            Err(error) => prop_assert!(error.start < error.end && text.get(error.start..error.end).is_some()),
        }
    }
}
