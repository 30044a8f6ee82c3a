//! PCM functions: int16 to float32 and back, gain, mixing, up-mix, silence.

use crate::buffers::{Input, Item, Items, Kernel, Kind, Output, Shape, run};
use crate::convert::{self, Channels};
use crate::errors::{Class, raise};
use crate::kernels::map;
use crate::limits;
use crate::resampler::Dtype;
use pyo3::prelude::*;
use std::borrow::Cow;
use voicecore::pcm::{self, PcmSample};
use voicecore::{Result, downmix};

// --- conversion ------------------------------------------------------------------------------------

/// Convert int16 to float32 in [-1, 1): each sample over 32768, exactly.
///
/// `pcm` is int16 of shape (frames,) or (frames, channels), or raw little-endian int16 bytes. Returns
/// float32 of the same shape, in `out` if given. Raises InvalidBufferError for anything else.
#[pyfunction]
#[pyo3(signature = (pcm, *, out = None))]
pub fn to_float32<'py>(
    pcm: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    map::<i16, f32>(pcm.py(), &Input::get(pcm, "pcm")?, out, pcm::to_float32_into)
}

/// Convert float32 to int16: times 32768, rounded to nearest (ties to even), saturated. NaN becomes 0.
///
/// `x` is float32 of shape (frames,) or (frames, channels), or raw little-endian float32 bytes. Returns
/// int16 of the same shape, in `out` if given. Raises InvalidBufferError for anything else.
#[pyfunction]
#[pyo3(signature = (x, *, out = None))]
pub fn to_int16<'py>(
    x: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    map::<f32, i16>(x.py(), &Input::get(x, "x")?, out, pcm::to_int16_into)
}

// --- gain ------------------------------------------------------------------------------------------

/// Scale by `factor`, or by `db` decibels: one of the two.
///
/// `x` is int16 or float32 of shape (frames,) or (frames, channels), or raw little-endian int16 bytes.
/// int16 is rounded to nearest (ties to even) and saturated; float32 is not clipped. Returns the input's
/// dtype and shape, in `out` if given. Raises InvalidBufferError for a wrong buffer, FormatError for a
/// factor that is not finite, ConfigurationError for both or neither. `db=-inf` is silence.
#[pyfunction]
#[pyo3(signature = (x, factor = None, *, db = None, out = None))]
pub fn gain<'py>(
    x: &Bound<'py, PyAny>,
    factor: Option<f64>,
    db: Option<f64>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let factor = match (factor, db) {
        (Some(factor), None) => pcm::check_factor(factor),
        (None, Some(db)) => pcm::factor_of_decibels(db),
        (both, _) => {
            let got = if both.is_some() { "both" } else { "neither" };
            let message = format!("gain: expected factor or db, got {got}");
            return Err(Class::Configuration.error(py, message));
        }
    };
    let factor = factor.map_err(|error| raise(py, error))?;
    let input = Input::get(x, "x")?;
    match input.kind() {
        Kind::F32 => map(py, &input, out, move |x: &[f32], out: &mut [f32]| {
            pcm::gain_f32_into(x, factor, out)
        }),
        _ => map(py, &input, out, move |x: &[i16], out: &mut [i16]| {
            pcm::gain_i16_into(x, factor, out)
        }),
    }
}

// --- mixing ----------------------------------------------------------------------------------------

/// Mix mono streams: their sum, saturated once at the end.
///
/// `streams` is a sequence of at least one, each int16 of shape (frames,) or raw little-endian int16
/// bytes, or all of them float32. A shorter one ends in silence. float32 is summed in double precision
/// and saturated to [-1, 1]. Returns shape (frames,) of the longest, in `out` if given. Raises
/// InvalidBufferError for a wrong buffer, for int16 and float32 together, or for no stream at all.
#[pyfunction]
#[pyo3(signature = (streams, *, out = None))]
pub fn mix<'py>(
    py: Python<'py>,
    streams: Vec<Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let inputs: Vec<_> =
        streams.iter().map(|stream| Input::get(stream, "streams")).collect::<PyResult<_>>()?;
    match inputs.first().map(Input::kind) {
        Some(Kind::F32) => mix_as::<f32>(py, &inputs, out),
        Some(_) => mix_as::<i16>(py, &inputs, out),
        None => {
            let message = "streams: expected at least one, got none";
            Err(Class::InvalidBuffer.error(py, message))
        }
    }
}

