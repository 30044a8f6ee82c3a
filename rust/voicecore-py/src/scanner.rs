//! `AudioMessageScanner`: audio and scalars out of a JSON message, without building the message.

use crate::buffers::{Input, Output, Shape};
use crate::errors::{Class, raise};
use crate::kernels::not_utf8;
use crate::limits;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::ops::Range;
use voicecore::json_audio::{Scan, Scanner, Value};

/// Finds one base64 audio field in JSON messages and decodes it, with some scalar fields beside it.
///
/// `audio` is the path of keys to the audio; `fields` are the paths to the scalars. Holds no state, so any
/// number of threads can use it. Raises FormatError for an empty path.
#[pyclass(frozen, module = "voicecore.codec")]
pub struct AudioMessageScanner(Scanner);

#[pymethods]
impl AudioMessageScanner {
    #[new]
    #[pyo3(signature = (audio, fields = Vec::new()), text_signature = "(audio, fields=())")]
    fn new(py: Python<'_>, audio: Vec<String>, fields: Vec<Vec<String>>) -> PyResult<Self> {
        Scanner::new(audio, fields).map(Self).map_err(|error| raise(py, error))
    }

    /// Scan one message (str or bytes-like): `(audio, values)`.
    ///
    /// `audio` is uint8 of shape (n,), in `out` if given, or None if the message has no such string.
    /// `values` are the scalars in the order of `fields`, None where the message has none. The whole
    /// message is validated: MessageError with the `offset` of the fault for what is not one JSON value.
    /// Raises Base64Error, its `offset` counted in the field's text, for audio that is not strict base64.
    /// What `out` holds after an error is unspecified.
    #[pyo3(signature = (message, *, out = None))]
    fn scan<'py>(
        &self,
        message: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Found<'py>> {
        let py = message.py();
        let input = message_text(message)?;
        let heavy = input.bytes() >= limits::MESSAGE_BYTES;
        let text = input.octets(heavy);
        let target = Target { py, out, heavy, message: input.addresses() };
        let scan = target.run(|| self.0.scan_lightly(&text));
        if let Some(Ok(found)) = scan.as_ref().map(|scan| target.found(scan)) {
            return Ok(found);
        }
        // Whatever it was, the exact scan tells.
        let scan = target.run(|| self.0.scan(&text)).map_err(|error| raise(py, error))?;
        target.found(&scan)
    }
}

type Found<'py> = (Option<Bound<'py, PyAny>>, Bound<'py, PyTuple>);

/// Where one call's result goes, and how.
struct Target<'a, 'py> {
    py: Python<'py>,
    out: Option<&'a Bound<'py, PyAny>>,
    heavy: bool,
    /// The addresses of the message, which `out` must not overlap.
    message: Range<usize>,
}

impl<'py> Target<'_, 'py> {
    #[inline(always)]
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if self.heavy { self.py.detach(work) } else { work() }
    }

    #[inline(always)]
    fn found(&self, scan: &Scan<'_>) -> PyResult<Found<'py>> {
        let raised = |error| raise(self.py, error);
        let audio = match scan.audio_len().map_err(raised)? {
            None => None,
            Some(len) => {
                let (shape, message) = (Shape::flat(len), self.message.clone());
                let mut output = Output::exact(self.py, self.out, shape, message)?;
                let written = output
                    .fill(self.py, self.heavy, |out| scan.decode_audio_into(out))
                    .map_err(raised)?;
                Some(output.finish(self.py, written)?)
            }
        };
        Ok((audio, PyTuple::new(self.py, scan.values().iter().map(Scalar))?))
    }
}

#[inline(always)]
fn message_text<'a>(message: &'a Bound<'_, PyAny>) -> PyResult<Input<'a>> {
    Input::text(message, "message").map_err(|error| {
        not_utf8(message.py(), &error).map_or(error, |offset| {
            let text = format!("invalid JSON at offset {offset}: a lone surrogate");
            Class::Message.error_at(message.py(), text, offset)
        })
    })
}

/// A field's value on its way to Python.
struct Scalar<'a, 'm>(&'a Value<'m>);

impl<'py> IntoPyObject<'py> for Scalar<'_, '_> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        Ok(match self.0 {
            Value::Null => py.None().into_bound(py),
            Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
            Value::Int(value) => value.into_pyobject(py)?.into_any(),
            Value::Float(value) => value.into_pyobject(py)?.into_any(),
            Value::Str(value) => value.as_ref().into_pyobject(py)?.into_any(),
        })
    }
}
