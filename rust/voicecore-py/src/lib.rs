//! The binding: borrow, detach from the GIL, call, convert, map errors. No arithmetic.
//!
//! One file per class; the functions are in `kernels`. Everything here is private to
//! `voicecore.codec`, which gives the public names.

mod audioop;
mod bank;
mod buffers;
mod convert;
mod errors;
mod exclusive;
mod framer;
mod kernels;
mod levels;
mod limits;
mod pcm;
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
    use crate::audioop::{
        audioop_add, audioop_adpcm2lin, audioop_alaw2lin, audioop_avg, audioop_avgpp, audioop_bias,
        audioop_byteswap, audioop_cross, audioop_findfactor, audioop_findfit, audioop_findmax,
        audioop_getsample, audioop_lin2adpcm, audioop_lin2alaw, audioop_lin2lin, audioop_lin2ulaw,
        audioop_max, audioop_maxpp, audioop_minmax, audioop_mul, audioop_ratecv, audioop_reverse,
        audioop_rms, audioop_tomono, audioop_tostereo, audioop_ulaw2lin,
    };
    #[pymodule_export]
    use crate::bank::TranscoderBank;
    #[pymodule_export]
    use crate::framer::Framer;
    #[pymodule_export]
    use crate::kernels::{
        decode_alaw, decode_base64, decode_mulaw, downmix, encode_alaw, encode_mulaw, resample,
    };
    #[pymodule_export]
    use crate::levels::{dbfs, peak, rms};
    #[pymodule_export]
    use crate::pcm::{gain, mix, silence, to_float32, to_int16, upmix};
    #[pymodule_export]
    use crate::resampler::Resampler;
    #[pymodule_export]
    use crate::scanner::AudioMessageScanner;
    #[pymodule_export]
    use crate::transcoder::Transcoder;
    #[pymodule_export]
    use crate::wav::{WavReader, detect};
}
