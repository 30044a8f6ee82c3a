//! Base64 on 64-byte vectors: 64 symbols to 48 bytes with one lookup, two multiply-adds, one permutation.
//! Four times that fills three vectors.
//!
//! Source: W. Mula and D. Lemire, "Base64 encoding and decoding at almost the speed of a memory copy".
#![allow(unsafe_code, reason = "entering a function that needs CPU features")]

use std::arch::x86_64::*;

use super::{Front, front, scalar};
use crate::simd::{HasAvx512, avx512};

/// Symbols per block, and what they decode to.
const BLOCK: usize = 64;
const BYTES: usize = 48;

/// Value of each ASCII symbol; the top bit marks the others.
static VALUES: [[u8; BLOCK]; 2] = values();
/// Where each decoded byte stands among the 24-bit groups, each in a little-endian word.
static PLACES: [u8; BLOCK] = places();
/// Where each byte of three whole vectors stands in two blocks' groups: the second's count from 64.
static JOINED: [[u8; BLOCK]; 3] = joined();

/// Decodes from the front what fills whole blocks; see [`Front`].
pub(super) fn decode(_: HasAvx512, text: &[u8], out: &mut [u8]) -> Front {
    // SAFETY: the proof says that the CPU has every feature of `Level::Avx512`.
    unsafe { decode_front(text, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn decode_front(text: &[u8], out: &mut [u8]) -> Front {
    front::<BLOCK, BYTES>(text, out, |blocks, cells| {
        let mut seen = _mm512_setzero_si512();
        let ((fours, blocks), (quads, cells)) =
            (blocks.as_chunks::<4>(), cells.as_chunks_mut::<4>());
        for (four, quad) in fours.iter().zip(quads) {
            seen = _mm512_or_si512(seen, decode_four(four, quad));
        }
        for (block, cell) in blocks.iter().zip(cells) {
            seen = _mm512_or_si512(seen, decode_block(block, cell));
        }
        _mm512_movepi8_mask(seen) == 0
    })
}

/// Decodes one block; the top bit of a byte of the result tells that its symbol is none.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn decode_block(block: &[u8; BLOCK], out: &mut [u8; BYTES]) -> __m512i {
    let (groups, bad) = groups(block);
    avx512::store_48(out, _mm512_permutexvar_epi8(avx512::load(&PLACES), groups));
    bad
}

/// As [`decode_block`], with whole vectors to store: they cost far less than parts.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn decode_four([a, b, c, d]: &[[u8; BLOCK]; 4], out: &mut [[u8; BYTES]; 4]) -> __m512i {
    let ((a, bad_a), (b, bad_b)) = (groups(a), groups(b));
    let ((c, bad_c), (d, bad_d)) = (groups(c), groups(d));
    let pairs = [(a, b), (b, c), (c, d)];
    let cells = out.as_flattened_mut().as_chunks_mut::<BLOCK>().0;
    for ((cell, (left, right)), places) in cells.iter_mut().zip(pairs).zip(&JOINED) {
        avx512::store(cell, _mm512_permutex2var_epi8(left, avx512::load(places), right));
    }
    let bad = _mm512_ternarylogic_epi64::<0xFE>(bad_a, bad_b, bad_c);
    _mm512_or_si512(bad, bad_d)
}

/// The 24-bit groups of one block, each in a little-endian word, and which symbols are none.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn groups(block: &[u8; BLOCK]) -> (__m512i, __m512i) {
    let text = avx512::load(block);
    let [lower, upper] = &VALUES;
    let values = _mm512_permutex2var_epi8(avx512::load(lower), text, avx512::load(upper));
    // Pairs of six bits to twelve, and pairs of those to 24.
    let pairs = _mm512_maddubs_epi16(values, _mm512_set1_epi32(0x0140_0140));
    let groups = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x0001_1000));
    // A byte beyond ASCII would index the table by its lower seven bits.
    (groups, _mm512_or_si512(values, text))
}

const fn values() -> [[u8; BLOCK]; 2] {
    let mut values = [[0x80; BLOCK]; 2];
    let mut value = 0;
    while value < scalar::ALPHABET.len() {
        let symbol = scalar::ALPHABET[value] as usize;
        values[symbol / BLOCK][symbol % BLOCK] = value as u8;
        value += 1;
    }
    values
}

const fn places() -> [u8; BLOCK] {
    let mut places = [0; BLOCK];
    let mut at = 0;
    while at < BYTES {
        places[at] = (at / 3 * 4 + 2 - at % 3) as u8;
        at += 1;
    }
    places
}

const fn joined() -> [[u8; BLOCK]; 3] {
    let (mut joined, mut at) = ([[0; BLOCK]; 3], 0);
    while at < 4 * BYTES {
        let (vector, block) = (at / BLOCK, at / BYTES);
        joined[vector][at % BLOCK] = ((block - vector) * BLOCK) as u8 + PLACES[at % BYTES];
        at += 1;
    }
    joined
}
