//! State that one thread uses at a time.
//!
//! The GIL is released during work and a free-threaded build has none, so two threads can meet in one
//! object. The second gets a `StateError` at once: waiting would hide a bug and could deadlock.

use crate::errors::Class;
use pyo3::prelude::*;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// A `T` inside a frozen pyclass.
pub struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// The only access. `class` names the object in the error.
    pub fn lock(&self, py: Python<'_>, class: &'static str) -> PyResult<MutexGuard<'_, T>> {
        self.0.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Class::State.error(
                py,
                format!("{class}: expected one thread at a time, got a call while another runs"),
            ),
            TryLockError::Poisoned(_) => Class::State
                .error(py, format!("{class}: unusable since an internal error; make a new one")),
        })
    }
}
