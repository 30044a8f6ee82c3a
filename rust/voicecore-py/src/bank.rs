//! `TranscoderBank`: many streams in one crossing, with one release of the GIL.

use crate::buffers::{Block, Input, Object, Shape};
use crate::errors::{Class, raise};
use crate::limits;
use crate::transcoder::Transcoder;
use bytemuck::Pod;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySequence};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use voicecore::transcoder::{Samples, Transcoder as Core};
use voicecore::{AudioFormat, Encoding, Error};

/// Many transcoders that take one frame each in one call.
///
/// `transcoders` is a sequence of distinct Transcoders. A call that has enough to do shares it among up to
/// `threads` threads, 1 to 64. Raises ConfigurationError for a Transcoder that comes twice and for another
/// number of threads.
#[pyclass(frozen, module = "voicecore.codec")]
pub struct TranscoderBank {
    transcoders: Vec<Py<Transcoder>>,
    threads: usize,
}

#[pymethods]
impl TranscoderBank {
    #[new]
    #[pyo3(signature = (transcoders, *, threads = 1))]
    fn new(py: Python<'_>, transcoders: Vec<Py<Transcoder>>, threads: i64) -> PyResult<Self> {
        let mut seen = HashSet::new();
        for (index, transcoder) in transcoders.iter().enumerate() {
            if !seen.insert(transcoder.as_ptr().addr()) {
                let message = format!("transcoders: expected distinct ones, got {index} twice");
                return Err(Class::Configuration.error(py, message));
            }
        }
        if !(1..=limits::BANK_THREADS as i64).contains(&threads) {
            let (most, class) = (limits::BANK_THREADS, Class::Configuration);
            return Err(class.error(py, format!("threads: expected 1 to {most}, got {threads}")));
        }
        Ok(Self { transcoders, threads: threads as usize })
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
    fn process<'py>(&self, frames: &Bound<'py, PySequence>) -> PyResult<Bound<'py, PyList>> {
        let py = frames.py();
        // A tuple keeps its items, whatever runs meanwhile.
        let frames = frames.to_tuple()?;
        let (expected, got) = (self.transcoders.len(), frames.len());
        if expected != got {
            let message = format!("frames: expected one per transcoder, {expected}, got {got}");
            return Err(Class::InvalidBuffer.error(py, message));
        }
        let (mut jobs, mut bytes_in, mut bytes_out) = (Vec::with_capacity(got), 0, 0);
        for (transcoder, frame) in self.transcoders.iter().map(Py::get).zip(frames.iter_borrowed())
        {
            let frame = Frame::get(transcoder, frame)?;
            let core = transcoder.lock(py)?;
            let coded = core.is_coded();
            let room = match coded {
                true => core.output_frames_of(&frame.octets(false)),
                false => core.output_frames_max(frame.bytes()),
            };
            // A byte of a coded stream costs far more.
            bytes_in += frame.bytes() * if coded { limits::CODED_WEIGHT } else { 1 };
            jobs.push(Job { frame, core, start: bytes_out, written: Ok(0) });
            bytes_out = end_of_part(bytes_out, room, transcoder.target());
        }
        let mut block = Block::new(py, bytes_out)?;
        self.convert(py, bytes_in, &mut jobs, block.memory());
        gather(py, jobs, &block)
    }

    fn __len__(&self) -> usize {
        self.transcoders.len()
    }
}

impl TranscoderBank {
    fn convert(&self, py: Python<'_>, bytes: usize, jobs: &mut [Job<'_>], memory: &mut [u8]) {
        if bytes < limits::BANK_BYTES {
            return pieces(jobs, memory, false).for_each(Piece::convert);
        }
        let pieces: Vec<_> = pieces(jobs, memory, true).collect();
        let threads = self.threads.min(bytes / limits::BANK_THREAD_BYTES);
        py.detach(|| convert_all(pieces, threads));
    }
}

/// One stream's share of a call.
struct Job<'a> {
    frame: Frame<'a>,
    core: MutexGuard<'a, Core>,
    /// Where its part of the block begins.
    start: usize,
    /// Frames written. The error is boxed because a hundred jobs are moved about.
    written: Result<usize, Box<Error>>,
}

