//! Containers: how the samples of a stream are wrapped.
//!
//! Nothing here may know what happens to the samples afterwards, or which vendor sent them.

mod intake;
mod riff;
pub mod wav;

pub(crate) use intake::Intake;
pub use wav::WavReader;
