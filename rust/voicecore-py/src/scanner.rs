//! `AudioMessageScanner`: audio and scalars out of a JSON message, without building the message.

use crate::buffers::{Input, Output, Shape};
use crate::errors::{Class, raise};
use crate::kernels::not_utf8;
use crate::limits;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use voicecore::json_audio::{Scanner, Value};

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
    #[pyo3(signature = (message, *, out = None))]
    fn scan<'py>(
        &self,
        message: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Option<Bound<'py, PyAny>>, Bound<'py, PyTuple>)> {
        let py = message.py();
        let input = message_text(message)?;
        let heavy = input.bytes() >= limits::MESSAGE_BYTES;
        let text = input.octets(heavy);
        let scan = if heavy { py.detach(|| self.0.scan(&text)) } else { self.0.scan(&text) };
        let scan = scan.map_err(|error| raise(py, error))?;
        let audio = match scan.audio_len().map_err(|error| raise(py, error))? {
            None => None,
            Some(len) => {
                let mut output = Output::exact(py, out, Shape::flat(len), input.addresses())?;
                let written = output
                    .fill(py, heavy, |out| scan.decode_audio_into(out))
                    .map_err(|error| raise(py, error))?;
                Some(output.finish(py, written)?)
            }
        };
        Ok((audio, values(py, &scan.values)?))
    }
}

fn message_text<'py>(message: &Bound<'py, PyAny>) -> PyResult<Input<'py>> {
    Input::text(message, "message").map_err(|error| {
        not_utf8(message.py(), &error).map_or(error, |offset| {
            let text = format!("invalid JSON at offset {offset}: a lone surrogate");
            Class::Message.error_at(message.py(), text, offset)
        })
    })
}

fn values<'py>(py: Python<'py>, values: &[Value]) -> PyResult<Bound<'py, PyTuple>> {
    let objects = values.iter().map(|value| scalar(py, value)).collect::<PyResult<Vec<_>>>()?;
    PyTuple::new(py, objects)
}

fn scalar<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Int(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => value.into_pyobject(py)?.into_any(),
        Value::Str(value) => value.into_pyobject(py)?.into_any(),
    })
}
