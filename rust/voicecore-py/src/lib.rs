//! The binding: borrow, detach from the GIL, call, convert, map errors. No arithmetic.
//!
//! One file per class; the functions are in `kernels`. Everything here is private to
//! `voicecore.codec`, which gives the public names.

mod bank;
mod buffers;
mod convert;
mod errors;
mod exclusive;
mod kernels;
mod limits;
mod resampler;
mod scanner;
mod transcoder;
mod wav;

#[cfg(target_endian = "big")]
compile_error!("raw bytes are lent as samples, so the target must be little-endian like them");

/// The Rust core of voicecore, under the names that `voicecore.codec` makes public.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::bank::TranscoderBank;
    #[pymodule_export]
    use crate::kernels::{
        decode_alaw, decode_base64, decode_mulaw, downmix, encode_alaw, encode_mulaw, resample,
    };
    #[pymodule_export]
    use crate::resampler::Resampler;
    #[pymodule_export]
    use crate::scanner::AudioMessageScanner;
    #[pymodule_export]
    use crate::transcoder::Transcoder;
    #[pymodule_export]
    use crate::wav::WavReader;
}
