//! Every instruction set against the scalar twin: every value, every length, every alignment.
//!
//! One process has one level, so the tests of this file take turns.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use voicecore::simd::{Level, available, force_level, level};
use voicecore::{Error, base64, downmix, g711};

static TURN: Mutex<()> = Mutex::new(());

fn take_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `check` at each level that this machine has.
fn at_each_level(mut check: impl FnMut(Level)) {
    let _turn = take_turn();
    for level in Level::ALL.into_iter().filter(|&level| level <= available()) {
        force_level(Some(level));
        check(level);
    }
    force_level(None);
}

/// Longer than two blocks of any kernel.
const LENGTHS: std::ops::Range<usize> = 0..300;
/// Every misalignment of a 64-byte vector, in bytes.
const ALIGNMENTS: std::ops::Range<usize> = 0..64;

/// Numbers without a pattern that a vector could share.
fn noise(len: usize) -> Vec<i16> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as i16
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn forcing_never_exceeds_the_machine() {
    let _turn = take_turn();
    for asked in Level::ALL {
        force_level(Some(asked));
        assert_eq!(level(), asked.min(available()));
    }
    force_level(None);
    assert!(level() <= available());
}

/// Not a test: what [`the_variable_lowers_the_level`] runs in a process of its own.
#[test]
#[ignore = "prints the level for another test"]
fn print_the_level() {
    println!("level={}", level().name());
}

#[test]
fn the_variable_lowers_the_level() {
    for (variable, expected) in [
        ("scalar", Level::Scalar),
        ("avx2", Level::Avx2.min(available())),
        ("AVX512", available()),
        ("neon", available()),
        ("", available()),
    ] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "print_the_level", "--ignored", "--nocapture"])
            .env("VOICECORE_SIMD", variable)
            .output()
            .unwrap();
        let printed = String::from_utf8(child.stdout).unwrap();
        assert!(printed.contains(&format!("level={}\n", expected.name())), "{variable}: {printed}");
    }
}

type Encode = fn(&[i16], &mut [u8]) -> voicecore::Result<usize>;
type Decode = fn(&[u8], &mut [i16]) -> voicecore::Result<usize>;
/// The scalar twin: one item to one item.
type Spec<A, B> = fn(A) -> B;
const ENCODERS: [(Encode, Spec<i16, u8>); 2] = [
    (g711::encode_mulaw_into, g711::scalar::encode_mulaw),
    (g711::encode_alaw_into, g711::scalar::encode_alaw),
];
const DECODERS: [(Decode, Spec<u8, i16>); 2] = [
    (g711::decode_mulaw_into, g711::scalar::decode_mulaw),
    (g711::decode_alaw_into, g711::scalar::decode_alaw),
];

/// `kernel` must equal `spec` over `input`, and leave alone what lies behind.
fn check_map<A: Copy, B: Copy + PartialEq + std::fmt::Debug>(
    kernel: fn(&[A], &mut [B]) -> voicecore::Result<usize>,
    spec: Spec<A, B>,
    input: &[A],
    out: &mut [B],
) {
    let before = out.to_vec();
    assert_eq!(kernel(input, out), Ok(input.len()));
    let expected = input.iter().map(|&item| spec(item));
    assert!(expected.eq(out[..input.len()].iter().copied()), "{} items", input.len());
    assert_eq!(out[input.len()..], before[input.len()..]);
}

#[test]
fn g711_every_value() {
    let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let codes: Vec<u8> = (0..=u8::MAX).collect();
    at_each_level(|_| {
        for (kernel, spec) in ENCODERS {
            check_map(kernel, spec, &samples, &mut vec![0; samples.len()]);
        }
        for (kernel, spec) in DECODERS {
            check_map(kernel, spec, &codes, &mut [0; 256]);
        }
    });
}

#[test]
fn g711_every_code_in_every_lane() {
    at_each_level(|_| {
        for code in 0..=u8::MAX {
            for (kernel, spec) in DECODERS {
                check_map(kernel, spec, &[code; 64], &mut [0; 64]);
            }
            let sample = i16::from_ne_bytes([code ^ 0x3C, code]);
            for (kernel, spec) in ENCODERS {
                check_map(kernel, spec, &[sample; 64], &mut [0; 64]);
            }
        }
    });
}

