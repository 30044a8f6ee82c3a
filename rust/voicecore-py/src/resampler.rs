//! `Resampler`: streaming conversion of the sample rate.

use crate::buffers::{Input, Item, Kernel, Kind, Output, Shape, run};
use crate::convert::{self, Channels};
use crate::errors::raise;
use crate::exclusive::Exclusive;
use crate::limits;
use numpy::{Element, PyArrayDescr, PyArrayDescrMethods};
use pyo3::prelude::*;
use voicecore::Result;
use voicecore::resample::{Resampler as Core, Sample};

const NAME: &str = "Resampler";

/// A stream that changes its sample rate from `in_rate` to `out_rate` (Hz), chunk by chunk.
///
/// The output does not depend on how the input is cut into chunks. `process` and `flush` together give
/// round(n * out_rate / in_rate) frames, aligned in time with the input. `dtype` is "int16" or "float32"
/// (in [-1, 1]) for input and output alike. `quality`: "hq" (soxr HQ class), "voice" or "low_latency".
///
/// Raises FormatError for a rate outside 4000 to 192000 Hz, a channel count outside 1 to 64, an unknown
/// dtype or quality. One thread at a time: StateError for a call while another runs.
#[pyclass(frozen, module = "voicecore.codec")]
pub struct Resampler {
    core: Exclusive<Core>,
    /// `Kind::Bytes` never.
    kind: Kind,
    in_rate: u32,
    out_rate: u32,
    channels: usize,
    latency: f64,
}

#[pymethods]
impl Resampler {
    #[new]
    #[pyo3(signature = (
        in_rate, out_rate, *, channels = Channels(1), dtype = Dtype(Kind::I16), quality = "hq"
    ))]
    #[pyo3(text_signature = "(in_rate, out_rate, *, channels=1, dtype='int16', quality='hq')")]
    fn new(
        py: Python<'_>,
        in_rate: &Bound<'_, PyAny>,
        out_rate: &Bound<'_, PyAny>,
        channels: Channels,
        dtype: Dtype,
        quality: &str,
    ) -> PyResult<Self> {
        let in_rate = convert::sample_rate(in_rate, "in_rate")?;
        let out_rate = convert::sample_rate(out_rate, "out_rate")?;
        let (Channels(channels), Dtype(kind)) = (channels, dtype);
        let core = Core::new(in_rate, out_rate, channels, convert::quality(py, quality)?)
            .map_err(|error| raise(py, error))?;
        let latency = core.latency();
        Ok(Self { core: Exclusive::new(core), kind, in_rate, out_rate, channels, latency })
    }

    /// Resample the next chunk.
    ///
    /// `x` has this resampler's dtype and shape (frames,) for mono, (frames, channels) otherwise, or is
    /// its raw little-endian bytes, interleaved. Returns the frames that are ready, in the same layout, in
    /// `out` if given. Raises InvalidBufferError for another buffer or an `out` that is too small; nothing
    /// was consumed then.
    #[pyo3(signature = (x, *, out = None))]
    fn process<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.kind {
            Kind::F32 => self.process_as::<f32>(x, out),
            _ => self.process_as::<i16>(x, out),
        }
    }

    /// End the stream: returns its last frames, which the filter still held.
    ///
    /// The next `process` begins a new stream.
    fn flush<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.kind {
            Kind::F32 => self.flush_as::<f32>(py),
            _ => self.flush_as::<i16>(py),
        }
    }

    /// Forget everything that was processed. The next `process` begins a new stream.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.core.lock(py, NAME)?.reset();
        Ok(())
    }

    /// Seconds from a frame's arrival to its appearance in the output; constant.
    #[getter]
    fn latency(&self) -> f64 {
        self.latency
    }

    /// Sample rate of the input, in Hz.
    #[getter]
    fn in_rate(&self) -> u32 {
        self.in_rate
    }

    /// Sample rate of the output, in Hz.
    #[getter]
    fn out_rate(&self) -> u32 {
        self.out_rate
    }

    /// Channels of the input and the output.
    #[getter]
    fn channels(&self) -> usize {
        self.channels
    }

    /// "int16" or "float32".
    #[getter]
    fn dtype(&self) -> &'static str {
        self.kind.name()
    }

    fn __repr__(&self) -> String {
        let (from, to, channels, dtype) =
            (self.in_rate, self.out_rate, self.channels, self.kind.name());
        format!("Resampler({from}, {to}, channels={channels}, dtype='{dtype}')")
    }
}

