//! Mu-law and A-law as `audioop` has them, on the kernels of G.711.
//!
//! A-law, and mu-law decoding, are the standard's. Its mu-law encoder is not: it takes the magnitude of
//! a negative sample after dropping two bits and G.711 before, which makes it one step too large.
//! Sample and step meet again when the standard's kernel gets negative samples four lower.

use super::sample::{from_high, high};
use super::{Width, by_width};
use crate::g711;

/// Samples that pass through the stack at a time, aligned and 16 bits wide.
const BLOCK: usize = 256;

type Encode = fn(&[i16], &mut [u8]) -> crate::Result<usize>;
type Decode = fn(&[u8], &mut [i16]) -> crate::Result<usize>;

/// Samples to mu-law codes. `out` has one octet per sample.
pub fn lin2ulaw(fragment: &[u8], width: Width, out: &mut [u8]) {
    let four_lower_if_negative = |sample: i16| sample.saturating_sub((sample >> 15) & 4);
    by_width!(width, encode(fragment, out, g711::encode_mulaw_into, four_lower_if_negative));
}

/// Samples to A-law codes. `out` has one octet per sample.
pub fn lin2alaw(fragment: &[u8], width: Width, out: &mut [u8]) {
    by_width!(width, encode(fragment, out, g711::encode_alaw_into, std::convert::identity));
}

/// Mu-law codes to samples. `out` has one sample per octet.
pub fn ulaw2lin(codes: &[u8], width: Width, out: &mut [u8]) {
    by_width!(width, decode(codes, out, g711::decode_mulaw_into));
}

/// A-law codes to samples. `out` has one sample per octet.
pub fn alaw2lin(codes: &[u8], width: Width, out: &mut [u8]) {
    by_width!(width, decode(codes, out, g711::decode_alaw_into));
}

fn encode<const W: usize>(
    fragment: &[u8],
    out: &mut [u8],
    law: Encode,
    adjust: impl Fn(i16) -> i16,
) {
    let mut block = [0; BLOCK];
    for (to, from) in out.chunks_mut(BLOCK).zip(fragment.as_chunks::<W>().0.chunks(BLOCK)) {
        for (sample, octets) in block.iter_mut().zip(from) {
            *sample = adjust((high(octets) >> 16) as i16);
        }
        // One code per sample, and room for it: it cannot fail.
        let _ = law(&block[..from.len().min(to.len())], to);
    }
}

fn decode<const W: usize>(codes: &[u8], out: &mut [u8], law: Decode) {
    let mut block = [0; BLOCK];
    for (to, from) in out.as_chunks_mut::<W>().0.chunks_mut(BLOCK).zip(codes.chunks(BLOCK)) {
        // One sample per code, and room for it: it cannot fail.
        let _ = law(from, &mut block);
        for (octets, &sample) in to.iter_mut().zip(&block) {
            *octets = from_high(i32::from(sample) << 16);
        }
    }
}
