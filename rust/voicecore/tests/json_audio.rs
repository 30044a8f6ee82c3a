//! The JSON audio scanner: by hand, and against `serde_json`.

use proptest::prelude::*;
use serde_json::Value as Json;
use std::borrow::Borrow;
use voicecore::Error;
use voicecore::json_audio::{MAX_DEPTH, Scan, Scanner, Value};

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

fn scanner(audio: &str, fields: &[&str]) -> Scanner {
    Scanner::new(path(audio), fields.iter().map(|field| path(field)).collect()).unwrap()
}

fn audio<'s>(scan: &'s Scan<'_>) -> Option<&'s str> {
    scan.audio_text().map(|text| std::str::from_utf8(text).unwrap())
}

fn decoded(scan: &Scan<'_>) -> Vec<u8> {
    let mut out = vec![0; scan.audio_len().unwrap().unwrap()];
    assert_eq!(scan.decode_audio_into(&mut out), Ok(out.len()));
    out
}

fn json_offset(message: impl AsRef<[u8]>) -> usize {
    match scanner("a", &[]).scan(message.as_ref()) {
        Err(Error::Json { offset, .. }) => offset,
        other => panic!("{other:?}"),
    }
}

#[test]
fn finds_audio_and_fields_in_any_order() {
    let scanner = scanner("chunk.audio", &["chunk.id", "seq", "last", "gain", "none"]);
    for message in [
        r#"{"chunk":{"audio":"Zm9v","id":"c1"},"seq":7,"last":false,"gain":0.5,"none":null}"#,
        r#"{"gain":5e-1,"last":false,"chunk":{"x":[{"audio":"no"}],"id":"c1","audio":"Zm9v"},"seq":7}"#,
        " {\t\"seq\" :\n7 , \"last\":false,\"gain\":0.50,\r\"chunk\":{\"id\":\"c1\",\"audio\":\"Zm9v\"} } ",
    ] {
        let scan = scanner.scan(message.as_bytes()).unwrap();
        assert_eq!(decoded(&scan), b"foo");
        let id = Value::Str("c1".into());
        let rest = [Value::Int(7), Value::Bool(false), Value::Float(0.5), Value::Null];
        assert_eq!(scan.values()[0], id);
        assert_eq!(scan.values()[1..], rest);
    }
}

#[test]
fn plain_audio_is_borrowed_and_escaped_audio_is_unescaped() {
    let scanner = scanner("a", &[]);
    let message = br#"{"a":"Zm9v"}"#;
    let scan = scanner.scan(message).unwrap();
    assert!(message.as_ptr_range().contains(&scan.audio_text().unwrap().as_ptr()));
    for message in [r#"{"a":"\/\u002b\/\u002B"}"#, r#"{"\u0061":"\/+\/+"}"#] {
        let scan = scanner.scan(message.as_bytes()).unwrap();
        assert_eq!(audio(&scan), Some("/+/+"));
        assert_eq!(decoded(&scan), [0xff, 0xef, 0xfe]);
    }
}

#[test]
fn audio_that_is_no_string_is_absent() {
    let scanner = scanner("a.b", &[]);
    for message in [
        "{}",
        "[]",
        "1",
        r#""a""#,
        "null",
        r#"{"a":null}"#,
        r#"{"a":"Zm9v"}"#,
        r#"{"a":{"b":null}}"#,
        r#"{"a":{"b":1}}"#,
        r#"{"a":{"b":{"b":"Zm9v"}}}"#,
        r#"{"a":{"b":["Zm9v"]}}"#,
        r#"{"a":[{"b":"Zm9v"}]}"#,
        r#"{"b":"Zm9v"}"#,
        r#"{"x":{"a":{"b":"Zm9v"}}}"#,
    ] {
        let scan = scanner.scan(message.as_bytes()).unwrap();
        assert_eq!(scan.audio_len(), Ok(None), "{message}");
        assert_eq!(scan.decode_audio_into(&mut []), Ok(0), "{message}");
    }
}

