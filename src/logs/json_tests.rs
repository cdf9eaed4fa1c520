use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    string(&mut out, bytes);
    out
}

#[test]
fn strings_are_escaped() {
    assert_eq!(quoted(b"a\"b\\c\n\r\t\x08\x0c\x1b\x7f"), b"\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u001b\x7f\"");
    assert_eq!(quoted("é🐘".as_bytes()), "\"é🐘\"".as_bytes());
    assert_eq!(quoted(b"a\xffb\xe2\x82"), "\"a\u{FFFD}b\u{FFFD}\"".as_bytes());
    assert_eq!(quoted(b""), b"\"\"");
}

#[test]
fn words_are_judged_as_their_bytes_are() {
    for byte in 0..=u8::MAX {
        for at in 0..8 {
            for rest in [b'x', 0x80, 0xFF, 0x20, 0x7F, 0x23, 0x5D] {
                let mut word = [rest; 8];
                word[at] = byte;
                assert_eq!(any_needs_escape(word), needs_escape(byte), "{word:?}");
            }
        }
    }
}

#[test]
fn objects_are_told_from_everything_else() {
    let yes = [
        "{}",
        " {\"a\": 1, \"b\": [true, null, -0.5e+3, \"\\u00e9\\ud83d\\udc18\"], \"c\": {\"d\": []}} \r",
        "{\"\":{}}",
        "{\"a\":[[],[{}],{}]}",
    ];
    for text in yes {
        assert_eq!(object(text.as_bytes()), Some(text.trim().as_bytes()), "{text}");
    }
    let no = [
        "",
        "{",
        "}",
        "[]",
        "1",
        "{}{}",
        "{} {}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":truex}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":[1 2]}",
        "{\"a\":[1,]}",
        "{\"a\":[}]}",
        "{\"a\":NaN}",
        "{\"a\":1}x}",
        "{\"a\":1]",
        "{[}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "text {\"a\":1}",
    ];
    for text in no {
        assert_eq!(object(text.as_bytes()), None, "{text}");
    }
    assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
}

#[test]
fn nesting_has_a_limit() {
    let nested = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n)).into_bytes();
    assert!(object(&nested(64)).is_some());
    assert!(object(&nested(65)).is_none());
    assert!(object(&vec![b'{'; 100_000]).is_none());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_become_the_string_they_are(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let parsed: String = serde_json::from_slice(&quoted(&bytes)).unwrap();
        prop_assert_eq!(parsed, String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn what_serde_writes_is_embedded(inner in value(), pretty in any::<bool>()) {
        let outer = serde_json::json!({ "v": inner });
        let text = if pretty { serde_json::to_string_pretty(&outer) } else { serde_json::to_string(&outer) }.unwrap();
        prop_assert_eq!(object(text.as_bytes()), Some(text.as_bytes()));
    }

    /// One byte changed: both validators must agree, but for what is stricter here on purpose.
    #[test]
    fn damage_is_judged_as_serde_does(inner in value(), at in any::<prop::sample::Index>(), byte in prop::sample::select(b"{}[]\":,0e.-+\\ tu\n".to_vec())) {
        let mut text = serde_json::to_vec(&serde_json::json!({ "v": inner })).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        let theirs = serde_json::from_slice::<Value>(&text);
        // A number too large for f64 is valid JSON that serde_json cannot hold.
        let out_of_range = theirs.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range"));
        let theirs = theirs.is_ok_and(|value| value.is_object()) || (out_of_range && object(&text).is_some());
        prop_assert_eq!(object(&text).is_some(), theirs, "{}", String::from_utf8_lossy(&text));
    }
}
