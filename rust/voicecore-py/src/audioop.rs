//! `voicecore.audioop`: the 26 functions of the standard library's `audioop`, which Python 3.13 removed.
//!
//! Arguments are converted and refused as there, in that order; the arithmetic is the core's. Any
//! bytes-like object goes in, `bytes` come out. Exported as `audioop_*`, since half of the names are
//! Python's own; `voicecore.audioop` gives the real ones.

use crate::buffers::Input;
use crate::limits;
use pyo3::exceptions::{PyMemoryError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple, PyType};
use std::borrow::Cow;
use voicecore::audioop::ratecv::{Conversion, State};
use voicecore::audioop::{self as core, AdpcmState, Error, Width};

type Bytes<'py> = Bound<'py, PyBytes>;

/// The Python exception for an error of the core.
fn raise(py: Python<'_>, error: Error) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let message = error.to_string();
    match error {
        Error::AdpcmState => PyValueError::new_err(message),
        Error::FrameTooWide => PyOverflowError::new_err(message),
        Error::Memory => PyMemoryError::new_err(message),
        _ => match CLASS.import(py, "voicecore.audioop", "error") {
            Ok(class) => PyErr::from_type(class.clone(), (message,)),
            Err(import_failed) => import_failed,
        },
    }
}

// --- fragments in, bytes out -----------------------------------------------------------------------

/// A borrowed fragment.
struct Fragment<'a>(Input<'a>);

/// What a kernel gets of it.
struct Lent<'a, 'py> {
    py: Python<'py>,
    octets: Cow<'a, [u8]>,
    heavy: bool,
}

// Inlined by force: what is moved from frame to frame would cost more than a short kernel.
impl<'a> Fragment<'a> {
    #[inline(always)]
    fn of(object: &'a Bound<'_, PyAny>) -> PyResult<Self> {
        Input::bytes_like(object, "fragment").map(Self)
    }

    /// The octets, for a call that is heavy in proportion to them and to `other` octets besides.
    #[inline(always)]
    fn lend<'py>(&self, py: Python<'py>, other: usize) -> Lent<'_, 'py> {
        let heavy = self.0.bytes().saturating_add(other) >= limits::AUDIOOP_BYTES;
        Lent { py, octets: self.0.octets(heavy), heavy }
    }
}

impl<'py> Lent<'_, 'py> {
    #[inline(always)]
    fn width(&self, octets: i32) -> PyResult<Width> {
        Width::of(&self.octets, octets).map_err(|error| raise(self.py, error))
    }

    /// Runs `kernel` over the octets, detached if they are many.
    #[inline(always)]
    fn run<R: Send>(&self, kernel: impl FnOnce(&[u8]) -> R + Send) -> R {
        let octets: &[u8] = &self.octets;
        if self.heavy { self.py.detach(|| kernel(octets)) } else { kernel(octets) }
    }

    /// New bytes, `times` as many as the octets over `over`, that `kernel` fills.
    #[inline(always)]
    fn produce(
        &self,
        (times, over): (usize, usize),
        kernel: impl FnOnce(&[u8], &mut [u8]) + Send,
    ) -> PyResult<Bytes<'py>> {
        // No memory holds enough octets for an overflow here, but nothing below should rely on that.
        let len =
            (self.octets.len() / over).checked_mul(times).filter(|&len| len < isize::MAX as usize);
        let len = len.ok_or_else(|| raise(self.py, Error::Memory))?;
        self.fill(len, |octets, out| {
            kernel(octets, out);
            Ok(())
        })
    }

    /// New bytes that `kernel` fills. Nobody else has seen them, so it may run detached.
    #[inline(always)]
    fn fill(
        &self,
        len: usize,
        kernel: impl FnOnce(&[u8], &mut [u8]) -> core::Result<()> + Send,
    ) -> PyResult<Bytes<'py>> {
        PyBytes::new_with(self.py, len, |out| {
            self.run(|octets| kernel(octets, out)).map_err(|error| raise(self.py, error))
        })
    }
}

