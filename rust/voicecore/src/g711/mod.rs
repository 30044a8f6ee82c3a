//! ITU-T G.711 mu-law and A-law, exact to the reference code of G.191, over whole buffers.
//!
//! [`scalar`] is the specification, one sample at a time. The other modules hold the same two loops
//! for each [`Level`](crate::simd::Level) and are bit-equal to it.

mod portable;
pub mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::simd::{self, Backend};
use crate::{Error, Result};

/// The two companding laws of G.711.
#[derive(Clone, Copy)]
enum Law {
    Mu,
    A,
}

/// Encodes 16-bit samples as mu-law; returns the codes written, one per sample.
///
/// # Errors
/// [`Error::OutputTooSmall`] if `out` is shorter than `pcm`; nothing is written then.
pub fn encode_mulaw_into(pcm: &[i16], out: &mut [u8]) -> Result<usize> {
    encode(Law::Mu, pcm, out)
}

/// Decodes mu-law to 16-bit samples; returns the samples written, one per code.
///
/// # Errors
/// [`Error::OutputTooSmall`] if `out` is shorter than `data`; nothing is written then.
pub fn decode_mulaw_into(data: &[u8], out: &mut [i16]) -> Result<usize> {
    decode(Law::Mu, data, out)
}

/// Encodes 16-bit samples as A-law; returns the codes written, one per sample.
///
/// # Errors
/// [`Error::OutputTooSmall`] if `out` is shorter than `pcm`; nothing is written then.
pub fn encode_alaw_into(pcm: &[i16], out: &mut [u8]) -> Result<usize> {
    encode(Law::A, pcm, out)
}

/// Decodes A-law to 16-bit samples; returns the samples written, one per code.
///
/// # Errors
/// [`Error::OutputTooSmall`] if `out` is shorter than `data`; nothing is written then.
pub fn decode_alaw_into(data: &[u8], out: &mut [i16]) -> Result<usize> {
    decode(Law::A, data, out)
}

fn encode(law: Law, pcm: &[i16], out: &mut [u8]) -> Result<usize> {
    let out = exact(pcm.len(), out)?;
    match simd::backend() {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512(cpu) => avx512::encode(cpu, law, pcm, out),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2(cpu) => avx2::encode(cpu, law, pcm, out),
        Backend::Portable => portable::encode(law, pcm, out),
    }
    Ok(pcm.len())
}

fn decode(law: Law, data: &[u8], out: &mut [i16]) -> Result<usize> {
    let out = exact(data.len(), out)?;
    match simd::backend() {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512(cpu) => avx512::decode(cpu, law, data, out),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2(cpu) => avx2::decode(cpu, law, data, out),
        Backend::Portable => portable::decode(law, data, out),
    }
    Ok(data.len())
}

/// The part of `out` that is written: one item per input item.
#[inline]
fn exact<T>(needed: usize, out: &mut [T]) -> Result<&mut [T]> {
    let got = out.len();
    out.get_mut(..needed).ok_or(Error::OutputTooSmall { needed, got })
}
