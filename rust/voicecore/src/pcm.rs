//! PCM as it comes off the wire and between its two forms: conversion, gain, mixing.
//!
//! Full scale is 32768 for `i16` and 1.0 for `f32`. Everything rounds to nearest, ties to even, and
//! saturates where its words say so; nothing dithers.

use crate::{Error, Result};
use std::ops::AddAssign;

/// Full scale of 16-bit samples. A power of two: to float is exact, and back rounds only.
const FULL_SCALE: f32 = 32_768.0;
/// Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, which then stands in the low bits.
const ROUNDER: f32 = 12_582_912.0;
/// As [`ROUNDER`], in double precision.
const WIDE_ROUNDER: f64 = 6_755_399_441_055_744.0;

/// Most streams that are mixed at once: their sum fits 32 bits.
pub const MAX_STREAMS: usize = 65_535;

/// Samples that are mixed at a time, in the L1 cache.
const BLOCK: usize = 512;

/// `i16` or `f32`, as little-endian octets at any alignment or as itself.
pub trait PcmSample: Copy + Default + Send + 'static {
    /// Octets of one sample.
    const OCTETS: usize;
    /// A sum of many.
    type Sum: Copy + Default + AddAssign + From<Self>;

    /// Reads as many samples as both sides have; octets that are no whole sample are left.
    fn read(octets: &[u8], out: &mut [Self]);

    /// A sum as a sample, saturated.
    fn saturated(sum: Self::Sum) -> Self;
}

impl PcmSample for i16 {
    const OCTETS: usize = 2;
    type Sum = i32;

    fn read(octets: &[u8], out: &mut [Self]) {
        for (to, &from) in out.iter_mut().zip(octets.as_chunks().0) {
            *to = Self::from_le_bytes(from);
        }
    }

    #[inline(always)]
    fn saturated(sum: i32) -> Self {
        sum.clamp(Self::MIN.into(), Self::MAX.into()) as Self
    }
}

impl PcmSample for f32 {
    const OCTETS: usize = 4;
    type Sum = f64;

    fn read(octets: &[u8], out: &mut [Self]) {
        for (to, &from) in out.iter_mut().zip(octets.as_chunks().0) {
            *to = Self::from_le_bytes(from);
        }
    }

    /// A NaN stays one.
    #[inline(always)]
    fn saturated(sum: f64) -> Self {
        (sum as Self).clamp(-1.0, 1.0)
    }
}

/// 16-bit samples over 32768, exactly; returns the samples written.
///
/// # Errors
/// [`Error::OutputTooSmall`] if `out` is shorter than `pcm`; nothing is written then.
pub fn to_float32_into(pcm: &[i16], out: &mut [f32]) -> Result<usize> {
    map_into(pcm, out, |sample| f32::from(sample) * (1.0 / FULL_SCALE))
}

/// Float samples times 32768, rounded and saturated; NaN becomes 0. Returns the samples written.
///
/// # Errors
/// [`Error::OutputTooSmall`] if `out` is shorter than `samples`; nothing is written then.
pub fn to_int16_into(samples: &[f32], out: &mut [i16]) -> Result<usize> {
    map_into(samples, out, |sample| {
        let sample = if sample.is_nan() { 0.0 } else { sample };
        let scaled = (sample * FULL_SCALE).clamp(-FULL_SCALE, FULL_SCALE - 1.0);
        (scaled + ROUNDER).to_bits() as i16
    })
}

/// The factor of a gain in decibels.
///
/// # Errors
/// As [`check_factor`], for what no factor expresses.
pub fn factor_of_decibels(decibels: f64) -> Result<f64> {
    let factor = 10_f64.powf(decibels / 20.0);
    check(factor, decibels, "db", "decibels of a finite factor")
}

/// A factor that [`gain_i16_into`] and [`gain_f32_into`] take.
///
/// # Errors
/// [`Error::Parameter`] for one that is not finite.
pub fn check_factor(factor: f64) -> Result<f64> {
    check(factor, factor, "factor", "a finite number")
}

fn check(factor: f64, given: f64, what: &'static str, expected: &'static str) -> Result<f64> {
    if factor.is_finite() {
        return Ok(factor);
    }
    Err(Error::Parameter { what, expected, got: given.to_string() })
}

/// 16-bit samples times `factor`, rounded and saturated; returns the samples written.
///
/// # Errors
/// [`Error::Parameter`] for a factor that is not finite, [`Error::OutputTooSmall`] if `out` is shorter
/// than `pcm`; nothing is written then.
pub fn gain_i16_into(pcm: &[i16], factor: f64, out: &mut [i16]) -> Result<usize> {
    let factor = check_factor(factor)?;
    let (low, high) = (f64::from(i16::MIN), f64::from(i16::MAX));
    map_into(pcm, out, |sample| {
        let scaled = (f64::from(sample) * factor).clamp(low, high);
        (scaled + WIDE_ROUNDER).to_bits() as i16
    })
}

/// Float samples times `factor`, not clipped; returns the samples written.
///
/// # Errors
/// As [`gain_i16_into`].
pub fn gain_f32_into(samples: &[f32], factor: f64, out: &mut [f32]) -> Result<usize> {
    let factor = check_factor(factor)?;
    map_into(samples, out, |sample| (f64::from(sample) * factor) as f32)
}

