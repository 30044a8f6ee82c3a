//! Levels: root of the mean square, peak, dBFS.

use crate::buffers::{Input, Kind};
use crate::limits;
use pyo3::prelude::*;
use voicecore::levels;

/// Return the root of the mean square over all samples, 1.0 for full scale (32768 for int16).
///
/// `x` is int16 or float32 of shape (frames,) or (frames, channels), all channels together, or raw
/// little-endian int16 bytes. 0.0 for silence and for no samples, NaN if a sample is. Raises
/// InvalidBufferError for anything else.
#[pyfunction]
pub fn rms(x: &Bound<'_, PyAny>) -> PyResult<f64> {
    measure(x, levels::rms_i16, levels::rms_f32)
}

/// Return the largest magnitude of all samples, 1.0 for full scale (32768 for int16).
///
/// `x` is int16 or float32 of shape (frames,) or (frames, channels), all channels together, or raw
/// little-endian int16 bytes. 0.0 for silence and for no samples, NaN if a sample is. Raises
/// InvalidBufferError for anything else.
#[pyfunction]
pub fn peak(x: &Bound<'_, PyAny>) -> PyResult<f64> {
    measure(x, levels::peak_i16, levels::peak_f32)
}

/// Return the level in dBFS: 20 * log10(rms(x)).
///
/// 0 dBFS is a full-scale square wave, so a full-scale sine has -3.01. -inf for silence and for no
/// samples. `x` and errors as in `rms`.
#[pyfunction]
pub fn dbfs(x: &Bound<'_, PyAny>) -> PyResult<f64> {
    rms(x).map(levels::decibels)
}

fn measure(
    x: &Bound<'_, PyAny>,
    int16: fn(&[u8]) -> f64,
    float32: fn(&[u8]) -> f64,
) -> PyResult<f64> {
    let input = Input::get(x, "x")?;
    let kernel = if input.kind() == Kind::F32 {
        input.items::<f32>()?;
        float32
    } else {
        input.items::<i16>()?;
        int16
    };
    let heavy = input.bytes() >= limits::LEVEL_BYTES;
    let octets = input.octets(heavy);
    Ok(if heavy { x.py().detach(|| kernel(&octets)) } else { kernel(&octets) })
}
