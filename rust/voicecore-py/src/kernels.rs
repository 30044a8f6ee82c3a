//! The stateless functions: G.711, downmix, one-shot resampling, base64.

use crate::buffers::{Input, Item, Items, Kernel, Kind, Output, Shape, run};
use crate::convert::{self, Channels};
use crate::errors::{Class, raise};
use crate::limits;
use crate::resampler::Streaming;
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;
use voicecore::format::MIN_SAMPLE_RATE;
use voicecore::resample::{Quality, Resampler, Sample, resampled_frames};
use voicecore::transcoder::{Samples, Transcoder};
use voicecore::{AudioFormat, Container, Encoding, Result, base64, downmix as mix, g711};

// --- G.711 -----------------------------------------------------------------------------------------

/// Encode PCM as mu-law (ITU-T G.711, exact to the reference code of G.191).
///
/// `pcm` is int16 or float32 of shape (frames,) or (frames, channels), or raw little-endian int16 bytes.
/// float32 is scaled by 32768, rounded to nearest and saturated. Returns uint8 of the same shape, in
/// `out` if given. Raises InvalidBufferError for a buffer that is none of these.
///
/// `voicecore.audioop.lin2ulaw` differs: it is audioop's own mu-law, one code off for 508 inputs.
#[pyfunction]
#[pyo3(signature = (pcm, *, out = None))]
pub fn encode_mulaw<'py>(
    pcm: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    encode(pcm, out, Encoding::Mulaw)
}

/// Decode mu-law (ITU-T G.711) to int16.
///
/// `data` is bytes or uint8 of any shape that `out` shares. Returns int16 of the same shape, in `out` if
/// given. Raises InvalidBufferError for anything else.
#[pyfunction]
#[pyo3(signature = (data, *, out = None))]
pub fn decode_mulaw<'py>(
    data: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    map::<u8, i16>(data.py(), &Input::get(data, "data")?, out, g711::decode_mulaw_into)
}

/// Encode PCM as A-law (ITU-T G.711, exact to the reference code of G.191).
///
/// `pcm` is int16 or float32 of shape (frames,) or (frames, channels), or raw little-endian int16 bytes.
/// float32 is scaled by 32768, rounded to nearest and saturated. Returns uint8 of the same shape, in
/// `out` if given. Raises InvalidBufferError for a buffer that is none of these.
#[pyfunction]
#[pyo3(signature = (pcm, *, out = None))]
pub fn encode_alaw<'py>(
    pcm: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    encode(pcm, out, Encoding::Alaw)
}

/// Decode A-law (ITU-T G.711) to int16.
///
/// `data` is bytes or uint8 of any shape that `out` shares. Returns int16 of the same shape, in `out` if
/// given. Raises InvalidBufferError for anything else.
#[pyfunction]
#[pyo3(signature = (data, *, out = None))]
pub fn decode_alaw<'py>(
    data: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    map::<u8, i16>(data.py(), &Input::get(data, "data")?, out, g711::decode_alaw_into)
}

fn encode<'py>(
    pcm: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
    law: Encoding,
) -> PyResult<Bound<'py, PyAny>> {
    let input = Input::get(pcm, "pcm")?;
    match (input.kind(), law) {
        (Kind::F32, _) => encode_floats(pcm.py(), &input, out, law),
        (_, Encoding::Alaw) => map::<i16, u8>(pcm.py(), &input, out, g711::encode_alaw_into),
        _ => map::<i16, u8>(pcm.py(), &input, out, g711::encode_mulaw_into),
    }
}

/// By the core's own way from float32 to a law, which is a transcoder's.
fn encode_floats<'py>(
    py: Python<'py>,
    input: &Input<'_>,
    out: Option<&Bound<'py, PyAny>>,
    law: Encoding,
) -> PyResult<Bound<'py, PyAny>> {
    let format = |encoding| AudioFormat::new(encoding, MIN_SAMPLE_RATE, 1, Container::Raw);
    let core = format(Encoding::PcmF32le)
        .and_then(|source| Transcoder::new(source, format(law)?, Quality::Voice))
        .map_err(|error| raise(py, error))?;
    let shape = input.items::<f32>()?.shape();
    let octets = input.octet_items();
    let mut output = Output::exact(py, out, shape, input.addresses())?;
    let heavy = octets.len() >= limits::TRANSCODE_BYTES;
    run(py, &mut Floats(core), &octets, &mut output, heavy).map_err(|error| raise(py, error))?;
    output.finish(py, shape.frames)
}

