//! Strict base64: against the `base64` crate, against a naive decoder, and by hand.

use ::base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use voicecore::Error;
use voicecore::base64::{decode_into, decoded_len, decoded_len_max};

fn decode(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = vec![0; decoded_len_max(text.len())];
    let written = decode_into(text, &mut out)?;
    out.truncate(written);
    Ok(out)
}

fn fault_offset(text: &[u8]) -> usize {
    match decode(text) {
        Err(Error::Base64 { offset, .. }) => offset,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(text)),
    }
}

/// The definition, word for word: the first byte that no valid text has after the bytes before it.
fn naive_fault_offset(text: &[u8]) -> usize {
    let extensible = |prefix: &[u8]| {
        (0..=3).any(|count| {
            [b'A', b'='].iter().any(|&filler| {
                let mut whole = prefix.to_vec();
                whole.extend(std::iter::repeat_n(filler, count));
                STANDARD.decode(&whole).is_ok()
            })
        })
    };
    let end = (0..text.len()).find(|&end| !extensible(&text[..=end])).unwrap_or(text.len());
    // Non-zero unused bits: the fault is in the symbol, though only the padding after it reveals it.
    let zeroed = {
        let mut zeroed = text.get(..=end).unwrap_or_default().to_vec();
        if end > 0 && zeroed.last() == Some(&b'=') {
            zeroed[end - 1] = b'A';
        }
        zeroed
    };
    let unused_bits =
        end > 0 && end < text.len() && text[end] == b'=' && end % 4 >= 2 && extensible(&zeroed);
    end - usize::from(unused_bits)
}

#[test]
fn rfc_4648_vectors() {
    for (text, bytes) in [
        ("", ""),
        ("Zg==", "f"),
        ("Zm8=", "fo"),
        ("Zm9v", "foo"),
        ("Zm9vYg==", "foob"),
        ("Zm9vYmE=", "fooba"),
        ("Zm9vYmFy", "foobar"),
    ] {
        assert_eq!(decode(text.as_bytes()).unwrap(), bytes.as_bytes());
        assert_eq!(decoded_len(text.as_bytes()), Ok(bytes.len()));
    }
}

#[test]
fn the_offset_is_that_of_the_first_fault() {
    for (text, offset) in [
        ("Z", 1),
        ("Zg", 2),
        ("Zg=", 3),
        ("Zm9vY", 5),
        ("=", 0),
        ("====", 0),
        ("Z===", 1),
        ("Zg=v", 3),
        ("Zg==Zg==", 4),
        ("Zm8=Zm8=", 4),
        ("Zg==\n", 4),
        ("Zm9v=", 4),
        ("Zm9v==", 4),
        ("Zm9v====", 4),
        ("Zm9v\n", 4),
        (" Zm9v", 0),
        ("Zm 9v", 2),
        ("Zm-v", 2),
        ("Zm_v", 2),
        ("Zh==", 1),
        ("Zm9=", 2),
        ("Zm9vZh==", 5),
        ("data:audio/wav;base64,Zg==", 4),
        ("Zm9vZm9v*m9vZm9v", 8),
        ("Zm9v\u{e9}m9vZm9", 4),
    ] {
        assert_eq!(fault_offset(text.as_bytes()), offset, "{text:?}");
        assert_eq!(naive_fault_offset(text.as_bytes()), offset, "{text:?}");
    }
}

#[test]
fn every_byte_in_every_place() {
    for (place, byte) in (0..8).flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte))) {
        for mut text in [*b"Zm9vYmFy", *b"Zm9vYmE=", *b"Zm9vYg=="] {
            text[place] = byte;
            assert_eq!(decode(&text).ok(), STANDARD.decode(text).ok(), "{text:?}");
            if decode(&text).is_err() {
                assert_eq!(fault_offset(&text), naive_fault_offset(&text), "{text:?}");
            }
        }
    }
}

#[test]
fn a_small_output_is_refused_before_anything_is_written() {
    let mut out = [7; 4];
    let error = decode_into(b"Zm9vYmE=", &mut out).unwrap_err();
    assert_eq!(error, Error::OutputTooSmall { needed: 5, got: 4 });
    assert_eq!(out, [7; 4]);
}

#[test]
fn a_large_output_keeps_its_rest() {
    let mut out = [7; 4];
    assert_eq!(decode_into(b"Zm8=", &mut out), Ok(2));
    assert_eq!(out, [b'f', b'o', 7, 7]);
}

#[test]
fn decoded_len_max_never_overflows() {
    assert_eq!(decoded_len_max(0), 0);
    assert_eq!(decoded_len_max(5), 6);
    assert!(decoded_len_max(usize::MAX) < usize::MAX);
}

/// Mostly symbols, some padding, some rubbish: texts that are nearly right.
fn nearly_base64() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        20 => proptest::sample::select(&b"ABQgwZ09+/"[..]),
        2 => Just(b'='),
        1 => any::<u8>(),
    ];
    proptest::collection::vec(byte, 0..24)
}

proptest! {
    #[test]
    fn round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = STANDARD.encode(&bytes);
        prop_assert_eq!(decoded_len(text.as_bytes()), Ok(bytes.len()));
        prop_assert_eq!(decode(text.as_bytes()).unwrap(), bytes);
    }

    #[test]
    fn accepts_what_the_crate_accepts(text in nearly_base64()) {
        let expected = STANDARD.decode(&text);
        prop_assert_eq!(decode(&text).ok(), expected.clone().ok());
        if expected.is_err() {
            prop_assert_eq!(fault_offset(&text), naive_fault_offset(&text));
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_is_found_at_its_place(
        bytes in proptest::collection::vec(any::<u8>(), 3..600),
        place in any::<proptest::sample::Index>(),
        wrong in proptest::sample::select(&b" \n\r\t-_.,*\x00\x7f\x80\xff"[..]),
    ) {
        let mut text = STANDARD.encode(&bytes[..bytes.len() / 3 * 3]).into_bytes();
        let place = place.index(text.len());
        text[place] = wrong;
        prop_assert_eq!(fault_offset(&text), place);
    }
}