fn mix_as<'py, T: Item + PcmSample>(
    py: Python<'py>,
    inputs: &[Input<'_>],
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    for input in inputs {
        input.check_channels(1)?;
        // Bytes are int16 wherever they may be one or the other.
        if T::KIND == Kind::F32 && input.kind() != Kind::F32 {
            return Err(input.refuse("float32, as the first one is"));
        }
        input.items::<T>()?;
    }
    let heavy = inputs.iter().map(Input::bytes).sum::<usize>() >= limits::MIX_BYTES;
    let octets: Vec<Cow<'_, [u8]>> = inputs.iter().map(|input| input.octets(heavy)).collect();
    let streams: Vec<&[u8]> = octets.iter().map(|octets| &**octets).collect();
    let samples = pcm::mixed_samples::<T>(&streams).map_err(|error| raise(py, error))?;
    let mut output = Output::<T>::exact(py, out, Shape::flat(samples), 0..0)?;
    for input in inputs {
        output.check_apart(input.addresses())?;
    }
    let frames = output.fill(py, heavy, |out| pcm::mix_into(&streams, out));
    output.finish(py, frames.map_err(|error| raise(py, error))?)
}

// --- up-mix ----------------------------------------------------------------------------------------

/// Copy a mono signal to every one of `channels`.
///
/// `mono` is int16 or float32 of shape (frames,), or raw little-endian int16 bytes. Returns shape
/// (frames, channels), or (frames,) for one channel, of the input's dtype, in `out` if given. Raises
/// InvalidBufferError for a wrong buffer, FormatError for a channel count outside 1 to 64.
#[pyfunction]
#[pyo3(signature = (mono, channels = Channels(2), *, out = None))]
#[pyo3(text_signature = "(mono, channels=2, *, out=None)")]
pub fn upmix<'py>(
    mono: &Bound<'py, PyAny>,
    channels: Channels,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Channels(channels) = channels;
    let input = Input::get(mono, "mono")?;
    input.check_channels(1)?;
    match input.kind() {
        Kind::F32 => upmix_as::<f32>(mono.py(), &input, channels, out, downmix::upmix_f32_into),
        _ => upmix_as::<i16>(mono.py(), &input, channels, out, downmix::upmix_i16_into),
    }
}

struct Upmix<T> {
    channels: usize,
    kernel: fn(&[T], usize, &mut [T]) -> Result<usize>,
}

fn upmix_as<'py, T: Item>(
    py: Python<'py>,
    input: &Input<'_>,
    channels: usize,
    out: Option<&Bound<'py, PyAny>>,
    kernel: fn(&[T], usize, &mut [T]) -> Result<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let items: Items<'_, '_, T> = input.items()?;
    let shape = Shape::of(items.len(), channels);
    let mut output = Output::<T>::exact(py, out, shape, input.addresses())?;
    let heavy = shape.items() >= limits::DOWNMIX_SAMPLES;
    run(py, &mut Upmix { channels, kernel }, &items, &mut output, heavy)
        .map_err(|error| raise(py, error))?;
    output.finish(py, shape.frames)
}

impl<T: Item> Kernel<T, T> for Upmix<T> {
    fn frame(&self) -> usize {
        1
    }

    fn output_len(&self, items: usize) -> usize {
        items * self.channels
    }

    fn run(&mut self, input: &[T], out: &mut [T]) -> Result<usize> {
        Ok((self.kernel)(input, self.channels, out)? * self.channels)
    }
}

// --- silence ---------------------------------------------------------------------------------------

/// Return `frames` frames of silence.
///
/// `dtype` is "int16" or "float32". Returns zeros of shape (frames,) for one channel, (frames, channels)
/// otherwise, in `out` if given. Raises FormatError for a number of frames below 0, a channel count
/// outside 1 to 64 or another dtype, InvalidBufferError for a wrong `out`.
#[pyfunction]
#[pyo3(signature = (frames, channels = Channels(1), dtype = Dtype(Kind::I16), *, out = None))]
#[pyo3(text_signature = "(frames, channels=1, dtype='int16', *, out=None)")]
pub fn silence<'py>(
    frames: &Bound<'py, PyAny>,
    channels: Channels,
    dtype: Dtype,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (Channels(channels), Dtype(kind)) = (channels, dtype);
    let count = frames.extract().map_err(|_| convert::refused(frames, "frames", "0 or more"))?;
    let shape = Shape::of(count, channels);
    match kind {
        Kind::F32 => silence_as::<f32>(frames.py(), shape, out),
        _ => silence_as::<i16>(frames.py(), shape, out),
    }
}

fn silence_as<'py, T: Item>(
    py: Python<'py>,
    shape: Shape,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut output = Output::<T>::exact(py, out, shape, 0..0)?;
    let heavy = shape.items() >= limits::COPY_BYTES;
    let frames = output.fill(py, heavy, |out| {
        out.fill(T::ZERO);
        Ok(shape.frames)
    });
    output.finish(py, frames.map_err(|error| raise(py, error))?)
}
