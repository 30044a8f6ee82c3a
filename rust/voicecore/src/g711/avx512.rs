//! G.711 on 64-byte vectors: 64 codes at a time, looked up in tables that stay in registers.
//!
//! Encoding: the high byte of a magnitude (seven bits) names its segment. One lookup turns it into the
//! factor that brings the leading bit to one place, so that a multiplication does the shift that each
//! lane needs; another gives the code's upper half. Decoding: a 256-entry table is four registers for
//! each byte of the sample.
#![allow(unsafe_code, reason = "entering a function that needs CPU features")]

use std::arch::x86_64::*;

use super::{Law, portable};
use crate::simd::{HasAvx512, avx512, blocks};

/// Codes per block.
const BLOCK: usize = 64;

/// The even bytes of two vectors, then the odd ones: the low and high halves of 64 words.
static EVEN: [u8; BLOCK] = every_second(0);
static ODD: [u8; BLOCK] = every_second(1);
/// Step of a magnitude whose leading bit is bit 6: bits 2 to 5.
static STEP: [u8; BLOCK] = steps();
/// Quadwords in the order that makes unpacking each half of each lane give the natural order.
static SPREAD: [u8; BLOCK] = spread();

static MULAW: Encoder = Encoder::new(132, 128, 0xFF);
static ALAW: Encoder = Encoder::new(0, 64, 0xD5);
static MULAW_SAMPLES: Decoder = Decoder::new(&portable::MULAW);
static ALAW_SAMPLES: Decoder = Decoder::new(&portable::ALAW);

pub(super) fn encode(_: HasAvx512, law: Law, pcm: &[i16], out: &mut [u8]) {
    let law = match law {
        Law::Mu => &MULAW,
        Law::A => &ALAW,
    };
    // SAFETY: the proof says that the CPU has every feature of `Level::Avx512`.
    unsafe { encode_blocks(law, pcm, out) }
}

