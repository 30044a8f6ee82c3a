//! Many channels to one and one to many, on interleaved frames.
//!
//! Downmixing is the plain mean. For 16-bit samples it is floored, so that two channels are
//! bit-equal to `audioop.tomono(x, 2, 0.5, 0.5)`.

use crate::format::check_channels;
use crate::{Error, Result};

/// Interleaved 16-bit frames to their floored mean; returns the frames written.
///
/// # Errors
/// [`Error::Parameter`] for a channel count outside 1..=64, [`Error::PartialFrame`] for a length that
/// is no multiple of it, [`Error::OutputTooSmall`] for an `out` with less than one sample per frame.
pub fn downmix_i16_into(frames: &[i16], channels: usize, out: &mut [i16]) -> Result<usize> {
    let out = mono_target(frames, channels, out)?;
    match channels {
        1 => out.copy_from_slice(frames),
        2 => per_frame::<2, _>(frames, out, |[left, right]| {
            ((i32::from(left) + i32::from(right)) >> 1) as i16
        }),
        _ => per_frames(frames, channels, out, |frame| {
            // At most 64 channels of 16 bits: the sum fits, and a mean fits what it is a mean of.
            let sum: i32 = frame.iter().copied().map(i32::from).sum();
            sum.div_euclid(channels as i32) as i16
        }),
    }
    Ok(out.len())
}

/// Interleaved float frames to their mean; returns the frames written.
///
/// # Errors
/// As [`downmix_i16_into`].
pub fn downmix_f32_into(frames: &[f32], channels: usize, out: &mut [f32]) -> Result<usize> {
    let out = mono_target(frames, channels, out)?;
    match channels {
        1 => out.copy_from_slice(frames),
        // Halved before the sum, so that two huge samples cannot overflow.
        2 => per_frame::<2, _>(frames, out, |[left, right]| 0.5 * left + 0.5 * right),
        _ => per_frames(frames, channels, out, |frame| {
            let sum: f64 = frame.iter().copied().map(f64::from).sum();
            (sum / channels as f64) as f32
        }),
    }
    Ok(out.len())
}

/// Copies each 16-bit sample to every channel of its frame; returns the frames written.
///
/// # Errors
/// [`Error::Parameter`] for a channel count outside 1..=64, [`Error::OutputTooSmall`] for an `out` with
/// less than `mono.len() * channels` samples.
pub fn upmix_i16_into(mono: &[i16], channels: usize, out: &mut [i16]) -> Result<usize> {
    upmix_into(mono, channels, out)
}

/// Copies each float sample to every channel of its frame; returns the frames written.
///
/// # Errors
/// As [`upmix_i16_into`].
pub fn upmix_f32_into(mono: &[f32], channels: usize, out: &mut [f32]) -> Result<usize> {
    upmix_into(mono, channels, out)
}

fn upmix_into<T: Copy>(mono: &[T], channels: usize, out: &mut [T]) -> Result<usize> {
    check_channels(channels)?;
    let needed = mono.len().saturating_mul(channels);
    let got = out.len();
    let out = out.get_mut(..needed).ok_or(Error::OutputTooSmall { needed, got })?;
    match channels {
        1 => out.copy_from_slice(mono),
        2 => {
            for (frame, &sample) in out.as_chunks_mut::<2>().0.iter_mut().zip(mono) {
                *frame = [sample; 2];
            }
        }
        _ => {
            for (frame, &sample) in out.chunks_exact_mut(channels).zip(mono) {
                frame.fill(sample);
            }
        }
    }
    Ok(mono.len())
}

/// Checks everything, and cuts `out` to one sample per frame.
fn mono_target<'a, T>(frames: &[T], channels: usize, out: &'a mut [T]) -> Result<&'a mut [T]> {
    check_channels(channels)?;
    let len = frames.len();
    if !len.is_multiple_of(channels) {
        return Err(Error::PartialFrame { len, what: "samples", unit: channels });
    }
    let needed = len / channels;
    let got = out.len();
    out.get_mut(..needed).ok_or(Error::OutputTooSmall { needed, got })
}

/// A channel count that the compiler knows, so that the loop vectorises.
#[inline(always)]
fn per_frame<const N: usize, T: Copy>(frames: &[T], out: &mut [T], mix: impl Fn([T; N]) -> T) {
    for (to, &frame) in out.iter_mut().zip(frames.as_chunks::<N>().0) {
        *to = mix(frame);
    }
}

fn per_frames<T>(frames: &[T], channels: usize, out: &mut [T], mix: impl Fn(&[T]) -> T) {
    for (to, frame) in out.iter_mut().zip(frames.chunks_exact(channels)) {
        *to = mix(frame);
    }
}