#[test]
fn g711_every_length_and_alignment() {
    let samples = noise(400);
    let codes: Vec<u8> = samples.iter().map(|&sample| sample as u8).collect();
    let mut code_out = [0xA5; 400];
    let mut sample_out = [-7; 400];
    at_each_level(|_| {
        for len in LENGTHS {
            for (start, back) in [(0, 0), (1, 63), (len % 64, len / 3 % 64)] {
                for (kernel, spec) in ENCODERS {
                    check_map(kernel, spec, &samples[start..start + len], &mut code_out[back..]);
                }
                for (kernel, spec) in DECODERS {
                    check_map(kernel, spec, &codes[start..start + len], &mut sample_out[back..]);
                }
            }
        }
        for start in ALIGNMENTS {
            for back in ALIGNMENTS {
                for (kernel, spec) in ENCODERS {
                    check_map(kernel, spec, &samples[start..start + 97], &mut code_out[back..]);
                }
                for (kernel, spec) in DECODERS {
                    check_map(kernel, spec, &codes[start..start + 97], &mut sample_out[back..]);
                }
            }
        }
    });
}

fn half_sum(left: i16, right: i16) -> i16 {
    ((i32::from(left) + i32::from(right)) >> 1) as i16
}

fn check_stereo(frames: &[i16], out: &mut [i16]) {
    let before = out.to_vec();
    let len = frames.len() / 2;
    assert_eq!(downmix::downmix_i16_into(frames, 2, out), Ok(len));
    let expected = frames.chunks(2).map(|frame| half_sum(frame[0], frame[1]));
    assert!(expected.eq(out[..len].iter().copied()), "{len} frames");
    assert_eq!(out[len..], before[len..]);
}

#[test]
fn stereo_every_right_sample_against_corners() {
    let mut out = vec![0; 1 << 16];
    at_each_level(|_| {
        for left in [i16::MIN, i16::MIN + 1, -2, -1, 0, 1, 2, i16::MAX - 1, i16::MAX] {
            let frames: Vec<i16> = (i16::MIN..=i16::MAX).flat_map(|right| [left, right]).collect();
            check_stereo(&frames, &mut out);
            let frames: Vec<i16> = (i16::MIN..=i16::MAX).flat_map(|right| [right, left]).collect();
            check_stereo(&frames, &mut out);
        }
    });
}

#[test]
fn stereo_every_length_and_alignment() {
    let samples = noise(700);
    let mut out = [-7; 400];
    at_each_level(|_| {
        for len in LENGTHS {
            check_stereo(&samples[len % 64..][..2 * len], &mut out[len / 3 % 64..]);
        }
        for start in ALIGNMENTS {
            for back in ALIGNMENTS {
                check_stereo(&samples[start..start + 2 * 75], &mut out[back..]);
            }
        }
    });
}

#[test]
fn float_stereo_and_upmix_every_length() {
    let ints = noise(700);
    // Any bits but NaN, whose payload no one promises.
    let wild = |pair: &[i16]| {
        let bits = u32::from(pair[0] as u16) << 16 | u32::from(pair[1] as u16);
        Some(f32::from_bits(bits)).filter(|float| !float.is_nan()).unwrap_or(f32::MIN_POSITIVE)
    };
    let floats: Vec<f32> = ints.windows(2).map(wild).collect();
    let bits = |floats: &[f32]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
    at_each_level(|_| {
        for len in LENGTHS {
            let mut mono = vec![0.0; len];
            let frames = &floats[len % 64..][..2 * len];
            assert_eq!(downmix::downmix_f32_into(frames, 2, &mut mono), Ok(len));
            let expected: Vec<f32> =
                frames.chunks(2).map(|frame| 0.5 * frame[0] + 0.5 * frame[1]).collect();
            // Infinity minus infinity is a NaN, of either sign.
            for (got, want) in mono.iter().zip(&expected) {
                assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan());
            }
            let mut wide = vec![0.0; 2 * len];
            assert_eq!(downmix::upmix_f32_into(&floats[..len], 2, &mut wide), Ok(len));
            let expected: Vec<f32> = floats[..len].iter().flat_map(|&x| [x; 2]).collect();
            assert_eq!(bits(&wide), bits(&expected));
            let mut wide = vec![0; 2 * len];
            assert_eq!(downmix::upmix_i16_into(&ints[..len], 2, &mut wide), Ok(len));
            assert_eq!(wide, ints[..len].iter().flat_map(|&x| [x; 2]).collect::<Vec<_>>());
        }
    });
}