/// One code per float32.
struct Floats(Transcoder);

impl Kernel<u8, u8> for Floats {
    fn frame(&self) -> usize {
        size_of::<f32>()
    }

    fn output_len(&self, items: usize) -> usize {
        self.0.output_frames_max(items)
    }

    fn run(&mut self, input: &[u8], out: &mut [u8]) -> Result<usize> {
        self.0.process_into(input, Samples::U8(out))
    }
}

/// One output item per input item, in the input's shape.
pub fn map<'py, I: Item, O: Item>(
    py: Python<'py>,
    input: &Input<'_>,
    out: Option<&Bound<'py, PyAny>>,
    mut kernel: impl Kernel<I, O>,
) -> PyResult<Bound<'py, PyAny>> {
    let items: Items<'_, '_, I> = input.items()?;
    let shape = items.shape();
    let mut output = Output::<O>::exact(py, out, shape, input.addresses())?;
    let heavy = items.len() >= limits::G711_SAMPLES;
    run(py, &mut kernel, &items, &mut output, heavy).map_err(|error| raise(py, error))?;
    output.finish(py, shape.frames)
}

impl<I, O, F: FnMut(&[I], &mut [O]) -> Result<usize> + Send> Kernel<I, O> for F {
    fn frame(&self) -> usize {
        1
    }

    fn output_len(&self, items: usize) -> usize {
        items
    }

    fn run(&mut self, input: &[I], out: &mut [O]) -> Result<usize> {
        self(input, out)
    }
}

// --- downmix ---------------------------------------------------------------------------------------

/// Mix interleaved channels to mono: the mean of each frame.
///
/// `pcm` is int16 or float32 of shape (frames, channels) or flat and interleaved, or raw little-endian
/// int16 bytes. int16 means are floored: two channels are bit-equal to `audioop.tomono(x, 2, 0.5, 0.5)`.
/// Returns shape (frames,) of the input's dtype, in `out` if given. Raises InvalidBufferError for a wrong
/// dtype, width or partial frame, FormatError for a channel count outside 1 to 64.
#[pyfunction]
#[pyo3(signature = (pcm, channels = Channels(2), *, out = None))]
#[pyo3(text_signature = "(pcm, channels=2, *, out=None)")]
pub fn downmix<'py>(
    pcm: &Bound<'py, PyAny>,
    channels: Channels,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Channels(channels) = channels;
    let input = Input::get(pcm, "pcm")?;
    input.check_width(channels)?;
    match input.kind() {
        Kind::F32 => downmix_as::<f32>(pcm.py(), &input, channels, out, mix::downmix_f32_into),
        _ => downmix_as::<i16>(pcm.py(), &input, channels, out, mix::downmix_i16_into),
    }
}

struct Downmix<T> {
    channels: usize,
    kernel: fn(&[T], usize, &mut [T]) -> Result<usize>,
}

fn downmix_as<'py, T: Item>(
    py: Python<'py>,
    input: &Input<'_>,
    channels: usize,
    out: Option<&Bound<'py, PyAny>>,
    kernel: fn(&[T], usize, &mut [T]) -> Result<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let items: Items<'_, '_, T> = input.items()?;
    convert::check_whole_frames(py, items.len(), channels)?;
    let frames = items.len() / channels;
    let mut output = Output::<T>::exact(py, out, Shape::flat(frames), input.addresses())?;
    let heavy = items.len() >= limits::DOWNMIX_SAMPLES;
    run(py, &mut Downmix { channels, kernel }, &items, &mut output, heavy)
        .map_err(|error| raise(py, error))?;
    output.finish(py, frames)
}

impl<T: Item> Kernel<T, T> for Downmix<T> {
    fn frame(&self) -> usize {
        self.channels
    }

    fn output_len(&self, items: usize) -> usize {
        items / self.channels
    }