/// One number about a fragment.
fn measure<'py, R: Send>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    kernel: impl FnOnce(&[u8], Width) -> R + Send,
) -> PyResult<R> {
    let fragment_in = Fragment::of(fragment)?;
    let lent = fragment_in.lend(fragment.py(), 0);
    let width = lent.width(width)?;
    Ok(lent.run(|octets| kernel(octets, width)))
}

/// A fragment of the same length.
fn same_length<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    kernel: impl FnOnce(&[u8], Width, &mut [u8]) + Send,
) -> PyResult<Bytes<'py>> {
    let fragment_in = Fragment::of(fragment)?;
    let lent = fragment_in.lend(fragment.py(), 0);
    let width = lent.width(width)?;
    lent.produce((1, 1), |octets, out| kernel(octets, width, out))
}

// --- numbers about a fragment ----------------------------------------------------------------------

/// Return the sample at `index`.
#[pyfunction]
#[pyo3(signature = (fragment, width, index, /))]
pub fn audioop_getsample(fragment: &Bound<'_, PyAny>, width: i32, index: isize) -> PyResult<i32> {
    measure(fragment, width, |octets, width| core::getsample(octets, width, index))?
        .map_err(|error| raise(fragment.py(), error))
}

/// Return the largest magnitude of all samples.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_max(fragment: &Bound<'_, PyAny>, width: i32) -> PyResult<u32> {
    measure(fragment, width, core::max)
}

/// Return the smallest and the largest sample.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_minmax(fragment: &Bound<'_, PyAny>, width: i32) -> PyResult<(i32, i32)> {
    measure(fragment, width, core::minmax)
}

/// Return the mean of all samples, floored.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_avg(fragment: &Bound<'_, PyAny>, width: i32) -> PyResult<i32> {
    measure(fragment, width, core::avg)
}

/// Return the root of the mean square, a measure of the power.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_rms(fragment: &Bound<'_, PyAny>, width: i32) -> PyResult<u32> {
    measure(fragment, width, core::rms)
}

/// Return the mean distance from one peak to the next.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_avgpp(fragment: &Bound<'_, PyAny>, width: i32) -> PyResult<u32> {
    measure(fragment, width, core::avgpp)
}

/// Return the largest distance from one peak to the next.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_maxpp(fragment: &Bound<'_, PyAny>, width: i32) -> PyResult<u32> {
    measure(fragment, width, core::maxpp)
}

/// Return how often the signal crosses zero; -1 without samples.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_cross(fragment: &Bound<'_, PyAny>, width: i32) -> PyResult<isize> {
    measure(fragment, width, core::cross)
}

// --- one fragment in another -----------------------------------------------------------------------

/// Runs `kernel` over two 16-bit fragments that `check` lets through, always detached if not tiny:
/// its time grows with the product of their lengths.
fn compare<'py, R: Send>(
    first: &Bound<'py, PyAny>,
    second: &Bound<'py, PyAny>,
    check: fn(&[u8], &[u8]) -> core::Result<()>,
    kernel: fn(&[u8], &[u8]) -> R,
) -> PyResult<R> {
    let py = first.py();
    let (first, second) = (Fragment::of(first)?, Fragment::of(second)?);
    let work = first.0.bytes().saturating_mul(second.0.bytes());
    let (first, second) = (first.lend(py, work), second.lend(py, work));
    check(&first.octets, &second.octets).map_err(|error| raise(py, error))?;
    let second: &[u8] = &second.octets;
    Ok(first.run(|first| kernel(first, second)))
}

/// Return where `reference` fits `fragment` best, in samples, and the factor by which it does.
///
/// Both are 16 bits wide.
#[pyfunction]
#[pyo3(signature = (fragment, reference, /))]
pub fn audioop_findfit(
    fragment: &Bound<'_, PyAny>,
    reference: &Bound<'_, PyAny>,
) -> PyResult<(usize, f64)> {
    compare(fragment, reference, core::check_fit, core::findfit)
}

