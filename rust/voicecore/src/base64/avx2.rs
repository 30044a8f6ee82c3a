//! Base64 on 32-byte vectors: 32 symbols to 24 bytes.
//!
//! Source: W. Mula and D. Lemire, "Faster Base64 Encoding and Decoding Using AVX2 Instructions". The
//! two halves of a byte each name a set of bits; a byte is a symbol if the sets do not meet. What turns
//! a symbol into its value depends on the upper half alone, but for `/`.
#![allow(unsafe_code, reason = "entering a function that needs CPU features")]

use std::arch::x86_64::*;

use super::{Front, front};
use crate::simd::{HasAvx2, avx2};

/// Symbols per block, and what they decode to.
const BLOCK: usize = 32;
const BYTES: usize = 24;

/// By lower half of a byte: which groups of upper halves make no symbol with it.
static LOWER: [u8; 16] = [
    0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1A, 0x1B, 0x1B, 0x1B, 0x1A,
];
/// By upper half of a byte: its group.
static UPPER: [u8; 16] = [
    0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
];
/// By upper half of a symbol (minus one for `/`): what to add, modulo 256, to get its value.
static SHIFT: [u8; 16] = [0, 16, 19, 4, 191, 191, 185, 185, 0, 0, 0, 0, 0, 0, 0, 0];
/// Where each decoded byte stands among a lane's 24-bit groups, each in a little-endian word.
static PLACES: [u8; 16] = [2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 128, 128, 128, 128];

/// Decodes from the front what fills whole blocks; see [`Front`].
pub(super) fn decode(_: HasAvx2, text: &[u8], out: &mut [u8]) -> Front {
    // SAFETY: the proof says that the CPU has every feature of `Level::Avx2`.
    unsafe { decode_front(text, out) }
}

#[target_feature(enable = "avx2")]
fn decode_front(text: &[u8], out: &mut [u8]) -> Front {
    front::<BLOCK, BYTES>(text, out, |blocks, cells| {
        let mut seen = _mm256_setzero_si256();
        for (block, cell) in blocks.iter().zip(cells) {
            seen = _mm256_or_si256(seen, decode_block(block, cell));
        }
        _mm256_testz_si256(seen, seen) != 0
    })
}

/// Decodes one block; a byte of the result is zero if its symbol is one.
#[inline]
#[target_feature(enable = "avx2")]
fn decode_block(block: &[u8; BLOCK], out: &mut [u8; BYTES]) -> __m256i {
    let text = avx2::load(block);
    // Lookups see four bits and the top one; the bit in between does not matter and saves a constant.
    let slash = _mm256_set1_epi8(b'/'.cast_signed());
    let upper = _mm256_and_si256(_mm256_srli_epi32::<4>(text), slash);
    let lower = _mm256_and_si256(text, slash);
    let bad = _mm256_and_si256(
        _mm256_shuffle_epi8(avx2::load_twice(&LOWER), lower),
        _mm256_shuffle_epi8(avx2::load_twice(&UPPER), upper),
    );
    let place = _mm256_add_epi8(_mm256_cmpeq_epi8(text, slash), upper);
    let shift = _mm256_shuffle_epi8(avx2::load_twice(&SHIFT), place);
    let values = _mm256_add_epi8(text, shift);
    // Pairs of six bits to twelve, and pairs of those to 24.
    let pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x0140_0140));
    let groups = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x0001_1000));
    let bytes = _mm256_shuffle_epi8(groups, avx2::load_twice(&PLACES));
    // Twelve bytes of each lane.
    let joined = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
    avx2::store_24(out, joined);
    bad
}
