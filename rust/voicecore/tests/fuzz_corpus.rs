//! Replays the committed inputs of the fuzz targets (see fuzz/README.md) through the same oracles.

#[path = "../fuzz/src/lib.rs"]
mod oracles;

use std::path::Path;

/// Checks every input in `tests/fuzz_inputs/{target}` and its first half.
fn replay(target: &str, check: fn(&[u8])) {
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_inputs").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&inputs).unwrap() {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        println!("{}", path.display()); // Shown if a check fails.
        check(&input);
        check(&input[..input.len() / 2]);
        count += 1;
    }
    assert!(count > 0, "no inputs in {}", inputs.display());
}

#[test]
fn base64() {
    replay("base64", oracles::base64::check);
}

#[test]
fn codecs() {
    replay("codecs", oracles::codecs::check);
}

#[test]
fn json_audio() {
    replay("json_audio", oracles::json_audio::check);
}

#[test]
fn resampler() {
    replay("resampler", oracles::resampler::check);
}

#[test]
fn transcoder() {
    replay("transcoder", oracles::transcoder::check);
}

#[test]
fn wav() {
    replay("wav", oracles::wav::check);
}

#[test]
#[cfg(feature = "formats")]
fn mp3() {
    replay("mp3", oracles::coded::mp3);
}

#[test]
#[cfg(feature = "formats")]
fn ogg() {
    replay("ogg", oracles::coded::ogg);
}
