//! `Framer`: chunks of any size in, frames of one size out.

use crate::buffers::{Input, Item, Kind, Output, Shape};
use crate::convert::{self, Channels};
use crate::errors::{Class, raise};
use crate::exclusive::Exclusive;
use crate::limits;
use crate::resampler::Dtype;
use pyo3::prelude::*;
use voicecore::framer::{Framer as Core, samples_of_duration};
use voicecore::pcm::PcmSample;

const NAME: &str = "Framer";

/// A stream that is cut into frames of one size; what is left over waits for the next chunk.
///
/// The size is `frame_samples` per channel, or `duration` seconds at `sample_rate` Hz, which must be a
/// whole number of samples. `dtype` is "int16" or "float32".
///
/// Raises FormatError for a size outside 1 to 1048576 samples, a rate outside 4000 to 192000 Hz, a
/// channel count outside 1 to 64 or another dtype; ConfigurationError for a size that is given twice or
/// not at all. One thread at a time: StateError for a call while another runs.
#[pyclass(frozen, module = "voicecore.codec")]
pub struct Framer {
    core: Cores,
    frame_samples: usize,
    channels: usize,
}

enum Cores {
    I16(Exclusive<Core<i16>>),
    F32(Exclusive<Core<f32>>),
}

/// The same for either dtype.
macro_rules! by_dtype {
    ($framer:expr, $core:ident => $result:expr) => {
        match &$framer.core {
            Cores::I16($core) => $result,
            Cores::F32($core) => $result,
        }
    };
}

#[pymethods]
impl Framer {
    #[new]
    #[pyo3(signature = (
        frame_samples = None, *, duration = None, sample_rate = None, channels = Channels(1),
        dtype = Dtype(Kind::I16)
    ))]
    #[pyo3(
        text_signature = "(frame_samples=None, *, duration=None, sample_rate=None, channels=1, \
                             dtype='int16')"
    )]
    fn new(
        py: Python<'_>,
        frame_samples: Option<&Bound<'_, PyAny>>,
        duration: Option<f64>,
        sample_rate: Option<&Bound<'_, PyAny>>,
        channels: Channels,
        dtype: Dtype,
    ) -> PyResult<Self> {
        let (Channels(channels), Dtype(kind)) = (channels, dtype);
        let frame_samples = match (frame_samples, duration, sample_rate) {
            (Some(given), None, None) => given
                .extract()
                .map_err(|_| convert::refused(given, "frame_samples", "1 to 1048576"))?,
            (None, Some(duration), Some(rate)) => {
                samples_of_duration(duration, convert::sample_rate(rate, "sample_rate")?)
                    .map_err(|error| raise(py, error))?
            }
            _ => {
                let message = "Framer: expected frame_samples, or duration and sample_rate";
                return Err(Class::Configuration.error(py, message));
            }
        };
        let core = match kind {
            Kind::F32 => Core::new(frame_samples, channels).map(Exclusive::new).map(Cores::F32),
            _ => Core::new(frame_samples, channels).map(Exclusive::new).map(Cores::I16),
        };
        let core = core.map_err(|error| raise(py, error))?;
        Ok(Self { core, frame_samples, channels })
    }

    /// Take the next chunk; returns the frames that are complete.
    ///
    /// `x` has this framer's dtype and shape (n,) for mono, (n, channels) otherwise, or is its raw
    /// little-endian bytes, interleaved and cut anywhere. Returns shape (count, frame_samples) for mono,
    /// (count, frame_samples, channels) otherwise, so that iterating gives frames; count may be 0. `out`
    /// has shape (count, frame_samples * channels) or is flat. Raises InvalidBufferError for another buffer
    /// or an `out` that is too small; nothing was consumed then.
    #[pyo3(signature = (x, *, out = None))]
    fn process<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        by_dtype!(self, core => self.process_as(core, x, out))
    }

    /// End the stream: returns what is left, less than a frame, of shape (n,) or (n, channels).
    ///
    /// With `pad`, silence is added to make it a whole frame; n is 0 if nothing is left. Bytes of an
    /// incomplete last sample are dropped and counted in `dangling_bytes`. The next `process` begins a new
    /// stream.
    #[pyo3(signature = (pad = false))]
    fn flush<'py>(&self, py: Python<'py>, pad: bool) -> PyResult<Bound<'py, PyAny>> {
        by_dtype!(self, core => self.flush_as(core, py, pad))
    }

    /// Forget everything that was processed. The next `process` begins a new stream.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        by_dtype!(self, core => core.lock(py, NAME)?.reset());
        Ok(())
    }

    /// Samples per channel of a frame.
    #[getter]
    fn frame_samples(&self) -> usize {
        self.frame_samples
    }

    /// Channels of the input and the output.
    #[getter]
    fn channels(&self) -> usize {
        self.channels
    }

    /// "int16" or "float32".
    #[getter]
    fn dtype(&self) -> &'static str {
        match self.core {
            Cores::I16(_) => Kind::I16.name(),
            Cores::F32(_) => Kind::F32.name(),
        }
    }

    /// Bytes of incomplete samples that `flush` dropped so far.
    #[getter]
    fn dangling_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(by_dtype!(self, core => core.lock(py, NAME)?.dangling_bytes()))
    }

    fn __repr__(&self) -> String {
        let (samples, channels, dtype) = (self.frame_samples, self.channels, self.dtype());
        format!("Framer({samples}, channels={channels}, dtype='{dtype}')")
    }
}

impl Framer {
    fn process_as<'py, T: Item + PcmSample>(
        &self,
        core: &Exclusive<Core<T>>,
        x: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = x.py();
        let input = Input::get(x, "x")?;
        if input.kind() != Kind::Bytes {
            input.items::<T>()?;
        }
        input.check_channels(self.channels)?;
        let mut guard = core.lock(py, NAME)?;
        let core = &mut *guard; // a guard cannot leave its thread, so closures get the core itself
        let shape =
            Shape { frames: core.frames(input.bytes()), channels: Some(core.frame_items()) };
        let mut output = Output::<T>::exact(py, out, shape, input.addresses())?;
        let heavy = input.bytes() >= limits::COPY_BYTES;
        let octets = input.octets(heavy);
        output
            .fill(py, heavy, |out| core.process_into(&octets, out))
            .map_err(|error| raise(py, error))?;
        let frames = output.finish(py, shape.frames)?;
        if self.channels == 1 {
            return Ok(frames);
        }
        frames.call_method1("reshape", (shape.frames, self.frame_samples, self.channels))
    }

    fn flush_as<'py, T: Item + PcmSample>(
        &self,
        core: &Exclusive<Core<T>>,
        py: Python<'py>,
        pad: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut guard = core.lock(py, NAME)?;
        let core = &mut *guard;
        let shape = Shape::of(core.flush_samples(pad), self.channels);
        let mut output = Output::<T>::fresh(py, shape)?;
        let samples = output.fill(py, false, |out| core.flush_into(pad, out));
        output.finish(py, samples.map_err(|error| raise(py, error))?)
    }
}
