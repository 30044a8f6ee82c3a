//! One conversion from the core's errors to the classes of `voicecore.errors`.
//!
//! The classes are Python's, so they are imported on the first error and cached. Knows no kernel.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use voicecore::Error;

const MODULE: &str = "voicecore.errors";

/// A class of `voicecore.errors`.
#[derive(Clone, Copy)]
pub enum Class {
    InvalidBuffer,
    Format,
    Base64,
    Message,
    Container,
    State,
    Configuration,
}

impl Class {
    fn get(self, py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
        static CELLS: [PyOnceLock<Py<PyType>>; 7] = [const { PyOnceLock::new() }; 7];
        CELLS[self as usize].import(py, MODULE, self.name())
    }

    const fn name(self) -> &'static str {
        match self {
            Self::InvalidBuffer => "InvalidBufferError",
            Self::Format => "FormatError",
            Self::Base64 => "Base64Error",
            Self::Message => "MessageError",
            Self::Container => "ContainerError",
            Self::State => "StateError",
            Self::Configuration => "ConfigurationError",
        }
    }

    /// An exception of this class.
    pub fn error(self, py: Python<'_>, message: impl Into<String>) -> PyErr {
        self.error_with(py, (message.into(),))
    }

    /// An exception of this class with the fault's offset.
    pub fn error_at(self, py: Python<'_>, message: impl Into<String>, offset: usize) -> PyErr {
        self.error_with(py, (message.into(), offset))
    }

    fn error_with<A>(self, py: Python<'_>, args: A) -> PyErr
    where
        A: pyo3::PyErrArguments + Send + Sync + 'static,
    {
        match self.get(py) {
            Ok(class) => PyErr::from_type(class.clone(), args),
            Err(import_failed) => import_failed,
        }
    }
}

/// The Python exception for an error of the core.
pub fn raise(py: Python<'_>, error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::OutputTooSmall { .. } | Error::PartialFrame { .. } => {
            Class::InvalidBuffer.error(py, message)
        }
        Error::Parameter { .. } | Error::Unsupported { .. } => Class::Format.error(py, message),
        Error::Base64 { offset, .. } => Class::Base64.error_at(py, message, offset),
        Error::Json { offset, .. } => Class::Message.error_at(py, message, offset),
        Error::Container { .. } | Error::FormatChanged { .. } => {
            Class::Container.error(py, message)
        }
    }
}
