//! ITU-T G.711 mu-law and A-law, exact to the reference code of G.191, over whole buffers.
//!
//! [`scalar`] is the specification. Decoding is a table made from it. Encoding takes segment and
//! step at once from an f32's exponent and leading mantissa bits: no branch, no table and no
//! per-lane shift, so the compiler vectorises it for any target.

pub mod scalar;

use crate::{Error, Result};

/// Mantissa bits of an f32 that lie below the four step bits of a code.
const BELOW_STEP: u32 = 23 - 4;
/// `bits >> BELOW_STEP` of 32.0, the lowest biased mu-law magnitude's power of two.
const MULAW_ORIGIN: i16 = (127 + 5) << 4;
/// `bits >> BELOW_STEP` of 8.0: A-law's segment 1 starts at 16 and keeps its number.
const ALAW_ORIGIN: i16 = (127 + 3) << 4;

/// Louder samples saturate: with the offset of 33 they would leave the last segment.
const MULAW_LOUDEST: i16 = ((0x1FFF - 33) << 2) | 3;

static MULAW_TABLE: [i16; 256] = decode_table(true);
static ALAW_TABLE: [i16; 256] = decode_table(false);

/// Encodes 16-bit samples as mu-law; returns the codes written, one per sample.
///
/// # Errors
/// [`Error::OutputTooSmall`] if `out` is shorter than `pcm`; nothing is written then.
pub fn encode_mulaw_into(pcm: &[i16], out: &mut [u8]) -> Result<usize> {
    map_into(pcm, out, mulaw_code)
}

/// Decodes mu-law to 16-bit samples; returns the samples written, one per code.
///
/// # Errors
/// [`Error::OutputTooSmall`] if `out` is shorter than `data`; nothing is written then.
pub fn decode_mulaw_into(data: &[u8], out: &mut [i16]) -> Result<usize> {
    map_into(data, out, |code| MULAW_TABLE[usize::from(code)])
}

/// Encodes 16-bit samples as A-law; returns the codes written, one per sample.
///
/// # Errors
/// [`Error::OutputTooSmall`] if `out` is shorter than `pcm`; nothing is written then.
pub fn encode_alaw_into(pcm: &[i16], out: &mut [u8]) -> Result<usize> {
    map_into(pcm, out, alaw_code)
}

/// Decodes A-law to 16-bit samples; returns the samples written, one per code.
///
/// # Errors
/// [`Error::OutputTooSmall`] if `out` is shorter than `data`; nothing is written then.
pub fn decode_alaw_into(data: &[u8], out: &mut [i16]) -> Result<usize> {
    map_into(data, out, |code| ALAW_TABLE[usize::from(code)])
}

/// One output item per input item.
#[inline(always)]
fn map_into<A: Copy, B>(input: &[A], out: &mut [B], convert: impl Fn(A) -> B) -> Result<usize> {
    let got = out.len();
    let needed = input.len();
    let out = out.get_mut(..needed).ok_or(Error::OutputTooSmall { needed, got })?;
    for (to, &from) in out.iter_mut().zip(input) {
        *to = convert(from);
    }
    Ok(needed)
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