#[inline(always)]
fn map_into<I: Copy, O>(samples: &[I], out: &mut [O], each: impl Fn(I) -> O) -> Result<usize> {
    let (needed, got) = (samples.len(), out.len());
    let out = out.get_mut(..needed).ok_or(Error::OutputTooSmall { needed, got })?;
    for (to, &sample) in out.iter_mut().zip(samples) {
        *to = each(sample);
    }
    Ok(needed)
}

/// The saturated sum of mono streams, each given as little-endian octets; returns the samples written,
/// which are those of the longest. A shorter one ends in silence.
///
/// Sums are taken in the order of the streams, in 32-bit integers or double precision, and saturated
/// once: to [-1, 1] for floats.
///
/// # Errors
/// [`Error::Parameter`] for more than [`MAX_STREAMS`], [`Error::PartialFrame`] for octets that are no
/// whole samples, [`Error::OutputTooSmall`] for an `out` shorter than the longest; nothing is written then.
pub fn mix_into<T: PcmSample>(streams: &[&[u8]], out: &mut [T]) -> Result<usize> {
    let needed = mixed_samples::<T>(streams)?;
    let got = out.len();
    let out = out.get_mut(..needed).ok_or(Error::OutputTooSmall { needed, got })?;
    let (mut samples, mut sums) = ([T::default(); BLOCK], [T::Sum::default(); BLOCK]);
    for (index, to) in out.chunks_mut(BLOCK).enumerate() {
        sums.fill(T::Sum::default());
        for stream in streams {
            let Some(octets) = stream.get(index * BLOCK * T::OCTETS..) else { continue };
            let count = to.len().min(octets.len() / T::OCTETS);
            T::read(octets, &mut samples[..count]);
            for (sum, &sample) in sums.iter_mut().zip(&samples[..count]) {
                *sum += sample.into();
            }
        }
        for (to, &sum) in to.iter_mut().zip(&sums) {
            *to = T::saturated(sum);
        }
    }
    Ok(needed)
}

/// The samples that [`mix_into`] writes for these streams.
///
/// # Errors
/// As [`mix_into`].
pub fn mixed_samples<T: PcmSample>(streams: &[&[u8]]) -> Result<usize> {
    if streams.len() > MAX_STREAMS {
        let got = format!("{} streams", streams.len());
        return Err(Error::Parameter { what: "streams", expected: "at most 65535", got });
    }
    if let Some(stream) = streams.iter().find(|stream| !stream.len().is_multiple_of(T::OCTETS)) {
        return Err(Error::PartialFrame { len: stream.len(), what: "bytes", unit: T::OCTETS });
    }
    Ok(streams.iter().map(|stream| stream.len() / T::OCTETS).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{MAX_STREAMS, gain_i16_into, mix_into, to_float32_into, to_int16_into};
    use crate::Error;

    #[test]
    fn every_16_bit_sample_survives_the_way_through_float() {
        let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let (mut floats, mut back) = (vec![0.0; 65_536], vec![0; 65_536]);
        to_float32_into(&samples, &mut floats).unwrap();
        to_int16_into(&floats, &mut back).unwrap();
        assert_eq!(back, samples);
        assert_eq!((floats[0], floats[65_535]), (-1.0, 32_767.0 / 32_768.0));
    }

    #[test]
    fn floats_round_to_even_and_saturate() {
        let halves = [0.5, 1.5, -0.5, -1.5, 32_766.5].map(|sample: f32| sample / 32_768.0);
        let mut out = [0; 5];
        to_int16_into(&halves, &mut out).unwrap();
        assert_eq!(out, [0, 2, 0, -2, 32_766]);
        to_int16_into(&[1.0, -1.1, f32::INFINITY, f32::MIN, f32::NAN], &mut out).unwrap();
        assert_eq!(out, [32_767, -32_768, 32_767, -32_768, 0]);
    }

    #[test]
    fn gain_rounds_and_saturates() {
        let mut out = [0; 4];
        gain_i16_into(&[1, 3, 30_000, -30_000], 0.5, &mut out).unwrap();
        assert_eq!(out, [0, 2, 15_000, -15_000]);
        gain_i16_into(&[1, 3, 30_000, -30_000], -1e300, &mut out).unwrap();
        assert_eq!(out, [-32_768, -32_768, -32_768, 32_767]);
        assert!(gain_i16_into(&[1], f64::NAN, &mut out).is_err());
        assert!(gain_i16_into(&[1], 1.0, &mut []).is_err());
    }

    #[test]
    fn mixing_saturates_once_at_the_end() {
        let loud = [30_000_i16, -30_000].map(i16::to_le_bytes).concat();
        let quiet = [-20_000_i16, 20_000, 7].map(i16::to_le_bytes).concat();
        let mut out = [1_i16; 4];
        assert_eq!(mix_into(&[&loud, &loud, &quiet], &mut out), Ok(3));
        assert_eq!(out, [32_767, -32_768, 7, 1]);
        assert_eq!(mix_into::<i16>(&[], &mut []), Ok(0));
        assert_eq!(
            mix_into(&[&loud], &mut out[..1]),
            Err(Error::OutputTooSmall { needed: 2, got: 1 })
        );
        assert!(mix_into(&[&loud[1..]], &mut out).is_err());
    }

    #[test]
    fn as_many_streams_as_are_let_in_do_not_overflow() {
        let lowest = i16::MIN.to_le_bytes();
        let mut out = [0_i16];
        assert_eq!(mix_into(&vec![&lowest[..]; MAX_STREAMS], &mut out), Ok(1));
        assert_eq!(out, [i16::MIN]);
        assert!(mix_into(&vec![&lowest[..]; MAX_STREAMS + 1], &mut out).is_err());
    }
}
