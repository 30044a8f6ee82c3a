//! G.711 in plain loops that the compiler vectorises for any target.
//!
//! Encoding takes segment and step at once from an f32's exponent and leading mantissa bits: no
//! branch, no table and no per-lane shift. Decoding is a table made from [`super::scalar`].

use super::{Law, scalar};

/// Mantissa bits of an f32 that lie below the four step bits of a code.
const BELOW_STEP: u32 = 23 - 4;
/// `bits >> BELOW_STEP` of 32.0, the lowest biased mu-law magnitude's power of two.
const MULAW_ORIGIN: i16 = (127 + 5) << 4;
/// `bits >> BELOW_STEP` of 8.0: A-law's segment 1 starts at 16 and keeps its number.
const ALAW_ORIGIN: i16 = (127 + 3) << 4;

/// Louder samples saturate: with the offset of 33 they would leave the last segment.
const MULAW_LOUDEST: i16 = ((0x1FFF - 33) << 2) | 3;

/// What each code of a law decodes to.
pub(super) static MULAW: [i16; 256] = decode_table(true);
/// As [`MULAW`], for A-law.
pub(super) static ALAW: [i16; 256] = decode_table(false);

pub(super) fn encode(law: Law, pcm: &[i16], out: &mut [u8]) {
    match law {
        Law::Mu => map(pcm, out, mulaw_code),
        Law::A => map(pcm, out, alaw_code),
    }
}

pub(super) fn decode(law: Law, data: &[u8], out: &mut [i16]) {
    let table = match law {
        Law::Mu => &MULAW,
        Law::A => &ALAW,
    };
    map(data, out, |code| table[usize::from(code)]);
}

#[inline(always)]
fn map<A: Copy, B>(input: &[A], out: &mut [B], convert: impl Fn(A) -> B) {
    for (to, &from) in out.iter_mut().zip(input) {
        *to = convert(from);
    }
}

#[inline(always)]
fn mulaw_code(sample: i16) -> u8 {
    let sign = sample >> 15; // 0 or -1
    let magnitude = ((sample ^ sign).min(MULAW_LOUDEST) >> 2) + 33;
    // 33 <= magnitude < 2^13: exact as f32; exponent - 5 is the segment, four bits are the step.
    let code = curve(magnitude).wrapping_sub(MULAW_ORIGIN);
    (!code ^ (sign & 0x80)) as u8
}

#[inline(always)]
fn alaw_code(sample: i16) -> u8 {
    let sign = sample >> 15; // 0 or -1
    let magnitude = (sample ^ sign) >> 4;
    let curved = curve(magnitude).wrapping_sub(ALAW_ORIGIN);
    let code = if magnitude < 16 { magnitude } else { curved };
    (code ^ 0xD5 ^ (sign & 0x80)) as u8
}

/// Sixteen times the base-2 logarithm, linear in between, plus a constant: an f32's leading bits.
#[inline(always)]
fn curve(magnitude: i16) -> i16 {
    (f32::from(magnitude).to_bits() >> BELOW_STEP) as i16
}

const fn decode_table(mulaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        table[code] =
            if mulaw { scalar::decode_mulaw(code as u8) } else { scalar::decode_alaw(code as u8) };
        code += 1;
    }
    table
}
