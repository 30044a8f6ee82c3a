//! Downmix and up-mix on 64-byte vectors.
//!
//! Only the 16-bit mean is written by hand: the compiler widens each sample, where one multiply-add
//! sums a frame. The other loops are the portable ones, compiled for these vectors.
#![allow(unsafe_code, reason = "entering a function that needs CPU features")]

use std::arch::x86_64::*;

use super::portable;
use crate::simd::{HasAvx512, avx512, blocks};

/// Samples per block: 32 frames.
const BLOCK: usize = 64;
/// The low words of two vectors' sums.
static EVEN: [i16; 32] = even();

pub(super) fn stereo_i16(_: HasAvx512, frames: &[i16], out: &mut [i16]) {
    // SAFETY: the proof says that the CPU has every feature of `Level::Avx512`.
    unsafe { stereo_i16_blocks(frames, out) }
}

pub(super) fn stereo_f32(_: HasAvx512, frames: &[f32], out: &mut [f32]) {
    // SAFETY: the proof says that the CPU has every feature of `Level::Avx512`.
    unsafe { stereo_f32_loop(frames, out) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn stereo_i16_blocks(frames: &[i16], out: &mut [i16]) {
    blocks(frames, out, |block, cell| stereo_i16_block(block, cell));
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn stereo_i16_block(block: &[i16; BLOCK], out: &mut [i16; BLOCK / 2]) {
    let [first, second] = avx512::load_two(block)
        .map(|frames| _mm512_srai_epi32::<1>(_mm512_madd_epi16(frames, _mm512_set1_epi16(1))));
    avx512::store(out, _mm512_permutex2var_epi16(first, avx512::load(&EVEN), second));
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn stereo_f32_loop(frames: &[f32], out: &mut [f32]) {
    portable::stereo_f32(frames, out);
}

const fn even() -> [i16; 32] {
    let mut places = [0; 32];
    let mut at = 0;
    while at < places.len() {
        places[at] = 2 * at as i16;
        at += 1;
    }
    places
}
