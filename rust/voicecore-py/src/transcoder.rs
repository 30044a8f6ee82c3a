//! `Transcoder`: container, byte carry, decode, downmix, resample and encode in one call.

use crate::buffers::{Input, Kind, Object, Output, Shape};
use crate::convert;
use crate::errors::raise;
use crate::exclusive::Exclusive;
use crate::kernels::base64_text;
use crate::limits;
use pyo3::prelude::*;
use std::ops::Range;
use std::sync::MutexGuard;
use voicecore::transcoder::{Samples, Transcoder as Core};
use voicecore::{AudioFormat, Container, Encoding, Result, base64};

const NAME: &str = "Transcoder";

/// A stream of `source` audio that becomes `target` audio, chunk by chunk, in one call per chunk.
///
/// `source` and `target` are `voicecore.AudioFormat`s; the target's container is "raw", its encoding
/// pcm_s16le, pcm_f32le, mulaw or alaw. Chunks may end anywhere, also inside a sample, a WAV header or an
/// MP3 frame. The output does not depend on where. `quality` of the
/// resampling: "hq", "voice" or "low_latency".
///
/// Raises FormatError for a pair of formats that no path connects. One thread at a time: StateError for a
/// call while another runs.
#[pyclass(frozen, module = "voicecore.codec")]
pub struct Transcoder {
    core: Exclusive<Core>,
    formats: (AudioFormat, AudioFormat),
    given: (Py<PyAny>, Py<PyAny>),
}

#[pymethods]
impl Transcoder {
    #[new]
    #[pyo3(signature = (source, target, *, quality = "voice"))]
    fn new(source: &Bound<'_, PyAny>, target: &Bound<'_, PyAny>, quality: &str) -> PyResult<Self> {
        let py = source.py();
        let formats = (convert::audio_format(source)?, convert::audio_format(target)?);
        let core = Core::new(formats.0, formats.1, convert::quality(py, quality)?)
            .map_err(|error| raise(py, error))?;
        let given = (source.clone().unbind(), target.clone().unbind());
        Ok(Self { core: Exclusive::new(core), formats, given })
    }

    /// Convert the next chunk.
    ///
    /// `data` is any bytes-like object, cut anywhere, or for a raw source an ndarray of its dtype with shape
    /// (frames,) for mono, (frames, channels) otherwise. Returns the frames that are ready, in that layout:
    /// int16, float32, or uint8 for mu-law and A-law; in `out` if given. Raises InvalidBufferError for
    /// another buffer or an `out` that is too small (nothing was consumed then), ContainerError for a WAV
    /// header that cannot be followed and for a coded stream that changes its rate or channels.
    #[pyo3(signature = (data, *, out = None))]
    fn process<'py>(
        &self,
        data: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = data.py();
        let input = self.input(data)?;
        let mut guard = self.lock(py)?;
        let core = &mut *guard; // a guard cannot leave its thread, so closures get the core itself
        if core.is_coded() {
            let data = input.octets(true);
            return self.decode(py, core, &data, out, input.addresses());
        }
        let mut output = self.output(py, core, input.bytes(), out, input.addresses())?;
        let heavy = input.bytes() >= limits::TRANSCODE_BYTES;
        let data = input.octets(heavy);
        let frames = output.fill(py, heavy, |out| core.process_into(&data, out));
        output.finish(py, frames.map_err(|error| raise(py, error))?)
    }

    /// Convert the next chunk, given as strict base64 text (str or bytes-like).
    ///
    /// Otherwise as `process`. Raises Base64Error with the exact `offset`; nothing was consumed then.
    #[pyo3(signature = (data, *, out = None))]
    fn process_base64<'py>(
        &self,
        data: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = data.py();
        let input = base64_text(data)?;
        let mut guard = self.lock(py)?;
        let core = &mut *guard;
        let heavy = input.bytes() >= limits::TRANSCODE_BYTES;
        let text = input.octets(heavy);
        let bytes = base64::decoded_len(&text).map_err(|error| raise(py, error))?;
        if core.is_coded() {
            let mut data = vec![0; bytes];
            base64::decode_into(&text, &mut data).map_err(|error| raise(py, error))?;
            return self.decode(py, core, &data, out, input.addresses());
        }
        let mut output = self.output(py, core, bytes, out, input.addresses())?;
        let frames = output.fill(py, heavy, |out| core.process_base64_into(&text, out));
        output.finish(py, frames.map_err(|error| raise(py, error))?)
    }

    /// End the stream: returns its last frames, which the filter still held.
    ///
    /// Bytes of an incomplete last frame are dropped and counted in `dangling_bytes`. The next `process`
    /// begins a new stream. Raises ContainerError for an MP3 or Ogg stream that had no packet at all.
    fn flush<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut guard = self.lock(py)?;
        let core = &mut *guard;
        let frames = core.flush_frames_max();
        let mut output = AnyOutput::new(py, self.target(), None, frames, 0..0)?;
        let heavy = frames >= limits::RESAMPLE_SAMPLES || core.is_coded();
        let frames = output.fill(py, heavy, |out| core.flush_into(out));
        output.finish(py, frames.map_err(|error| raise(py, error))?)
    }

    /// Forget everything that was processed. The next `process` begins a new stream.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.lock(py)?.reset();
        Ok(())
    }

    /// Seconds from a frame's arrival to its appearance in the output; only a WAV header changes it.
    #[getter]
    fn latency(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.lock(py)?.latency())
    }

    /// Bytes of incomplete frames dropped so far, at a new WAV header or at `flush`.
    #[getter]
    fn dangling_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.dangling_bytes())
    }

    /// Bytes of an MP3 or Ogg source so far that were no packet and no tag, and were skipped.
    #[getter]
    fn skipped_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.skipped_bytes())
    }

    /// Frames of an MP3 or Ogg source so far that were made up for packets lost or broken.
    #[getter]
    fn concealed_frames(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.concealed_frames())
    }

    /// The AudioFormat that goes in.
    #[getter]
    fn source(&self, py: Python<'_>) -> Py<PyAny> {
        self.given.0.clone_ref(py)
    }

    /// The AudioFormat that comes out.
    #[getter(target)]
    fn target_object(&self, py: Python<'_>) -> Py<PyAny> {
        self.given.1.clone_ref(py)
    }

    fn __repr__(&self) -> String {
        format!("Transcoder({} -> {})", self.formats.0, self.formats.1)
    }
}

