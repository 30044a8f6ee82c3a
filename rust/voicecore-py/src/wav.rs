//! `WavReader`: the samples out of a WAV stream that arrives in pieces; `detect`: what a stream is.

use crate::buffers::Input;
use crate::convert;
use crate::errors::raise;
use crate::exclusive::Exclusive;
use crate::limits;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;
use voicecore::AudioFormat;
use voicecore::container::wav::WavReader as Core;
use voicecore::detect as core_detect;

const NAME: &str = "WavReader";

/// Reads a WAV stream that arrives in pieces, cut anywhere; a new header may come at any chunk.
///
/// `assumed` is the AudioFormat of bytes that come without a header; without it a header is required. One
/// thread at a time: StateError for a call while another runs.
#[pyclass(frozen, module = "voicecore.codec")]
pub struct WavReader(Exclusive<Core>);

#[pymethods]
impl WavReader {
    #[new]
    #[pyo3(signature = (assumed = None))]
    fn new(assumed: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let assumed = assumed.map(convert::audio_format).transpose()?;
        Ok(Self(Exclusive::new(Core::new(assumed))))
    }

    /// Take the next piece (bytes-like); returns the sample bytes in it that are sure to be samples.
    ///
    /// Raises ContainerError for a header that cannot be followed or a stream that changes its format.
    fn feed<'py>(&self, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let py = data.py();
        let input = Input::get(data, "data")?;
        let mut guard = self.0.lock(py, NAME)?;
        let core = &mut *guard;
        let heavy = input.bytes() >= limits::WAV_BYTES;
        let data = input.octets(heavy);
        let mut sink = Vec::new();
        let fed = if heavy {
            py.detach(|| core.feed(&data, &mut sink))
        } else {
            core.feed(&data, &mut sink)
        };
        fed.map_err(|error| raise(py, error))?;
        Ok(PyBytes::new(py, &sink))
    }

    /// End the stream: returns what was held back in case a header followed.
    ///
    /// Raises ContainerError for a stream that ends inside a header.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut sink = Vec::new();
        self.0.lock(py, NAME)?.finish(&mut sink).map_err(|error| raise(py, error))?;
        Ok(PyBytes::new(py, &sink))
    }

    /// Forget the stream. The next `feed` begins a new one.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.0.lock(py, NAME)?.reset();
        Ok(())
    }

    /// The AudioFormat of the samples (container "raw"); None until a header was read.
    #[getter]
    fn format<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let format = self.0.lock(py, NAME)?.format();
        format.map(|format| python_format(py, format)).transpose()
    }
}

/// What the stream that begins with `head` (bytes-like) is, by its content: the AudioFormat of WAV, of Opus in Ogg
/// or of MP3, with the rate and channels that the stream itself declares (Opus: 48000 Hz).
///
/// None for anything else, and while `head` is too short to tell: some kilobytes behind any ID3 tag suffice.
#[pyfunction]
pub fn detect<'py>(head: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (py, input) = (head.py(), Input::get(head, "head")?);
    let heavy = input.bytes() >= limits::WAV_BYTES;
    let head = input.octets(heavy);
    let found = if heavy { py.detach(|| core_detect(&head)) } else { core_detect(&head) };
    found.map(|format| python_format(py, format)).transpose()
}

/// The core's format as a `voicecore.AudioFormat`.
fn python_format(py: Python<'_>, format: AudioFormat) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS.import(py, "voicecore.audio", "AudioFormat")?;
    let AudioFormat { encoding, sample_rate, channels, container } = format;
    class.call1((encoding.name(), sample_rate, channels, container.name()))
}