/// Return the factor by which `reference` fits `fragment` best. Both are 16 bits wide.
#[pyfunction]
#[pyo3(signature = (fragment, reference, /))]
pub fn audioop_findfactor(
    fragment: &Bound<'_, PyAny>,
    reference: &Bound<'_, PyAny>,
) -> PyResult<f64> {
    compare(fragment, reference, core::check_factor, core::findfactor)
}

/// Return where the `length` samples with the most energy begin. Samples are 16 bits wide.
#[pyfunction]
#[pyo3(signature = (fragment, length, /))]
pub fn audioop_findmax(fragment: &Bound<'_, PyAny>, length: isize) -> PyResult<usize> {
    let py = fragment.py();
    let fragment = Fragment::of(fragment)?;
    let lent = fragment.lend(py, 0);
    let window = core::check_max(&lent.octets, length).map_err(|error| raise(py, error))?;
    Ok(lent.run(|octets| core::findmax(octets, window)))
}

// --- arithmetic ------------------------------------------------------------------------------------

/// Return all samples times `factor`, saturated.
#[pyfunction]
#[pyo3(signature = (fragment, width, factor, /))]
pub fn audioop_mul<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    factor: f64,
) -> PyResult<Bytes<'py>> {
    same_length(fragment, width, |octets, width, out| core::mul(octets, width, factor, out))
}

/// Return the sum of two fragments of one length, saturated.
#[pyfunction]
#[pyo3(signature = (fragment1, fragment2, width, /))]
pub fn audioop_add<'py>(
    fragment1: &Bound<'py, PyAny>,
    fragment2: &Bound<'py, PyAny>,
    width: i32,
) -> PyResult<Bytes<'py>> {
    let py = fragment1.py();
    let (first, second) = (Fragment::of(fragment1)?, Fragment::of(fragment2)?);
    let bytes = (first.0.bytes(), second.0.bytes());
    let (first, second) = (first.lend(py, bytes.1), second.lend(py, bytes.0));
    let width = first.width(width)?;
    if bytes.0 != bytes.1 {
        return Err(raise(py, Error::Lengths));
    }
    let second: &[u8] = &second.octets;
    first.produce((1, 1), |first, out| core::add(first, second, width, out))
}

/// Return all samples plus `bias`, which wraps around.
#[pyfunction]
#[pyo3(signature = (fragment, width, bias, /))]
pub fn audioop_bias<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    bias: i32,
) -> PyResult<Bytes<'py>> {
    same_length(fragment, width, |octets, width, out| core::bias(octets, width, bias, out))
}

/// Return stereo frames as mono: left times `lfactor` plus right times `rfactor`, saturated.
#[pyfunction]
#[pyo3(signature = (fragment, width, lfactor, rfactor, /))]
pub fn audioop_tomono<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    lfactor: f64,
    rfactor: f64,
) -> PyResult<Bytes<'py>> {
    let py = fragment.py();
    let fragment = Fragment::of(fragment)?;
    let lent = fragment.lend(py, 0);
    let width = Width::of_stereo(&lent.octets, width).map_err(|error| raise(py, error))?;
    lent.produce((1, 2), |octets, out| core::tomono(octets, width, lfactor, rfactor, out))
}

/// Return mono samples as stereo frames: times `lfactor` and times `rfactor`, saturated.
#[pyfunction]
#[pyo3(signature = (fragment, width, lfactor, rfactor, /))]
pub fn audioop_tostereo<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    lfactor: f64,
    rfactor: f64,
) -> PyResult<Bytes<'py>> {
    let fragment_in = Fragment::of(fragment)?;
    let lent = fragment_in.lend(fragment.py(), 0);
    let width = lent.width(width)?;
    lent.produce((2, 1), |octets, out| core::tostereo(octets, width, lfactor, rfactor, out))
}

// --- order and width -------------------------------------------------------------------------------

/// Return the samples from last to first.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_reverse<'py>(fragment: &Bound<'py, PyAny>, width: i32) -> PyResult<Bytes<'py>> {
    same_length(fragment, width, core::reverse)
}

/// Return the samples in the other byte order.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_byteswap<'py>(fragment: &Bound<'py, PyAny>, width: i32) -> PyResult<Bytes<'py>> {
    same_length(fragment, width, core::byteswap)
}

