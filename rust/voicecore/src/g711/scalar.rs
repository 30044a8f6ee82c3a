//! G.711 one sample at a time: the specification that every faster kernel must equal.
//!
//! A transcription of `ulaw_compress`, `ulaw_expand`, `alaw_compress` and `alaw_expand` in ITU-T
//! G.191 (Software Tools Library, `g711.c`). Linear samples are 16 bits, left-justified: mu-law
//! looks at the upper 14 bits and A-law at the upper 12. Negative samples are folded by ones'
//! complement, so -1 is mu-law 0x7F and A-law 0x55. The Python standard library's audioop folds
//! mu-law differently and is one code off for 508 negative samples; it is not G.711.

/// Magnitude offset that makes mu-law segments start at powers of two, on the 14-bit scale.
const MULAW_BIAS: i32 = 33;
/// Largest biased 14-bit magnitude; louder samples saturate.
const MULAW_CLIP: i32 = 0x1FFF;
/// Every even bit of an A-law code is sent inverted.
const ALAW_TOGGLE: u8 = 0x55;
/// Set in both laws' codes (as sent) for non-negative samples.
const SIGN: u8 = 0x80;

/// One linear sample to its mu-law code.
pub const fn encode_mulaw(sample: i16) -> u8 {
    let folded = (if sample < 0 { !sample } else { sample }) as i32;
    let mut magnitude = (folded >> 2) + MULAW_BIAS;
    if magnitude > MULAW_CLIP {
        magnitude = MULAW_CLIP;
    }
    let mut segment = 1;
    let mut rest = magnitude >> 6;
    while rest != 0 {
        segment += 1;
        rest >>= 1;
    }
    let high = 8 - segment;
    let low = 0xF - ((magnitude >> segment) & 0xF);
    let code = ((high << 4) | low) as u8;
    if sample >= 0 { code | SIGN } else { code }
}

/// One mu-law code to the linear sample in the middle of its interval.
pub const fn decode_mulaw(code: u8) -> i16 {
    let inverted = !code as i32;
    let exponent = (inverted >> 4) & 0x7;
    let step = 8 << exponent;
    let magnitude = (0x80 << exponent) + step * (inverted & 0xF) + step / 2 - 4 * MULAW_BIAS;
    (if code & SIGN == 0 { -magnitude } else { magnitude }) as i16
}

/// One linear sample to its A-law code.
pub const fn encode_alaw(sample: i16) -> u8 {
    let mut code = (if sample < 0 { !sample } else { sample }) >> 4;
    if code > 15 {
        let mut exponent = 1;
        while code > 31 {
            code >>= 1;
            exponent += 1;
        }
        code += (exponent << 4) - 16;
    }
    let code = code as u8 ^ ALAW_TOGGLE;
    if sample >= 0 { code ^ SIGN } else { code }
}

/// One A-law code to the linear sample in the middle of its interval.
pub const fn decode_alaw(code: u8) -> i16 {
    let plain = (code ^ ALAW_TOGGLE) as i32 & 0x7F;
    let exponent = plain >> 4;
    let mut mantissa = plain & 0xF;
    if exponent > 0 {
        mantissa += 16;
    }
    let mut magnitude = (mantissa << 4) + 8;
    if exponent > 1 {
        magnitude <<= exponent - 1;
    }
    (if code & SIGN == 0 { -magnitude } else { magnitude }) as i16
}