impl Resampler {
    fn process_as<'py, S: Item + Sample>(
        &self,
        x: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = x.py();
        let input = Input::get(x, "x")?;
        let items = input.items::<S>()?;
        input.check_channels(self.channels)?;
        convert::check_whole_frames(py, items.len(), self.channels)?;
        let mut core = self.core.lock(py, NAME)?;
        let shape = Shape::of(core.output_frames(items.len() / self.channels), self.channels);
        let mut output = Output::<S>::exact(py, out, shape, input.addresses())?;
        let heavy = items.len() >= limits::RESAMPLE_SAMPLES;
        run(py, &mut Streaming::onwards(&mut core), &items, &mut output, heavy)
            .map_err(|error| raise(py, error))?;
        output.finish(py, shape.frames)
    }

    fn flush_as<'py, S: Item + Sample>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut guard = self.core.lock(py, NAME)?;
        let core = &mut *guard;
        let frames = core.flush_frames();
        let mut output = Output::<S>::fresh(py, Shape::of(frames, self.channels))?;
        let heavy = frames >= limits::RESAMPLE_SAMPLES;
        let written =
            output.fill(py, heavy, |out| core.flush_into(out)).map_err(|error| raise(py, error))?;
        output.finish(py, written)
    }
}

/// A resampler as a kernel over blocks.
pub struct Streaming<'a> {
    core: &'a mut Core,
    channels: usize,
    /// Items until the end of the signal, where the tail is written too.
    left: Option<usize>,
}

impl<'a> Streaming<'a> {
    /// A stream that goes on.
    pub fn onwards(core: &'a mut Core) -> Self {
        let channels = core.channels();
        Self { core, channels, left: None }
    }

    /// A stream that ends after `items` items.
    pub fn to_the_end(core: &'a mut Core, items: usize) -> Self {
        let channels = core.channels();
        Self { core, channels, left: Some(items) }
    }
}

impl<S: Item + Sample> Kernel<S, S> for Streaming<'_> {
    fn frame(&self) -> usize {
        self.channels
    }

    fn output_len(&self, items: usize) -> usize {
        if self.left == Some(items) {
            return usize::MAX; // the last block: all the room that is left
        }
        self.core.output_frames(items / self.channels) * self.channels
    }

    fn run(&mut self, input: &[S], out: &mut [S]) -> Result<usize> {
        let mut written = self.core.process_into(input, out)? * self.channels;
        if let Some(left) = &mut self.left {
            *left -= input.len();
            if *left == 0 {
                let rest = out.get_mut(written..).unwrap_or_default();
                written += self.core.flush_into(rest)? * self.channels;
            }
        }
        Ok(written)
    }
}

/// "int16" or "float32", in any of the ways that numpy spells a dtype. `Kind::Bytes` never.
pub struct Dtype(pub Kind);

impl<'py> FromPyObject<'_, 'py> for Dtype {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let refused = || convert::refused(&object, "dtype", "int16 or float32");
        let descr = PyArrayDescr::new(py, object.to_owned()).map_err(|_| refused())?;
        if descr.is_equiv_to(&i16::get_dtype(py)) {
            Ok(Self(Kind::I16))
        } else if descr.is_equiv_to(&f32::get_dtype(py)) {
            Ok(Self(Kind::F32))
        } else {
            Err(refused())
        }
    }
}
