//! G.711 on 32-byte vectors: 32 codes at a time, without a per-lane shift, which AVX2 lacks.
//!
//! Encoding: within a law, code numbers are a concave function of the magnitude made of eight lines
//! `(v >> i) + 16 * i`, so the code number is the smallest of them. Decoding: step, segment and sign are
//! 16-entry lookups, and one multiply-add of byte pairs joins them.
#![allow(unsafe_code, reason = "entering a function that needs CPU features")]

use std::arch::x86_64::*;

use super::Law;
use crate::simd::{HasAvx2, avx2, blocks};

/// Codes per block.
const BLOCK: usize = 32;
/// Swaps the middle quadwords: undoes, or prepares for, what packing and unpacking do per lane.
const MIDDLE_SWAPPED: i32 = 0b11_01_10_00;

static MULAW: Encoder = Encoder { bias: 132, first: 16, toggle: 0xFF };
static ALAW: Encoder = Encoder { bias: 0, first: 0, toggle: 0xD5 };
static MULAW_SAMPLES: Decoder = Decoder::mulaw();
static ALAW_SAMPLES: Decoder = Decoder::alaw();

pub(super) fn encode(_: HasAvx2, law: Law, pcm: &[i16], out: &mut [u8]) {
    match law {
        // SAFETY: the proof says that the CPU has every feature of `Level::Avx2`.
        Law::Mu => unsafe { encode_blocks::<3>(&MULAW, pcm, out) },
        // SAFETY: as above.
        Law::A => unsafe { encode_blocks::<4>(&ALAW, pcm, out) },
    }
}

pub(super) fn decode(_: HasAvx2, law: Law, data: &[u8], out: &mut [i16]) {
    let law = match law {
        Law::Mu => &MULAW_SAMPLES,
        Law::A => &ALAW_SAMPLES,
    };
    // SAFETY: the proof says that the CPU has every feature of `Level::Avx2`.
    unsafe { decode_blocks(law, data, out) }
}

#[target_feature(enable = "avx2")]
fn encode_blocks<const NARROWEST: i32>(law: &Encoder, pcm: &[i16], out: &mut [u8]) {
    blocks(pcm, out, |block, cell| encode_block::<NARROWEST>(law, block, cell));
}

#[target_feature(enable = "avx2")]
fn decode_blocks(law: &Decoder, data: &[u8], out: &mut [i16]) {
    blocks(data, out, |block, cell| decode_block(law, block, cell));
}

/// What tells the two laws apart when encoding, beside the binary logarithm of the narrowest interval,
/// which is a constant of the function since an immediate shift is the cheapest.
struct Encoder {
    /// Added to the 15-bit magnitude: mu-law's 33 on the 14-bit scale.
    bias: i16,
    /// Number of the line's value at the lowest biased magnitude.
    first: i8,
    /// The code number 0 with sign plus, as sent.
    toggle: u8,
}

#[inline]
#[target_feature(enable = "avx2")]
fn encode_block<const NARROWEST: i32>(law: &Encoder, block: &[i16; BLOCK], out: &mut [u8; BLOCK]) {
    // The lowest bit decides nothing, and with it set the magnitude's upper bits are those of the
    // ones' complement.
    let [low, high] =
        avx2::load_two(block).map(|samples| _mm256_or_si256(samples, _mm256_set1_epi16(1)));
    let (low_size, high_size) =
        (magnitude::<NARROWEST>(law, low), magnitude::<NARROWEST>(law, high));

    // Twelve bits in two windows of eight: the packing saturates the lower one.
    let lower = _mm256_packus_epi16(low_size, high_size);
    let upper =
        _mm256_packus_epi16(_mm256_srli_epi16::<4>(low_size), _mm256_srli_epi16::<4>(high_size));
    let is_large = _mm256_cmpeq_epi8(_mm256_max_epu8(upper, _mm256_set1_epi8(16)), upper);
    let small_base = -LINE_BIAS - law.first;
    let base = _mm256_blendv_epi8(
        _mm256_set1_epi8(small_base),
        _mm256_set1_epi8(small_base.wrapping_add(64)),
        is_large,
    );
    let number = _mm256_add_epi8(base, lowest_line(_mm256_blendv_epi8(lower, upper, is_large)));

    let signs = _mm256_and_si256(_mm256_packs_epi16(low, high), _mm256_set1_epi8(i8::MIN));
    let sent = _mm256_xor_si256(number, _mm256_set1_epi8(law.toggle.cast_signed()));
    let codes = _mm256_xor_si256(sent, signs);
    avx2::store(out, _mm256_permute4x64_epi64::<MIDDLE_SWAPPED>(codes));
}

