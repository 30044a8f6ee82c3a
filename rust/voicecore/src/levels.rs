//! How loud samples are: root of the mean square, peak, and dBFS.
//!
//! In units of full scale: 32768 for `i16`, 1.0 for `f32`. Samples are given as little-endian octets, so
//! that alignment never matters; octets that are no whole sample are left out. Silence is 0.

use crate::audioop::exact_squares;

/// Full scale of 16-bit samples.
const FULL_SCALE: f64 = 32_768.0;
/// Sums that grow side by side, so that the loop vectorises in an order that is fixed.
const LANES: usize = 8;

/// The root of the mean square of 16-bit samples: their sum of squares is exact.
pub fn rms_i16(octets: &[u8]) -> f64 {
    let count = octets.len() / 2;
    if count == 0 {
        return 0.0;
    }
    (exact_squares::<2>(octets) as f64 / count as f64).sqrt() / FULL_SCALE
}

/// The root of the mean square of float samples, summed in double precision; NaN for one NaN.
pub fn rms_f32(octets: &[u8]) -> f64 {
    let samples = octets.as_chunks().0;
    if samples.is_empty() {
        return 0.0;
    }
    let square = |&octets: &[u8; 4]| f64::from(f32::from_le_bytes(octets)).powi(2);
    let (groups, rest) = samples.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for group in groups {
        for (sum, sample) in sums.iter_mut().zip(group) {
            *sum += square(sample);
        }
    }
    let sum = sums.iter().sum::<f64>() + rest.iter().map(square).sum::<f64>();
    (sum / samples.len() as f64).sqrt()
}

/// The largest magnitude of 16-bit samples.
pub fn peak_i16(octets: &[u8]) -> f64 {
    let (mut low, mut high) = (0_i16, 0_i16);
    for &octets in octets.as_chunks().0 {
        let sample = i16::from_le_bytes(octets);
        (low, high) = (low.min(sample), high.max(sample));
    }
    f64::from(low.unsigned_abs().max(high.unsigned_abs())) / FULL_SCALE
}

/// The largest magnitude of float samples; NaN for one NaN.
pub fn peak_f32(octets: &[u8]) -> f64 {
    // Without their sign, floats are ordered as their bits are, and a NaN is above all.
    let magnitude = |&octets: &[u8; 4]| u32::from_le_bytes(octets) & !(1 << 31);
    let peak = octets.as_chunks().0.iter().map(magnitude).max().unwrap_or(0);
    f64::from(f32::from_bits(peak))
}

/// A level in decibels: 0 for full scale, so for a full-scale square wave; -3.01 for a full-scale sine.
pub fn decibels(level: f64) -> f64 {
    20.0 * level.log10()
}

#[cfg(test)]
mod tests {
    use super::{decibels, peak_f32, peak_i16, rms_f32, rms_i16};

    fn octets(samples: &[f32]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[test]
    fn full_scale_is_one_and_zero_decibels() {
        let square = [i16::MIN; 100].map(i16::to_le_bytes).concat();
        assert_eq!((rms_i16(&square), peak_i16(&square)), (1.0, 1.0));
        assert_eq!(decibels(rms_f32(&octets(&[1.0, -1.0, 1.0]))), 0.0);
    }

    #[test]
    fn silence_and_nothing_are_zero() {
        for silence in [&[][..], &[0; 4], &[0; 400]] {
            let levels = [rms_i16(silence), rms_f32(silence), peak_i16(silence), peak_f32(silence)];
            assert_eq!(levels, [0.0; 4]);
        }
        assert_eq!(decibels(0.0), f64::NEG_INFINITY);
    }

    #[test]
    fn a_nan_is_not_hidden() {
        for at in 0..20 {
            let mut samples = [0.5; 20];
            samples[at] = f32::NAN;
            assert!(rms_f32(&octets(&samples)).is_nan());
            assert!(peak_f32(&octets(&samples)).is_nan());
        }
        assert_eq!(peak_f32(&octets(&[1.0, f32::NEG_INFINITY])), f64::INFINITY);
    }
}
