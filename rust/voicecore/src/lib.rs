//! Audio codec kernels for real-time voice.
//!
//! This crate is pure: no Python, no I/O, no clock, no vendor. Kernels take slices and write into
//! slices (`*_into` first); no input can make them panic. Scalar code is the specification.

pub mod audioop;
pub mod base64;
mod coded;
pub mod container;
mod detect;
pub mod downmix;
pub mod error;
pub mod format;
pub mod framer;
pub mod g711;
pub mod json_audio;
pub mod levels;
pub mod pcm;
pub mod resample;
pub mod simd;
pub mod transcoder;

pub use detect::detect;
pub use error::{Error, Result};
pub use format::{AudioFormat, Container, Encoding};