impl Transcoder {
    pub fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Core>> {
        self.core.lock(py, NAME)
    }

    pub fn target(&self) -> AudioFormat {
        self.formats.1
    }

    /// A chunk: bytes, or an array of exactly the source's samples.
    #[inline(always)]
    pub fn input<'a>(&self, data: impl Into<Object<'a>>) -> PyResult<Input<'a>> {
        let input = Input::get(data, "data")?;
        let source = self.formats.0;
        match input.kind() {
            Kind::Bytes => Ok(input),
            kind if kind == sample_kind(source) => {
                input.check_channels(source.channels)?;
                Ok(input)
            }
            _ => Err(input.refuse(&format!("bytes or samples of {source}"))),
        }
    }

    /// The next bytes of a coded source: only they tell how much room they need.
    fn decode<'py>(
        &self,
        py: Python<'py>,
        core: &mut Core,
        data: &[u8],
        out: Option<&Bound<'py, PyAny>>,
        input: Range<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let frames = core.output_frames_of(data);
        let mut output = AnyOutput::new(py, self.target(), out, frames, input)?;
        let heavy = data.len() >= limits::DECODE_BYTES;
        let frames = output.fill(py, heavy, |out| core.process_into(data, out));
        output.finish(py, frames.map_err(|error| raise(py, error))?)
    }

    /// Room for what `bytes` more bytes can give.
    fn output<'py>(
        &self,
        py: Python<'py>,
        core: &Core,
        bytes: usize,
        out: Option<&Bound<'py, PyAny>>,
        input: Range<usize>,
    ) -> PyResult<AnyOutput<'py>> {
        AnyOutput::new(py, self.target(), out, core.output_frames_max(bytes), input)
    }
}

/// The kind of array that holds this format's samples; only bytes can hold a container.
fn sample_kind(format: AudioFormat) -> Kind {
    match (format.container, format.encoding) {
        (Container::Raw, Encoding::PcmS16le) => Kind::I16,
        (Container::Raw, Encoding::PcmF32le) => Kind::F32,
        _ => Kind::Bytes,
    }
}

/// An `Output` of the target encoding's dtype.
enum AnyOutput<'py> {
    I16(Output<'py, i16>),
    F32(Output<'py, f32>),
    U8(Output<'py, u8>),
}

impl<'py> AnyOutput<'py> {
    fn new(
        py: Python<'py>,
        format: AudioFormat,
        out: Option<&Bound<'py, PyAny>>,
        frames: usize,
        input: Range<usize>,
    ) -> PyResult<Self> {
        let shape = Shape::of(frames, format.channels);
        Ok(match format.encoding {
            Encoding::PcmS16le => Self::I16(Output::new(py, out, shape, input)?),
            Encoding::PcmF32le => Self::F32(Output::new(py, out, shape, input)?),
            _ => Self::U8(Output::new(py, out, shape, input)?),
        })
    }

    fn fill<F>(&mut self, py: Python<'py>, heavy: bool, kernel: F) -> Result<usize>
    where
        F: FnOnce(Samples<'_>) -> Result<usize> + Send,
    {
        match self {
            Self::I16(output) => output.fill(py, heavy, |out| kernel(Samples::I16(out))),
            Self::F32(output) => output.fill(py, heavy, |out| kernel(Samples::F32(out))),
            Self::U8(output) => output.fill(py, heavy, |out| kernel(Samples::U8(out))),
        }
    }

    fn finish(self, py: Python<'py>, frames: usize) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::I16(output) => output.finish(py, frames),
            Self::F32(output) => output.finish(py, frames),
            Self::U8(output) => output.finish(py, frames),
        }
    }
}
