//! `TranscoderBank`: many streams in one crossing, with one release of the GIL.

use crate::buffers::Input;
use crate::errors::{Class, raise};
use crate::limits;
use crate::transcoder::{AnyOutput, Arenas, Transcoder};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::MutexGuard;
use voicecore::Result;
use voicecore::transcoder::{Samples, Transcoder as Core};

/// Many transcoders that take one frame each in one call.
///
/// `transcoders` is a sequence of distinct Transcoders: ConfigurationError for one that comes twice.
#[pyclass(frozen, module = "voicecore.codec")]
pub struct TranscoderBank(Vec<Py<Transcoder>>);

#[pymethods]
impl TranscoderBank {
    #[new]
    fn new(py: Python<'_>, transcoders: Vec<Py<Transcoder>>) -> PyResult<Self> {
        let mut seen = HashSet::new();
        for (index, transcoder) in transcoders.iter().enumerate() {
            if !seen.insert(transcoder.as_ptr().addr()) {
                let message = format!("transcoders: expected distinct ones, got {index} twice");
                return Err(Class::Configuration.error(py, message));
            }
        }
        Ok(Self(transcoders))
    }

    /// Convert one frame per transcoder, in their order; `b""` for a stream that has none.
    ///
    /// Each frame is what `Transcoder.process` takes. Returns the list of what it would return; the arrays
    /// share one block of memory, which lives as long as any of them.
    ///
    /// Frames and transcoders are checked before any is touched: InvalidBufferError for a wrong number of
    /// frames or a wrong buffer, StateError for a transcoder in use. If a stream fails later (only a
    /// container can), all others are still converted, and the first error is raised with the attributes
    /// `index`, the stream, and `outputs`, the list of results with None for each that failed.
    fn process<'py>(
        &self,
        py: Python<'py>,
        frames: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        if frames.len() != self.0.len() {
            let (expected, got) = (self.0.len(), frames.len());
            let message = format!("frames: expected one per transcoder, {expected}, got {got}");
            return Err(Class::InvalidBuffer.error(py, message));
        }
        let mut jobs = Vec::with_capacity(frames.len());
        for (transcoder, frame) in self.0.iter().map(Py::get).zip(&frames) {
            jobs.push((transcoder.input(frame)?, transcoder.lock(py)?));
        }
        let wanted: Vec<_> = jobs
            .iter()
            .map(|(input, core)| (core.target(), core.output_frames_max(input.bytes())))
            .collect();
        let mut outputs = Arenas::outputs(py, &wanted)?;
        let written = convert_all(py, &mut jobs, &mut outputs);
        gather(py, written, outputs)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

fn convert_all(
    py: Python<'_>,
    jobs: &mut [(Input<'_>, MutexGuard<'_, Core>)],
    outputs: &mut [AnyOutput<'_>],
) -> Vec<Result<usize>> {
    let heavy = jobs.iter().map(|(input, _)| input.bytes()).sum::<usize>() >= limits::BANK_BYTES;
    // Guards cannot change threads, so the work gets plain references.
    let work: Vec<(&mut Core, Cow<'_, [u8]>, Samples<'_>)> = jobs
        .iter_mut()
        .zip(outputs.iter_mut().filter_map(AnyOutput::unshared))
        .map(|((input, core), out)| (&mut **core, input.octets(heavy), out))
        .collect();
    let convert =
        move || work.into_iter().map(|(core, chunk, out)| core.process_into(&chunk, out)).collect();
    if heavy { py.detach(convert) } else { convert() }
}

/// The results in order, or the first error with the other results attached.
fn gather<'py>(
    py: Python<'py>,
    written: Vec<Result<usize>>,
    outputs: Vec<AnyOutput<'py>>,
) -> PyResult<Bound<'py, PyList>> {
    let results = PyList::empty(py);
    let mut failed = None;
    for (index, (written, output)) in written.into_iter().zip(outputs).enumerate() {
        match written {
            Ok(frames) => results.append(output.finish(py, frames)?)?,
            Err(error) => {
                results.append(py.None())?;
                failed.get_or_insert((index, error));
            }
        }
    }
    let Some((index, error)) = failed else { return Ok(results) };
    let error = raise(py, error);
    error.value(py).setattr("index", index)?;
    error.value(py).setattr("outputs", results)?;
    Err(error)
}
