//! See the oracle of the same name in `coded`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| voicecore_fuzz::coded::ogg(data));
