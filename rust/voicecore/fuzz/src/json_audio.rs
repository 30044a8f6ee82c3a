//! The JSON scanner: accepts what `serde_json` accepts, and finds the same audio and fields, at all
//! levels. What the light scan accepts, the exact one does, with the same audio and fields.
//!
//! Two exceptions: `serde_json` stops at 128 levels of nesting, and `jiter` at numbers of more than
//! 4300 digits.

use super::at_any_level;
use ::base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value as Json;
use voicecore::Error;
use voicecore::json_audio::{MAX_DEPTH, Scan, Scanner, Value};

const AUDIO: &str = "a.b";
/// The light scan refuses audio that is wanted as a field too, so once with that, once without.
const FIELDS: [[&str; 6]; 2] =
    [["a", "b", "a.c", "a.b.c", "b.a", "c.a.a"], ["a", "b", "a.b", "a.b.c", "b.a", "c.a.a"]];
const DIGITS_MAX: usize = 4300;

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

/// All bytes are the message.
pub fn check(message: &[u8]) {
    for fields in FIELDS {
        check_fields(message, fields);
    }
}

fn check_fields(message: &[u8], fields: [&str; 6]) {
    let scanner = Scanner::new(path(AUDIO), fields.map(path).to_vec()).unwrap();
    let found = at_any_level(|| {
        let exact = scanner.scan(message);
        if let Some(light) = scanner.scan_lightly(message)
            && let Ok(audio) = decode(&light)
        {
            let exact = exact.as_ref().expect("the light scan accepts what the exact one refuses");
            assert_eq!((light.audio_text(), Ok(audio)), (exact.audio_text(), decode(exact)));
            assert!(light.values().iter().map(bits).eq(exact.values().iter().map(bits)));
        }
        exact.map(|scan| {
            let values = scan.values().iter().map(bits).collect::<Vec<_>>();
            (scan.audio_text().map(<[u8]>::to_vec), decode(&scan), values)
        })
    });
    let oracle = serde_json::from_slice::<Json>(message);
    let (text, decoded, values, json) = match (found, oracle) {
        (Ok((text, decoded, values)), Ok(json)) => (text, decoded, values, json),
        (Err(Error::Json { offset, .. }), Err(_)) => {
            assert!(offset <= message.len());
            return;
        }
        (Ok(_), Err(error)) if error.to_string().starts_with("recursion limit") => {
            assert!(depth(message) <= MAX_DEPTH);
            return;
        }
        (Err(_), Ok(_)) if longest_number(message) > DIGITS_MAX => return,
        (ours, theirs) => {
            panic!("{}: {ours:?} but {theirs:?}", message.escape_ascii())
        }
    };
    let audio = at(&json, AUDIO).and_then(Json::as_str);
    assert_eq!(text.as_deref(), audio.map(str::as_bytes));
    assert_eq!(decoded.ok(), STANDARD.decode(audio.unwrap_or_default()).ok());
    for (value, field) in values.iter().zip(fields) {
        let wanted = expected(at(&json, field));
        assert_eq!(*value, bits(&wanted), "{field} of {}", message.escape_ascii());
    }
}

/// The audio's bytes, if there is any.
fn decode(scan: &Scan<'_>) -> Result<Vec<u8>, Error> {
    let mut out = vec![0; scan.audio_len()?.unwrap_or(0)];
    let written = scan.decode_audio_into(&mut out)?;
    assert_eq!(written, out.len());
    Ok(out)
}

/// A value with its bits, zeros aside: "-0" is an integer here, and a float for `serde_json`.
fn bits<'m>(value: &Value<'m>) -> (Value<'m>, u64) {
    match value {
        Value::Float(0.0) => (Value::Int(0), 0),
        Value::Float(float) => (Value::Null, float.to_bits()),
        other => (other.clone(), 0),
    }
}

fn at<'j>(mut json: &'j Json, keys: &str) -> Option<&'j Json> {
    for key in keys.split('.') {
        json = json.as_object()?.get(key)?;
    }
    Some(json)
}

fn expected(json: Option<&Json>) -> Value<'_> {
    match json {
        Some(Json::Bool(value)) => Value::Bool(*value),
        Some(Json::String(text)) => Value::Str(text.into()),
        Some(Json::Number(number)) => match number.as_i64() {
            Some(value) => Value::Int(value),
            None => Value::Float(number.as_f64().unwrap()),
        },
        _ => Value::Null,
    }
}

/// Nesting of a valid message.
fn depth(message: &[u8]) -> usize {
    let (mut now, mut most, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for &byte in message {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => now += 1,
            b']' | b'}' if !quoted => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    most
}

fn longest_number(message: &[u8]) -> usize {
    message.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).max().unwrap_or(0)
}
