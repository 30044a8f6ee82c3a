//! The two sample types that a resampler reads and writes, and their way to f32 and back.

use super::kernel;
use crate::simd::Level;

/// A sample that [`Resampler`](super::Resampler) takes: `i16`, or `f32` with full scale [-1, 1].
pub trait Sample: sealed::Sealed + Copy {}

impl Sample for i16 {}
impl Sample for f32 {}

/// Where a bank's input goes: `down` planes of `stride` places, that have `len` frames.
pub struct Planes<'a> {
    pub planes: &'a mut [f32],
    pub stride: usize,
    pub down: usize,
    pub len: usize,
}

pub(super) mod sealed {
    use super::{Planes, kernel};
    use crate::simd::Level;

    /// Keeps the trait closed, and the conversions out of the public surface.
    pub trait Sealed: Copy {
        /// To full scale [-1, 1].
        fn to_f32(self) -> f32;
        /// From full scale [-1, 1].
        fn from_f32(value: f32) -> Self;
        /// All of `from` to full scale [-1, 1].
        fn widen(level: Level, from: &[Self], to: &mut [f32]);
        /// The same, dealt out to planes; `line` is as long as `from`.
        fn split(level: Level, from: &[Self], line: &mut [f32], to: Planes) {
            Self::widen(level, from, line);
            kernel::split(level, line, to.planes, to.stride, to.down, to.len);
        }
        /// All of `from`, of full scale [-1, 1].
        fn narrow(level: Level, from: &[f32], to: &mut [Self]);
    }
}

/// A power of two: both ways are exact, so i16 and f32 differ by the last rounding only.
const FULL_SCALE: f32 = 32_768.0;
/// Far beyond any sound. What is larger, infinite or NaN counts as silence: it would meet the zeros beside a filter's
/// taps, and zero times infinity is NaN, so that one bad sample would spoil outputs that do not depend on it.
const LIMIT: f32 = 1e30;
/// Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, without a call to libm.
const ROUNDER: f32 = 12_582_912.0;

impl sealed::Sealed for i16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self) * (1.0 / FULL_SCALE)
    }

    /// Rounds to nearest and saturates; no dither. NaN becomes 0.
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        let value = if value.is_nan() { 0.0 } else { value };
        let scaled = (value * FULL_SCALE).clamp(-FULL_SCALE, FULL_SCALE - 1.0);
        // The sum's low bits are the integer.
        (scaled + ROUNDER).to_bits() as Self
    }

    fn widen(level: Level, from: &[Self], to: &mut [f32]) {
        kernel::widen(level, from, to);
    }

    fn split(level: Level, from: &[Self], line: &mut [f32], to: Planes) {
        kernel::split_ints(level, from, line, to.planes, to.stride, to.down, to.len);
    }

    fn narrow(level: Level, from: &[f32], to: &mut [Self]) {
        kernel::narrow(level, from, to);
    }
}

impl sealed::Sealed for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        if self.abs() <= LIMIT { self } else { 0.0 }
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }

    fn widen(_: Level, from: &[Self], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.to_f32();
        }
    }

    fn narrow(_: Level, from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
}