/// Return the samples `newwidth` bytes wide.
#[pyfunction]
#[pyo3(signature = (fragment, width, newwidth, /))]
pub fn audioop_lin2lin<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    newwidth: i32,
) -> PyResult<Bytes<'py>> {
    let py = fragment.py();
    let fragment = Fragment::of(fragment)?;
    let lent = fragment.lend(py, 0);
    let width = lent.width(width)?;
    let new = Width::new(newwidth).map_err(|error| raise(py, error))?;
    let ratio = (new.octets(), width.octets());
    lent.produce(ratio, |octets, out| core::lin2lin(octets, width, new, out))
}

// --- companding ------------------------------------------------------------------------------------

/// One code per sample.
fn encode<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    kernel: fn(&[u8], Width, &mut [u8]),
) -> PyResult<Bytes<'py>> {
    let fragment_in = Fragment::of(fragment)?;
    let lent = fragment_in.lend(fragment.py(), 0);
    let width = lent.width(width)?;
    lent.produce((1, width.octets()), |octets, out| kernel(octets, width, out))
}

/// One sample per code.
fn decode<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    kernel: fn(&[u8], Width, &mut [u8]),
) -> PyResult<Bytes<'py>> {
    let py = fragment.py();
    let fragment = Fragment::of(fragment)?;
    let lent = fragment.lend(py, 0);
    let width = Width::new(width).map_err(|error| raise(py, error))?;
    lent.produce((width.octets(), 1), |octets, out| kernel(octets, width, out))
}

/// Return samples as mu-law. `voicecore.codec.encode_mulaw` is the standard's; 508 samples differ.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_lin2ulaw<'py>(fragment: &Bound<'py, PyAny>, width: i32) -> PyResult<Bytes<'py>> {
    encode(fragment, width, core::lin2ulaw)
}

/// Return mu-law as samples.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_ulaw2lin<'py>(fragment: &Bound<'py, PyAny>, width: i32) -> PyResult<Bytes<'py>> {
    decode(fragment, width, core::ulaw2lin)
}

/// Return samples as A-law.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_lin2alaw<'py>(fragment: &Bound<'py, PyAny>, width: i32) -> PyResult<Bytes<'py>> {
    encode(fragment, width, core::lin2alaw)
}

/// Return A-law as samples.
#[pyfunction]
#[pyo3(signature = (fragment, width, /))]
pub fn audioop_alaw2lin<'py>(fragment: &Bound<'py, PyAny>, width: i32) -> PyResult<Bytes<'py>> {
    decode(fragment, width, core::alaw2lin)
}

// --- ADPCM -----------------------------------------------------------------------------------------

/// Bytes, and the state to go on with.
type Adpcm<'py> = PyResult<(Bytes<'py>, (i32, usize))>;

/// Return samples as 4-bit Intel/DVI ADPCM, and the state for the next fragment (None at the start).
#[pyfunction]
#[pyo3(signature = (fragment, width, state, /))]
pub fn audioop_lin2adpcm<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    state: &Bound<'py, PyAny>,
) -> Adpcm<'py> {
    let fragment_in = Fragment::of(fragment)?;
    let lent = fragment_in.lend(fragment.py(), 0);
    let width = lent.width(width)?;
    let mut state = adpcm_state(state, "lin2adpcm")?;
    let bytes = lent.produce((1, 2 * width.octets()), |octets, out| {
        core::lin2adpcm(octets, width, &mut state, out);
    })?;
    Ok((bytes, state.parts()))
}

/// Return 4-bit Intel/DVI ADPCM as samples, and the state for the next fragment (None at the start).
#[pyfunction]
#[pyo3(signature = (fragment, width, state, /))]
pub fn audioop_adpcm2lin<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    state: &Bound<'py, PyAny>,
) -> Adpcm<'py> {
    let py = fragment.py();
    let fragment = Fragment::of(fragment)?;
    let lent = fragment.lend(py, 0);
    let width = Width::new(width).map_err(|error| raise(py, error))?;
    let mut state = adpcm_state(state, "adpcm2lin")?;
    let bytes = lent.produce((2 * width.octets(), 1), |octets, out| {
        core::adpcm2lin(octets, width, &mut state, out);
    })?;
    Ok((bytes, state.parts()))
}