pub(super) fn decode(_: HasAvx512, law: Law, data: &[u8], out: &mut [i16]) {
    let law = match law {
        Law::Mu => &MULAW_SAMPLES,
        Law::A => &ALAW_SAMPLES,
    };
    // SAFETY: the proof says that the CPU has every feature of `Level::Avx512`.
    unsafe { decode_blocks(law, data, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn encode_blocks(law: &Encoder, pcm: &[i16], out: &mut [u8]) {
    blocks(pcm, out, |block, cell| encode_block(law, block, cell));
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn decode_blocks(law: &Decoder, data: &[u8], out: &mut [i16]) {
    blocks(data, out, |block, cell| decode_block(law, block, cell));
}

/// What tells the two laws apart when encoding. Both tables are indexed by a magnitude's high byte.
struct Encoder {
    /// Added to the 15-bit magnitude: mu-law's 33 on the 14-bit scale.
    bias: i16,
    /// The power of two that brings the leading bit to bit 14 (A-law's segment 0 has none).
    scale: [[u8; BLOCK]; 2],
    /// The code of step 0 and sign plus.
    segment: [[u8; BLOCK]; 2],
}

impl Encoder {
    const fn new(bias: i16, first_scale: u8, toggle: u8) -> Self {
        let (mut scale, mut segment) = ([[first_scale; BLOCK]; 2], [[toggle; BLOCK]; 2]);
        let mut high = 1;
        while high < 2 * BLOCK {
            let number = high.ilog2() + 1;
            scale[high / BLOCK][high % BLOCK] = 1 << (7 - number);
            segment[high / BLOCK][high % BLOCK] = toggle ^ (number << 4) as u8;
            high += 1;
        }
        Self { bias, scale, segment }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn encode_block(law: &Encoder, block: &[i16; BLOCK], out: &mut [u8; BLOCK]) {
    let (even, odd) = (avx512::load(&EVEN), avx512::load(&ODD));
    // The lowest bit decides nothing, and with it set the magnitude's upper bits are those of the
    // ones' complement.
    let [low, high] =
        avx512::load_two(block).map(|samples| _mm512_or_si512(samples, _mm512_set1_epi16(1)));
    let (low_size, high_size) = (magnitude(law, low), magnitude(law, high));

    let sizes = _mm512_permutex2var_epi8(low_size, odd, high_size);
    let signs = _mm512_permutex2var_epi8(low, odd, high);
    let shifted =
        _mm512_permutex2var_epi8(normalised(law, low_size), even, normalised(law, high_size));

    let step = _mm512_permutexvar_epi8(shifted, avx512::load(&STEP));
    let segment = lookup(&law.segment, sizes);
    // segment ^ (signs & 0x80)
    let upper = _mm512_ternarylogic_epi32::<0x78>(segment, signs, _mm512_set1_epi8(i8::MIN));
    avx512::store(out, _mm512_xor_si512(upper, step));
}

/// The folded and biased magnitude in 15 bits; saturates as the law does.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn magnitude(law: &Encoder, samples: __m512i) -> __m512i {
    _mm512_adds_epi16(_mm512_abs_epi16(samples), _mm512_set1_epi16(law.bias))
}

/// Magnitudes with the leading bit shifted to bit 6.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn normalised(law: &Encoder, sizes: __m512i) -> __m512i {
    let [first, second] = &law.scale;
    // In the upper byte the factor is 256 times as large: with mulhi that is a shift right by 8.
    let factors = _mm512_maskz_permutex2var_epi8(
        0xAAAA_AAAA_AAAA_AAAA,
        avx512::load(first),
        sizes,
        avx512::load(second),
    );
    _mm512_mulhi_epu16(sizes, factors)
}

/// Entries of a table of 128 by the lower seven bits of each byte.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi")]
fn lookup([first, second]: &[[u8; BLOCK]; 2], places: __m512i) -> __m512i {
    _mm512_permutex2var_epi8(avx512::load(first), places, avx512::load(second))
}

/// A law's 256 samples, low bytes and high bytes.
struct Decoder {
    low: [[[u8; BLOCK]; 2]; 2],
    high: [[[u8; BLOCK]; 2]; 2],
}

impl Decoder {
    const fn new(samples: &[i16; 256]) -> Self {
        let (mut low, mut high) = ([[[0; BLOCK]; 2]; 2], [[[0; BLOCK]; 2]; 2]);
        let mut code = 0;
        while code < samples.len() {
            let [low_byte, high_byte] = samples[code].to_le_bytes();
            let (half, quarter, place) = (code / 128, code / BLOCK % 2, code % BLOCK);
            low[half][quarter][place] = low_byte;
            high[half][quarter][place] = high_byte;
            code += 1;
        }
        Self { low, high }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn decode_block(law: &Decoder, block: &[u8; BLOCK], out: &mut [i16; BLOCK]) {
    let codes = _mm512_permutexvar_epi64(avx512::load(&SPREAD), avx512::load(block));
    let (low, high) = (lookup_256(&law.low, codes), lookup_256(&law.high, codes));
    let samples = [_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)];
    avx512::store_two(out, samples);
}

/// Entries of a table of 256, by each byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn lookup_256([lower, upper]: &[[[u8; BLOCK]; 2]; 2], places: __m512i) -> __m512i {
    let is_upper = _mm512_movepi8_mask(places);
    _mm512_mask_blend_epi8(is_upper, lookup(lower, places), lookup(upper, places))
}

const fn every_second(first: u8) -> [u8; BLOCK] {
    let mut places = [0; BLOCK];
    let mut at = 0;
    while at < BLOCK {
        places[at] = first + 2 * at as u8;
        at += 1;
    }
    places
}

const fn steps() -> [u8; BLOCK] {
    let mut steps = [0; BLOCK];
    let mut at = 0;
    while at < BLOCK {
        steps[at] = at as u8 >> 2;
        at += 1;
    }
    steps
}

const fn spread() -> [u8; BLOCK] {
    let mut bytes = [0; BLOCK];
    let mut at = 0;
    while at < 8 {
        bytes[8 * at] = (at / 2 + at % 2 * 4) as u8;
        at += 1;
    }
    bytes
}