#[test]
fn the_last_duplicate_wins_with_everything_below_it() {
    let scanner = scanner("a.b", &["a.n", "a"]);
    for (message, text, n) in [
        (r#"{"a":{"b":"x","b":"y"}}"#, Some("y"), Value::Null),
        (r#"{"a":{"b":"x","n":1},"a":{"n":2}}"#, None, Value::Int(2)),
        (r#"{"a":{"b":"x","n":1},"a":{}}"#, None, Value::Null),
        (r#"{"a":{"b":"x","n":1},"a":null}"#, None, Value::Null),
        (r#"{"a":{"b":"x"},"a":[]}"#, None, Value::Null),
        (r#"{"a":{"b":"x","b":1}}"#, None, Value::Null),
        (r#"{"a":1,"a":{"b":"x"}}"#, Some("x"), Value::Null),
        (r#"{"a":{"b":"x"},"\u0061":{"n":true}}"#, None, Value::Bool(true)),
    ] {
        let scan = scanner.scan(message.as_bytes()).unwrap();
        assert_eq!(audio(&scan), text, "{message}");
        assert_eq!(scan.values(), [n, Value::Null], "{message}");
    }
}

#[test]
fn numbers() {
    for (text, value) in [
        ("0", Value::Int(0)),
        ("-0", Value::Int(0)),
        ("9223372036854775807", Value::Int(i64::MAX)),
        ("-9223372036854775808", Value::Int(i64::MIN)),
        ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
        ("-9223372036854775809", Value::Float(-9_223_372_036_854_775_808.0)),
        ("1e2", Value::Float(100.0)),
        ("1E+2", Value::Float(100.0)),
        ("1.0", Value::Float(1.0)),
        ("1e-999", Value::Float(0.0)),
        ("0.1", Value::Float(0.1)),
    ] {
        let message = format!(r#"{{"n":{text}}}"#);
        assert_eq!(
            scanner("a", &["n"]).scan(message.as_bytes()).unwrap().values(),
            [value],
            "{text}"
        );
    }
}

#[test]
fn refuses_what_is_not_one_strict_json_value() {
    let digits = "1".repeat(400);
    for text in [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1,]",
        "{\"a\":1,}",
        "{,}",
        "[,]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "nul",
        "nulls",
        "tru",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "1 2",
        "{} {}",
        "[1 2]",
        "{\"a\" 1}",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12G4\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800x\"",
        "\"a\nb\"",
        "\"a\u{0}b\"",
        "\"a\u{1f}b\"",
        "\u{feff}{}",
        "1e999",
        "-1e999",
        "[1e309]",
        &digits,
        "/**/1",
        "{\"a\":1}//",
        "\u{a0}1",
        "\u{b}1",
    ] {
        for message in [text.to_owned(), format!(r#"{{"a":"Zm9v","b":{text}}}"#)] {
            let result = scanner("a", &[]).scan(message.as_bytes());
            assert!(matches!(result, Err(Error::Json { .. })), "{message:?}: {result:?}");
        }
    }
}

#[test]
fn refuses_invalid_utf8_in_values_and_keys_wanted_or_not() {
    for wrong in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3", b"\x80"]
    {
        for (before, after) in [
            ("{\"a\":\"", "\"}"),
            ("{\"x\":\"", "\"}"),
            ("{\"", "\":1}"),
            ("[\"\\n", "\"]"),
            ("", ""),
        ] {
            let message = [before.as_bytes(), wrong, after.as_bytes()].concat();
            assert!(scanner("a", &[]).scan(&message).is_err(), "{message:?}");
        }
    }
}

#[test]
fn offsets() {
    assert_eq!(json_offset(r#"{"a":"Zm9v"} x"#), 13);
    assert_eq!(json_offset(r#"{"a":1e999}"#), 5);
    assert_eq!(json_offset(r#"{"a":?}"#), 5);
    assert_eq!(json_offset("[\"a\nb\"]"), 3);
    assert_eq!(json_offset("\u{feff}1"), 0);
    let scanner = scanner("a", &[]);
    let scan = scanner.scan(br#"{"a":"Zm9v\/m9*"}"#).unwrap();
    let error = scan.decode_audio_into(&mut [0; 9]).unwrap_err();
    assert!(matches!(error, Error::Base64 { offset: 7, .. }), "{error:?}");
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let message = |depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
        assert!(scanner("a", &[]).scan(message(MAX_DEPTH).as_bytes()).is_ok());
        let error = scanner("a", &[]).scan(message(MAX_DEPTH + 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("1024"), "{error}");
        assert!(scanner("a", &[]).scan(open.repeat(1_000_000).as_bytes()).is_err());
    }
}

#[test]
fn empty_paths_are_refused() {
    assert!(matches!(Scanner::new(vec![], vec![]), Err(Error::Parameter { .. })));
    assert!(matches!(Scanner::new(path("a"), vec![vec![]]), Err(Error::Parameter { .. })));
}

#[test]
fn overlapping_paths_all_get_their_value() {
    let scanner = scanner("a", &["a", "a", "b.c", "b"]);
    let scan = scanner.scan(br#"{"a":"Zm9v","b":{"c":1}}"#).unwrap();
    let text = Value::Str("Zm9v".into());
    assert_eq!(scan.values(), [text.clone(), text, Value::Int(1), Value::Null]);
    assert_eq!(decoded(&scan), b"foo");
}

// The light scan.

/// `size` symbols of base64, which is a multiple of 4.
fn base64(size: usize) -> String {
    (0..size).map(|index| char::from(b"Zm9vYmFyAB+/"[index * index % 12])).collect()
}

#[test]
fn usual_messages_need_no_exact_scan() {
    let scanner = scanner("chunk.audio", &["chunk.id", "seq", "last"]);
    let token = base64(48);
    for size in [0, 4, 64, 1_280, 4_092, 4_096, 4_100, 90_000] {
        let audio = base64(size);
        for message in [
            format!(r#"{{"chunk":{{"id":"ctx-1","audio":"{audio}","final":false}},"seq":3}}"#),
            format!(r#"{{"chunk": {{"audio": "{audio}"}}, "last": true, "text": "hello"}}"#),
            format!("{{\n \"seq\" : null,\t\"chunk\" : {{ \"audio\" : \"{audio}\" }}\r}} "),
            format!(r#"{{"x":[1.5e3,"é\n",{{}}],"y":"é","chunk":{{"audio":"{audio}"}},"z":[[]]}}"#),
            format!(r#"{{"chunk":{{"audio":"{audio}"}},"t":"{}"}}"#, "long ".repeat(400)),
        ] {
            assert!(light_agrees(&scanner, message.as_bytes()), "{size}: {message:.80}");
        }
        // A token behind the audio may be taken for its end: then the exact scan is needed, or not.
        let message = format!(r#"{{"chunk":{{"audio":"{audio}"}},"token":"{token}"}}"#);
        light_agrees(&scanner, message.as_bytes());
        assert_eq!(scanner.scan(message.as_bytes()).unwrap().audio_text(), Some(audio.as_bytes()));
    }
}

#[test]
fn the_light_scan_leaves_what_is_unusual_to_the_exact_one() {
    let deep = "a.".repeat(20) + "a";
    let nested = r#"{"a":"#.repeat(21) + r#""Zm9v""# + &"}".repeat(21);
    for (path, message, light) in [
        ("a", r#"{"a":"Zm9v"}"#, true),
        ("a", r#"{"a":"Zm\/v"}"#, false),
        ("a", r#"{"a":"Zm9"}"#, false),
        ("a", r#"{"a":"Zm9é"}"#, false),
        ("a", "{\"a\":\"Zm\nv\"}", false),
        ("a", r#"{"a":"Zm9v","a":"Zm9v"}"#, false),
        ("a", r#"{"\u0061":"Zm9v"}"#, false),
        ("a", r#"{"é":1,"a":"Zm9v"}"#, false),
        ("é", r#"{"é":"Zm9v"}"#, false),
        ("q\"", r#"{"q\"":"Zm9v"}"#, false),
        ("a", r#"["a"]"#, false),
        ("a", r#"{"a":"Zm9v"}}"#, false),
        ("a", r#"{"a":"Zm9v",}"#, false),
        ("a", r#"{"a":"Zm9v""b":1}"#, false),
        ("a", r#"{"a":"Zm9v"#, false),
        (&deep, &nested, false),
    ] {
        assert_eq!(light_agrees(&scanner(path, &[]), message.as_bytes()), light, "{message}");
    }
}

#[test]
fn depth_is_bounded_in_the_light_scan_too() {
    let scanner = scanner("a.b", &[]);
    for (depth, light) in [(MAX_DEPTH - 2, true), (MAX_DEPTH - 1, false)] {
        let array = "[".repeat(depth) + &"]".repeat(depth);
        let message = format!(r#"{{"a":{{"x":{array}}}}}"#);
        assert_eq!(light_agrees(&scanner, message.as_bytes()), light);
        assert_eq!(scanner.scan(message.as_bytes()).is_ok(), light);
    }
}

#[test]
fn any_byte_at_any_place_of_a_string_is_judged_right() {
    let scanner = scanner("audio", &["id"]);
    for place in 0..20 {
        for byte in 0..=u8::MAX {
            let mut message = br#"{"id":"0123456789abcdefghij","audio":"Zm9v"}"#.to_vec();
            message[7 + place] = byte;
            let valid = scanner.scan(&message).is_ok();
            assert!(light_agrees(&scanner, &message) == valid, "{byte} at {place}");
        }
    }
}

// Against serde_json.

/// JSON as text with duplicate keys, escapes and white space, which no JSON library would write.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

const SPACES: [&str; 4] = ["", "", " ", "\n\t\r "];

impl Tree {
    fn write(&self, spaces: &mut impl Iterator<Item = &'static str>, out: &mut String) {
        let mut space = |out: &mut String| out.push_str(spaces.next().unwrap_or(""));
        space(out);
        match self {
            Self::Leaf(text) => out.push_str(text),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    item.write(spaces, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, item)) in members.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    out.push_str(spaces.next().unwrap_or(""));
                    out.push_str(key);
                    out.push_str(spaces.next().unwrap_or(""));
                    out.push(':');
                    item.write(spaces, out);
                }
                out.push('}');
            }
        }
        out.push_str(spaces.next().unwrap_or(""));
    }
}

/// Few keys, so that paths meet and repeat; some spelled with escapes.
fn key() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        r#""a""#,
        r#""b""#,
        r#""c""#,
        r#""\u0061""#,
        r#""\u0062""#,
        r#""""#,
        r#""é""#,
        r#""\n""#,
    ])
    .prop_map(str::to_owned)
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        80 => proptest::sample::select(vec![
            "null", "true", "false", "0", "-1", "12", "1.5", "-2e3", "1E-7", "18446744073709551616",
            "9223372036854775807", "0.30000000000000004", r#""""#, r#""Zm9v""#, r#""\/\/\/\/""#,
            r#""\u00e9\ud83d\ude00\"\\""#, r#""é😀""#,
        ]).prop_map(str::to_owned),
        20 => r#""[A-Za-z0-9+/]{0,40}""#,
        20 => "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
        // Rare, or nearly every large message would have one and be refused.
        1 => proptest::sample::select(vec!["1e400", r#""\ud800""#]).prop_map(str::to_owned),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_map(Tree::Leaf).prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::Array),
            4 => proptest::collection::vec((key(), inner), 0..6).prop_map(Tree::Object),
        ]
    })
}

fn message() -> impl Strategy<Value = String> {
    let spaces = proptest::collection::vec(proptest::sample::select(SPACES.to_vec()), 0..64);
    (tree(), spaces).prop_map(|(tree, spaces)| {
        let mut out = String::new();
        tree.write(&mut spaces.into_iter(), &mut out);
        out
    })
}

fn at<'j>(mut json: &'j Json, keys: &[impl Borrow<str>]) -> Option<&'j Json> {
    for key in keys {
        json = json.as_object()?.get(key.borrow())?;
    }
    Some(json)
}

fn expected(json: Option<&Json>) -> Value<'_> {
    match json {
        Some(Json::Bool(value)) => Value::Bool(*value),
        Some(Json::String(text)) => Value::Str(text.into()),
        Some(Json::Number(number)) => match number.as_i64() {
            Some(value) => Value::Int(value),
            // serde_json reads "-0" as a float; the scanner keeps what is written as an integer.
            None if number.to_string() == "-0.0" => Value::Int(0),
            None => Value::Float(number.as_f64().unwrap()),
        },
        _ => Value::Null,
    }
}

fn same(left: &Value, right: &Value) -> bool {
    // "-0.0" and "-0" look the same in serde_json's number.
    let zero = |value: &Value| matches!(value, Value::Int(0)) || *value == Value::Float(0.0);
    left == right || (zero(left) && zero(right))
}

/// The light scan never says anything that the exact one does not; returns whether it said anything.
fn light_agrees(scanner: &Scanner, message: &[u8]) -> bool {
    let Some(light) = scanner.scan_lightly(message) else { return false };
    let Ok(len) = light.audio_len() else { return false };
    let mut audio = vec![0; len.unwrap_or(0)];
    if light.decode_audio_into(&mut audio).is_err() {
        return false;
    }
    let exact = scanner.scan(message);
    let text = || String::from_utf8_lossy(message).into_owned();
    assert!(exact.as_ref() == Ok(&light), "{}: {exact:?} but {light:?}", text());
    assert!(len.is_none() || decoded(&exact.unwrap()) == audio, "{}", text());
    true
}

fn agrees(message: &[u8]) -> Result<(), TestCaseError> {
    agrees_for(message, "a.b", &["a", "b", "a.b.c", "b.a", "c.a.a"])?;
    agrees_for(message, "a.b", &["a", "b", "a.b", "a.b.c", "b.a", "c.a.a"])
}

fn agrees_for(message: &[u8], audio_path: &str, fields: &[&str]) -> Result<(), TestCaseError> {
    let oracle = serde_json::from_slice::<Json>(message);
    let scanner = scanner(audio_path, fields);
    light_agrees(&scanner, message);
    let scan = match (scanner.scan(message), oracle) {
        (Ok(scan), Ok(json)) => Some((scan, json)),
        (Err(_), Err(_)) => None,
        (ours, theirs) => {
            let text = String::from_utf8_lossy(message).into_owned();
            return Err(TestCaseError::fail(format!("{text}: {ours:?} but {theirs:?}")));
        }
    };
    let Some((scan, json)) = scan else { return Ok(()) };
    let text = at(&json, &["a", "b"]).and_then(Json::as_str);
    prop_assert_eq!(audio(&scan), text);
    for (value, field) in scan.values().iter().zip(fields) {
        let expected = expected(at(&json, &path(field)));
        prop_assert!(same(value, &expected), "{}: {:?} but {:?}", field, value, expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_serde_json(message in message()) {
        agrees(message.as_bytes())?;
    }

    #[test]
    fn agrees_with_serde_json_on_damaged_messages(
        message in message(),
        damage in proptest::collection::vec(
            (any::<proptest::sample::Index>(), prop_oneof![
                any::<u8>(), proptest::sample::select(&b"{}[]\",:\\u0123eE+-. \n\t\x00\xff\xc3"[..])
            ], 0..3_usize),
            1..4,
        ),
    ) {
        let mut message = message.into_bytes();
        for (place, byte, kind) in damage {
            if message.is_empty() { break; }
            let place = place.index(message.len());
            match kind {
                0 => message[place] = byte,
                1 => message.insert(place, byte),
                _ => message.truncate(place),
            }
        }
        agrees(&message)?;
    }

    #[test]
    fn agrees_with_serde_json_around_long_audio(
        before in message(),
        after in message(),
        size in 0..3_000_usize,
        token in "[A-Za-z0-9+/]{0,60}",
        damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let audio = base64(size * 4);
        let mut message = format!(
            r#"{{"x":{before},"a":{{"b":"{audio}","c":"{token}"}},"y":{after},"c":"{token}"}}"#
        ).into_bytes();
        if let Some((place, byte)) = damage {
            let place = place.index(message.len());
            message[place] = byte;
        }
        agrees(&message)?;
    }

    #[test]
    fn agrees_with_serde_json_on_soup(
        message in proptest::collection::vec(
            proptest::sample::select(&b"{}[]\"\",::ab\\u0019eE+-. ntrf\xc3\xa9"[..]), 0..40),
    ) {
        agrees(&message)?;
    }
}