/// The folded and biased magnitude in units of the narrowest interval, at most 4095.
#[inline]
#[target_feature(enable = "avx2")]
fn magnitude<const NARROWEST: i32>(law: &Encoder, samples: __m256i) -> __m256i {
    let biased = _mm256_adds_epi16(_mm256_abs_epi16(samples), _mm256_set1_epi16(law.bias));
    _mm256_srli_epi16::<NARROWEST>(biased)
}

/// What [`lowest_line`] adds, since that comes free.
const LINE_BIAS: i8 = 112;

/// The smallest of `(v >> i) + 16 * i` for `i` in 0 to 3, plus 112, of each byte.
#[inline]
#[target_feature(enable = "avx2")]
fn lowest_line(v: __m256i) -> __m256i {
    let add = |a, b| _mm256_adds_epu8(a, _mm256_set1_epi8(b));
    // A rounded average halves: avg(v, 255) = (v >> 1) + 128, then avg(that, 127) = (v >> 2) + 128.
    let half = _mm256_avg_epu8(v, _mm256_set1_epi8(-1));
    let quarter = _mm256_avg_epu8(half, _mm256_set1_epi8(127));
    let eighth = _mm256_avg_epu8(quarter, _mm256_set1_epi8(127));
    _mm256_min_epu8(
        _mm256_min_epu8(add(v, LINE_BIAS), half),
        _mm256_min_epu8(add(quarter, 16), add(eighth, 32)),
    )
}

/// A law as `unit * (step * factor - offset)`. `step` goes by the lower half of a code, the others by
/// the upper half, sign included.
struct Decoder {
    /// Negative, since the sign of a code that stands for a positive sample is minus.
    step: [u8; 16],
    factor: [u8; 16],
    offset: [u8; 16],
    unit: i16,
}

impl Decoder {
    const fn mulaw() -> Self {
        let (mut step, mut factor) = ([0; 16], [0; 16]);
        let mut half = 0;
        while half < 16 {
            step[half] = (33 + 2 * (15 - half) as u8).wrapping_neg();
            factor[half] = 1 << (7 - half % 8);
            half += 1;
        }
        Self { step, factor, offset: [33; 16], unit: 4 }
    }

    const fn alaw() -> Self {
        let (mut step, mut factor, mut offset) = ([0; 16], [1; 16], [0; 16]);
        let mut half = 0;
        while half < 16 {
            let plain = half ^ 5;
            step[half] = (33 + 2 * plain as u8).wrapping_neg();
            match plain % 8 {
                0 => offset[half] = 32,
                segment => factor[half] = 1 << (segment - 1),
            }
            half += 1;
        }
        Self { step, factor, offset, unit: 8 }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn decode_block(law: &Decoder, block: &[u8; BLOCK], out: &mut [i16; BLOCK]) {
    let nibble = _mm256_set1_epi8(0x0F);
    let codes = _mm256_permute4x64_epi64::<MIDDLE_SWAPPED>(avx2::load(block));
    let lower = _mm256_and_si256(codes, nibble);
    let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble);
    // Odd, so that no code is zero, which the sign instruction would turn into zero.
    let signs = _mm256_or_si256(codes, _mm256_set1_epi8(1));

    let factor = _mm256_shuffle_epi8(avx2::load_twice(&law.factor), upper);
    let offset = _mm256_shuffle_epi8(avx2::load_twice(&law.offset), upper);
    let step = _mm256_shuffle_epi8(avx2::load_twice(&law.step), lower);
    let step = _mm256_sign_epi8(step, signs);
    let minus = _mm256_sign_epi8(_mm256_set1_epi8(1), signs);

    let unit = _mm256_set1_epi16(law.unit);
    let join = |unsigned, signed| _mm256_mullo_epi16(_mm256_maddubs_epi16(unsigned, signed), unit);
    let first = join(_mm256_unpacklo_epi8(factor, offset), _mm256_unpacklo_epi8(step, minus));
    let second = join(_mm256_unpackhi_epi8(factor, offset), _mm256_unpackhi_epi8(step, minus));
    avx2::store_two(out, [first, second]);
}
