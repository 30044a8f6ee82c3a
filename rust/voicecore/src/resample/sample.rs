//! The two sample types that a resampler reads and writes, and their way to f32 and back.

/// A sample that [`Resampler`](super::Resampler) takes: `i16`, or `f32` with full scale [-1, 1].
pub trait Sample: sealed::Sealed + Copy {}

impl Sample for i16 {}
impl Sample for f32 {}

pub(super) mod sealed {
    /// Keeps the trait closed, and the conversions out of the public surface.
    pub trait Sealed: Sized {
        /// To full scale [-1, 1].
        fn to_f32(self) -> f32;
        /// From full scale [-1, 1].
        fn from_f32(value: f32) -> Self;
    }
}

/// A power of two: both ways are exact, so i16 and f32 differ by the last rounding only.
const FULL_SCALE: f32 = 32_768.0;
/// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, ties to even, without a call to libm.
const ROUNDER: f32 = 12_582_912.0;

impl sealed::Sealed for i16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self) * (1.0 / FULL_SCALE)
    }

    /// Rounds to nearest and saturates; no dither. NaN becomes 0.
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        let scaled = (value * FULL_SCALE).clamp(-FULL_SCALE, FULL_SCALE - 1.0);
        ((scaled + ROUNDER) - ROUNDER) as Self
    }
}

impl sealed::Sealed for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
}
