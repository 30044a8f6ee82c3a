//! Arguments that are not buffers: rates, channel counts, profiles, formats.

use crate::errors::{Class, raise};
use pyo3::prelude::*;
use std::str::FromStr;
use voicecore::resample::Quality;
use voicecore::{AudioFormat, Container, Encoding, Error};

/// A sample rate: whether it fits `u32`. The core checks its range.
pub fn sample_rate(value: &Bound<'_, PyAny>, what: &str) -> PyResult<u32> {
    value.extract().map_err(|_| refused(value, what, "4000 to 192000 Hz"))
}

/// A channel count, 1 to 64.
pub struct Channels(pub usize);

impl<'py> FromPyObject<'_, 'py> for Channels {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let count = object.extract().map_err(|_| refused(&object, "channels", "1 to 64"))?;
        voicecore::format::check_channels(count).map_err(|error| raise(object.py(), error))?;
        Ok(Self(count))
    }
}

pub fn quality(py: Python<'_>, name: &str) -> PyResult<Quality> {
    parsed(py, name)
}

/// The core's format from a `voicecore.AudioFormat`, or from anything with its four attributes.
pub fn audio_format(value: &Bound<'_, PyAny>) -> PyResult<AudioFormat> {
    let py = value.py();
    let text = |name: &str| value.getattr(name)?.extract::<String>();
    let encoding: Encoding = parsed(py, &text("encoding")?)?;
    let container: Container = parsed(py, &text("container")?)?;
    let rate = sample_rate(&value.getattr("sample_rate")?, "sample_rate")?;
    let Channels(channels) = value.getattr("channels")?.extract()?;
    AudioFormat::new(encoding, rate, channels, container).map_err(|error| raise(py, error))
}

/// A whole-buffer call on half a frame.
pub fn check_whole_frames(py: Python<'_>, samples: usize, channels: usize) -> PyResult<()> {
    if samples.is_multiple_of(channels) {
        return Ok(());
    }
    Err(raise(py, Error::PartialFrame { len: samples, what: "samples", unit: channels }))
}

fn parsed<T: FromStr<Err = Error>>(py: Python<'_>, name: &str) -> PyResult<T> {
    name.parse().map_err(|error| raise(py, error))
}

/// An argument outside what is expected.
pub fn refused(value: &Bound<'_, PyAny>, what: &str, expected: &str) -> PyErr {
    let got = value.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string());
    Class::Format.error(value.py(), format!("{what}: expected {expected}, got {got}"))
}