/// A frame of one stream: nearly always bytes, which take two words instead of a dozen.
enum Frame<'a> {
    Bytes(&'a [u8]),
    Buffer(Box<Input<'a>>),
}

impl<'a> Frame<'a> {
    #[inline(always)]
    fn get(transcoder: &Transcoder, frame: Object<'a>) -> PyResult<Self> {
        // Of all objects, only bytes extract as a slice.
        match frame.extract() {
            Ok(bytes) => Ok(Self::Bytes(bytes)),
            Err(_) => Ok(Self::Buffer(Box::new(transcoder.input(frame)?))),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Buffer(input) => input.bytes(),
        }
    }

    /// As [`Input::octets`]; bytes never change.
    fn octets(&self, heavy: bool) -> Cow<'_, [u8]> {
        match self {
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Buffer(input) => input.octets(heavy),
        }
    }
}

/// Where the part behind one of `frames` frames begins: `usize::MAX`, which no allocation serves, where
/// that is too far.
fn end_of_part(start: usize, frames: usize, format: AudioFormat) -> usize {
    let end = start.saturating_add(frames.saturating_mul(format.frame_bytes()));
    end.checked_next_multiple_of(Block::ALIGN).unwrap_or(usize::MAX)
}

/// A job in plain references, which can change threads; a guard cannot.
struct Piece<'a> {
    core: &'a mut Core,
    frame: Cow<'a, [u8]>,
    out: Samples<'a>,
    written: &'a mut Result<usize, Box<Error>>,
}

impl Piece<'_> {
    fn convert(self) {
        *self.written = self.core.process_into(&self.frame, self.out).map_err(Box::new);
    }
}

/// The jobs with their parts of `memory`. With `heavy`, the caller detaches while it has them.
fn pieces<'a>(
    jobs: &'a mut [Job<'_>],
    memory: &'a mut [u8],
    heavy: bool,
) -> impl Iterator<Item = Piece<'a>> {
    let mut rest = memory;
    // From the last to the first: what is left of the memory ends with the part of the last job left.
    jobs.iter_mut().rev().map(move |job| {
        let (before, part) = std::mem::take(&mut rest).split_at_mut(job.start);
        rest = before;
        let out = match job.core.target().encoding {
            Encoding::PcmS16le => Samples::I16(lent(part)),
            Encoding::PcmF32le => Samples::F32(lent(part)),
            _ => Samples::U8(part),
        };
        let frame = job.frame.octets(heavy);
        Piece { core: &mut job.core, frame, out, written: &mut job.written }
    })
}

/// A part as samples: all of it, since every part of a block is aligned.
fn lent<T: Pod>(part: &mut [u8]) -> &mut [T] {
    bytemuck::try_cast_slice_mut(part).unwrap_or_default()
}

/// Whichever thread is free takes the next piece. Without the threads, one does it all.
fn convert_all(pieces: Vec<Piece<'_>>, threads: usize) {
    if threads < 2 {
        return pieces.into_iter().for_each(Piece::convert);
    }
    let queue = Mutex::new(pieces.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let convert = || std::iter::from_fn(next).for_each(Piece::convert);
    thread::scope(|scope| {
        for _ in 1..threads {
            // Where the system has no thread to give, the others do its work.
            let _ = thread::Builder::new().spawn_scoped(scope, convert);
        }
        convert();
    });
}

/// The results in order, or the first error with the other results attached.
fn gather<'py>(
    py: Python<'py>,
    jobs: Vec<Job<'_>>,
    block: &Block<'py>,
) -> PyResult<Bound<'py, PyList>> {
    let results = PyList::new(py, jobs.iter().map(|job| Outcome { job, block }))?;
    let fault = |(index, job): (usize, Job<'_>)| Some((index, job.written.err()?));
    let Some((index, error)) = jobs.into_iter().enumerate().find_map(fault) else {
        return Ok(results);
    };
    let error = raise(py, *error);
    error.value(py).setattr("index", index)?;
    error.value(py).setattr("outputs", results)?;
    Err(error)
}

/// One stream's result on its way to Python; None if it failed.
struct Outcome<'o, 'a, 'py> {
    job: &'o Job<'a>,
    block: &'o Block<'py>,
}

impl<'py> IntoPyObject<'py> for Outcome<'_, '_, 'py> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let Ok(frames) = self.job.written else { return Ok(py.None().into_bound(py)) };
        let target = self.job.core.target();
        let shape = Shape::of(frames, target.channels);
        match target.encoding {
            Encoding::PcmS16le => self.block.view::<i16>(py, self.job.start, shape),
            Encoding::PcmF32le => self.block.view::<f32>(py, self.job.start, shape),
            _ => self.block.view::<u8>(py, self.job.start, shape),
        }
    }
}