fn adpcm_state(state: &Bound<'_, PyAny>, function: &str) -> PyResult<AdpcmState> {
    let Some(state) = state_tuple(state)? else { return Ok(AdpcmState::default()) };
    let [predicted, index] = two(&state, function)?;
    let (predicted, index) = (predicted.extract()?, index.extract()?);
    AdpcmState::new(predicted, index).map_err(|error| raise(state.py(), error))
}

// --- sample rate -----------------------------------------------------------------------------------

/// Convert the frame rate by linear interpolation, without an anti-alias filter.
///
/// Return the frames and the state for the next fragment (None at the start). `weightA` and `weightB`
/// weigh the current and the previous frame in a simple filter. For sound quality use
/// `voicecore.codec.Resampler`.
#[pyfunction]
#[pyo3(signature = (fragment, width, nchannels, inrate, outrate, state, weight_a = 1, weight_b = 0, /))]
#[allow(clippy::too_many_arguments)] // The original's.
pub fn audioop_ratecv<'py>(
    fragment: &Bound<'py, PyAny>,
    width: i32,
    nchannels: i32,
    inrate: i32,
    outrate: i32,
    state: &Bound<'py, PyAny>,
    weight_a: i32,
    weight_b: i32,
) -> PyResult<(Bytes<'py>, (i32, Bound<'py, PyTuple>))> {
    let py = fragment.py();
    let fragment = Fragment::of(fragment)?;
    let (rates, weights) = ((inrate, outrate), (weight_a, weight_b));
    let bytes = fragment.0.bytes();
    let conversion = Conversion::new(width, nchannels, rates, weights, bytes)
        .map_err(|error| raise(py, error))?;
    let mut state = rate_state(state, &conversion)?;
    let len = conversion.output_len(bytes, state.position).map_err(|error| raise(py, error))?;
    let lent = fragment.lend(py, len);
    let out = lent.fill(len, |octets, out| conversion.convert(octets, &mut state, out))?;
    let samples = state.previous.into_iter().zip(state.current);
    Ok((out, (state.position, PyTuple::new(py, samples.collect::<Vec<_>>())?)))
}

fn rate_state(state: &Bound<'_, PyAny>, conversion: &Conversion) -> PyResult<State> {
    let py = state.py();
    let mut converted = conversion.start().map_err(|error| raise(py, error))?;
    let Some(state) = state_tuple(state)? else { return Ok(converted) };
    let [position, samples] = two(&state, "ratecv")?;
    converted.position = position.extract()?;
    let samples = samples.cast::<PyTuple>().map_err(|_| illegal_state("ratecv"))?;
    if samples.len() != conversion.channels() {
        return Err(raise(py, Error::State));
    }
    for (channel, pair) in samples.iter().enumerate() {
        let pair = pair.cast::<PyTuple>().map_err(|_| illegal_state("ratecv"))?;
        let [previous, current] = two(pair, "ratecv")?;
        converted.previous[channel] = previous.extract()?;
        converted.current[channel] = current.extract()?;
    }
    Ok(converted)
}

/// `None` for Python's None.
fn state_tuple<'py>(state: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
    if state.is_none() {
        return Ok(None);
    }
    let tuple = state.cast::<PyTuple>();
    tuple
        .map(|tuple| Some(tuple.clone()))
        .map_err(|_| PyTypeError::new_err("state must be a tuple or None"))
}

fn two<'py>(tuple: &Bound<'py, PyTuple>, function: &str) -> PyResult<[Bound<'py, PyAny>; 2]> {
    if tuple.len() != 2 {
        return Err(illegal_state(function));
    }
    Ok([tuple.get_item(0)?, tuple.get_item(1)?])
}

fn illegal_state(function: &str) -> PyErr {
    PyTypeError::new_err(format!("{function}(): illegal state argument"))
}
