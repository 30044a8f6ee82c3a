//! Many channels to one and one to many, on interleaved frames.
//!
//! Downmixing is the plain mean. For 16-bit samples it is floored, so that two channels are
//! bit-equal to `audioop.tomono(x, 2, 0.5, 0.5)`.

mod portable;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::format::check_channels;
use crate::simd::{self, Backend};
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
        2 => stereo_i16(frames, out),
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
        2 => stereo_f32(frames, out),
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
        2 => portable::twice(mono, out),
        _ => {
            for (frame, &sample) in out.chunks_exact_mut(channels).zip(mono) {
                frame.fill(sample);
            }
        }
    }
    Ok(mono.len())
}

fn stereo_i16(frames: &[i16], out: &mut [i16]) {
    match simd::backend() {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512(cpu) => avx512::stereo_i16(cpu, frames, out),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2(cpu) => avx2::stereo_i16(cpu, frames, out),
        Backend::Portable => portable::stereo_i16(frames, out),
    }
}

fn stereo_f32(frames: &[f32], out: &mut [f32]) {
    match simd::backend() {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512(cpu) => avx512::stereo_f32(cpu, frames, out),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2(cpu) => avx2::stereo_f32(cpu, frames, out),
        Backend::Portable => portable::stereo_f32(frames, out),
    }
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

fn per_frames<T>(frames: &[T], channels: usize, out: &mut [T], mix: impl Fn(&[T]) -> T) {
    for (to, frame) in out.iter_mut().zip(frames.chunks_exact(channels)) {
        *to = mix(frame);
    }
}
