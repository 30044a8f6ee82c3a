//! Strict base64: all levels agree, down to the fault's offset; the `base64` crate agrees on what is
//! valid; the room of the output is respected.

use super::{Control, at_any_level};
use ::base64::{Engine, engine::general_purpose::STANDARD};
use voicecore::Error;
use voicecore::base64::{decode_into, decoded_len, decoded_len_max};

const FILL: u8 = 0xa5;

/// Bytes: misalignment, room beyond the need (or less than it), text.
pub fn check(data: &[u8]) {
    let mut control = Control(data);
    let (shift, room) = (usize::from(control.byte() % 64), control.byte());
    let rest = control.rest();
    let (text, oracle) = (rest, STANDARD.decode(rest));
    let shifted = [&vec![0; shift], text].concat();
    let decoded = at_any_level(|| {
        let mut out = vec![FILL; decoded_len_max(text.len()) + shift];
        decode_into(&shifted[shift..], &mut out).map(|len| {
            assert!(out[len..].iter().all(|&byte| byte == FILL), "wrote behind the result");
            out.truncate(len);
            out
        })
    });
    assert_eq!(decoded.as_ref().ok(), oracle.as_ref().ok());
    match &decoded {
        Ok(bytes) => {
            assert_eq!(decoded_len(text), Ok(bytes.len()));
            // What is valid is what an encoder writes.
            assert_eq!(STANDARD.encode(bytes).as_bytes(), text);
        }
        Err(Error::Base64 { offset, .. }) => {
            assert_eq!(*offset, fault_offset(text), "{:?}", text.escape_ascii().to_string());
        }
        Err(other) => panic!("{other:?}"),
    }
    if let Ok(needed) = decoded_len(text) {
        let got = usize::from(room).min(needed);
        let mut out = vec![FILL; got];
        let result = at_any_level(|| decode_into(text, &mut out));
        if got < needed {
            assert_eq!(result, Err(Error::OutputTooSmall { needed, got }));
            assert!(out.iter().all(|&byte| byte == FILL), "wrote though the room is too small");
        }
    }
}

/// The first byte that no valid text has after the bytes before it, by the grammar.
fn fault_offset(text: &[u8]) -> usize {
    let symbol = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let valid_bits = |byte: u8, mask: usize| {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        ALPHABET.iter().position(|&known| known == byte).is_some_and(|value| value & mask == 0)
    };
    let mut padded = false;
    for (at, &byte) in text.iter().enumerate() {
        let before = |back: usize| text[at - back];
        match at % 4 {
            // Nothing may follow a padded group.
            _ if padded && at % 4 == 0 => return at,
            2 if byte == b'=' => {
                if !valid_bits(before(1), 0x0f) {
                    return at - 1;
                }
                padded = true;
            }
            3 if padded => {
                if byte != b'=' {
                    return at;
                }
            }
            3 if byte == b'=' => {
                if !valid_bits(before(1), 0x03) {
                    return at - 1;
                }
                padded = true;
            }
            _ if symbol(byte) => {}
            _ => return at,
        }
    }
    text.len()
}