    fn run(&mut self, input: &[T], out: &mut [T]) -> Result<usize> {
        (self.kernel)(input, self.channels, out)
    }
}

// --- one-shot resampling ---------------------------------------------------------------------------

/// Resample a whole signal from `in_rate` to `out_rate` (Hz).
///
/// `x` is int16 or float32 of shape (frames,) or (frames, channels), or raw little-endian int16 bytes
/// (mono). Returns round(frames * out_rate / in_rate) frames of the same dtype and channels, aligned in
/// time with the input. `quality`: "hq", "voice" or "low_latency". Raises InvalidBufferError for a wrong
/// buffer, FormatError for a rate outside 4000 to 192000 Hz, a channel count over 64 or an unknown quality.
#[pyfunction]
#[pyo3(signature = (x, in_rate, out_rate, *, quality = "hq"))]
pub fn resample<'py>(
    x: &Bound<'py, PyAny>,
    in_rate: &Bound<'py, PyAny>,
    out_rate: &Bound<'py, PyAny>,
    quality: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let input = Input::get(x, "x")?;
    let rates =
        (convert::sample_rate(in_rate, "in_rate")?, convert::sample_rate(out_rate, "out_rate")?);
    let quality = convert::quality(py, quality)?;
    let resampler = Resampler::new(rates.0, rates.1, input.width(), quality)
        .map_err(|error| raise(py, error))?;
    match input.kind() {
        Kind::F32 => resample_as::<f32>(py, &input, resampler),
        _ => resample_as::<i16>(py, &input, resampler),
    }
}

fn resample_as<'py, S: Item + Sample>(
    py: Python<'py>,
    input: &Input<'_>,
    mut resampler: Resampler,
) -> PyResult<Bound<'py, PyAny>> {
    let items: Items<'_, '_, S> = input.items()?;
    let channels = resampler.channels();
    let frames = (items.len() / channels) as u64;
    let total = resampled_frames(frames, resampler.in_rate(), resampler.out_rate()) as usize;
    let shape = Shape { frames: total, ..items.shape() };
    let mut output = Output::<S>::fresh(py, shape)?;
    let mut kernel = Streaming::to_the_end(&mut resampler, items.len());
    let heavy = items.len() >= limits::RESAMPLE_SAMPLES;
    let written =
        run(py, &mut kernel, &items, &mut output, heavy).map_err(|error| raise(py, error))?;
    output.finish(py, written / channels)
}

// --- base64 ----------------------------------------------------------------------------------------

/// Decode strict base64 (RFC 4648 section 4: standard alphabet, padded, no white space).
///
/// `data` is str or any bytes-like object. Returns uint8 of shape (n,), in `out` if given. Raises
/// Base64Error with the exact `offset` of the first fault.
#[pyfunction]
#[pyo3(signature = (data, *, out = None))]
pub fn decode_base64<'py>(
    data: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    let input = base64_text(data)?;
    let heavy = input.bytes() >= limits::BASE64_BYTES;
    let text = input.octets(heavy);
    let decoded = base64::decoded_len(&text).map_err(|error| raise(py, error))?;
    let mut output = Output::<u8>::exact(py, out, Shape::flat(decoded), input.addresses())?;
    let written = output
        .fill(py, heavy, |out| base64::decode_into(&text, out))
        .map_err(|error| raise(py, error))?;
    output.finish(py, written)
}

/// Base64 text. A lone surrogate has no UTF-8, so it gets its offset here.
pub fn base64_text<'a>(data: &'a Bound<'_, PyAny>) -> PyResult<Input<'a>> {
    Input::text(data, "data").map_err(|error| {
        not_utf8(data.py(), &error).map_or(error, |offset| {
            let message = format!("invalid base64 at offset {offset}: not in the alphabet");
            Class::Base64.error_at(data.py(), message, offset)
        })
    })
}

/// Where a `str` stops being UTF-8, if that is what `error` is about.
pub fn not_utf8(py: Python<'_>, error: &PyErr) -> Option<usize> {
    let surrogate = error.is_instance_of::<PyUnicodeEncodeError>(py);
    surrogate.then(|| error.value(py).getattr("start")?.extract()).and_then(PyResult::ok)
}
