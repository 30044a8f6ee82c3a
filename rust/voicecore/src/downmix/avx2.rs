//! Downmix and up-mix on 32-byte vectors.
//!
//! Only the 16-bit mean is written by hand: the compiler widens each sample, where one multiply-add
//! sums a frame. The other loops are the portable ones, compiled for these vectors.
#![allow(unsafe_code, reason = "entering a function that needs CPU features")]

use std::arch::x86_64::*;

use super::portable;
use crate::simd::{HasAvx2, avx2, blocks};

/// Samples per block: 16 frames.
const BLOCK: usize = 32;

pub(super) fn stereo_i16(_: HasAvx2, frames: &[i16], out: &mut [i16]) {
    // SAFETY: the proof says that the CPU has every feature of `Level::Avx2`.
    unsafe { stereo_i16_blocks(frames, out) }
}

pub(super) fn stereo_f32(_: HasAvx2, frames: &[f32], out: &mut [f32]) {
    // SAFETY: the proof says that the CPU has every feature of `Level::Avx2`.
    unsafe { stereo_f32_loop(frames, out) }
}

#[target_feature(enable = "avx2")]
fn stereo_i16_blocks(frames: &[i16], out: &mut [i16]) {
    blocks(frames, out, |block, cell| stereo_i16_block(block, cell));
}

#[inline]
#[target_feature(enable = "avx2")]
fn stereo_i16_block(block: &[i16; BLOCK], out: &mut [i16; BLOCK / 2]) {
    let [first, second] = avx2::load_two(block)
        .map(|frames| _mm256_srai_epi32::<1>(_mm256_madd_epi16(frames, _mm256_set1_epi16(1))));
    // Packing works per lane: the middle quadwords come out swapped.
    let packed = _mm256_packs_epi32(first, second);
    avx2::store(out, _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
}

#[target_feature(enable = "avx2")]
fn stereo_f32_loop(frames: &[f32], out: &mut [f32]) {
    portable::stereo_f32(frames, out);
}