fn decode64(text: &[u8]) -> voicecore::Result<Vec<u8>> {
    let mut out = vec![0; base64::decoded_len_max(text.len())];
    let written = base64::decode_into(text, &mut out)?;
    out.truncate(written);
    Ok(out)
}

/// What the scalar level says of `text`; the other levels must say the same, error and all.
fn scalar64(text: &[u8]) -> voicecore::Result<Vec<u8>> {
    let before = level();
    force_level(Some(Level::Scalar));
    let result = decode64(text);
    force_level(Some(before));
    result
}

#[test]
fn base64_every_length_and_alignment() {
    let bytes: Vec<u8> = noise(1500).iter().map(|&sample| sample as u8).collect();
    at_each_level(|_| {
        for len in 0..1200 {
            let text = STANDARD.encode(&bytes[..len]);
            let mut roomy = [vec![0; len % 64], text.into_bytes()].concat();
            let text = roomy.split_off(len % 64);
            let mut out = vec![0xA5; len + 64 + 64];
            let back = len / 3 % 64;
            assert_eq!(base64::decode_into(&text, &mut out[back..]), Ok(len));
            assert_eq!(out[back..back + len], bytes[..len]);
            assert!(out[..back].iter().chain(&out[back + len..]).all(|&byte| byte == 0xA5));
        }
        let text = STANDARD.encode(&bytes[..202]);
        for start in ALIGNMENTS {
            let shifted = [&vec![0; start], text.as_bytes()].concat();
            for back in ALIGNMENTS {
                let mut out = [0; 300];
                assert_eq!(base64::decode_into(&shifted[start..], &mut out[back..]), Ok(202));
                assert_eq!(out[back..back + 202], bytes[..202]);
            }
        }
    });
}

#[test]
fn base64_every_byte_in_every_place() {
    let bytes: Vec<u8> = noise(400).iter().map(|&sample| sample as u8).collect();
    at_each_level(|_| {
        for len in [141, 142, 143, 192] {
            let good = STANDARD.encode(&bytes[..len]).into_bytes();
            for (place, byte) in
                (0..good.len()).flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte)))
            {
                let mut text = good.clone();
                text[place] = byte;
                let result = decode64(&text);
                assert_eq!(result.as_ref().ok(), STANDARD.decode(&text).ok().as_ref());
                if !byte.is_ascii_alphanumeric() && !b"+/=".contains(&byte) {
                    assert!(
                        matches!(result, Err(Error::Base64 { offset, .. }) if offset == place),
                        "{byte} at {place} of {}: {result:?}",
                        text.len()
                    );
                }
                if result.is_err() {
                    assert_eq!(result, scalar64(&text));
                }
            }
        }
    });
}

#[test]
fn base64_the_first_of_two_faults() {
    let text = vec![b'A'; 1280];
    at_each_level(|_| {
        for first in 0..text.len() {
            for second in [first + 1, first + 4, first + 70, first + 600, text.len() - 1] {
                for (one, other) in [(b' ', 0xFF), (b'=', b'='), (b'=', b'*')] {
                    let mut text = text.clone();
                    text[first] = one;
                    if let Some(byte) = text.get_mut(second) {
                        *byte = other;
                    }
                    assert_eq!(decode64(&text), scalar64(&text));
                }
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn base64_nearly_right_texts(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in prop_oneof![3 => Just(0), 1 => 0usize..9],
    ) {
        let mut text = STANDARD.encode(&bytes).into_bytes();
        text.truncate(text.len().saturating_sub(cut));
        for (place, byte) in wrong {
            if !text.is_empty() {
                let place = place.index(text.len());
                text[place] = byte;
            }
        }
        at_each_level(|_| {
            let result = decode64(&text);
            assert_eq!(result.as_ref().ok(), STANDARD.decode(&text).ok().as_ref());
            assert_eq!(result, scalar64(&text));
        });
    }
}
