//! What must hold for any bytes, one module per target: `check` panics if it does not.
//!
//! The fuzz targets call these, and `tests/fuzz_corpus.rs` includes this file to replay the committed
//! inputs. The first bytes of an input choose the parameters ([`Control`]), the rest is the data.

pub mod base64;
pub mod codecs;
#[cfg(feature = "formats")]
pub mod coded;
pub mod json_audio;
pub mod resampler;
pub mod transcoder;
pub mod wav;

use std::sync::{Mutex, PoisonError};
use voicecore::simd::{self, Level};

/// The level belongs to the process, and tests run in threads.
static LEVEL: Mutex<()> = Mutex::new(());

/// What `run` gives at every level that this machine has, lowest first.
fn at_each_level<T>(mut run: impl FnMut() -> T) -> Vec<T> {
    let _guard = LEVEL.lock().unwrap_or_else(PoisonError::into_inner);
    let levels = Level::ALL.into_iter().filter(|&level| level <= simd::available());
    let results = levels.map(|level| {
        simd::force_level(Some(level));
        run()
    });
    let results = results.collect();
    simd::force_level(None);
    results
}

/// Runs while nobody changes the level.
#[cfg(feature = "formats")]
fn at_one_level(run: impl FnOnce()) {
    let _guard = LEVEL.lock().unwrap_or_else(PoisonError::into_inner);
    run();
}

/// What `run` gives at every level, which must be the same.
fn at_any_level<T: PartialEq + std::fmt::Debug>(run: impl FnMut() -> T) -> T {
    let mut results = at_each_level(run);
    for pair in results.windows(2) {
        assert_eq!(pair[0], pair[1], "levels differ");
    }
    results.swap_remove(0)
}

/// Takes parameters off the front of an input; an input that is too short gives zeros.
struct Control<'d>(&'d [u8]);

impl<'d> Control<'d> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// One of `choices`.
    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// One to four lengths of chunks, not all of them zero.
    fn lens(&mut self) -> Vec<usize> {
        let kind = self.byte();
        let mut lens: Vec<usize> = (0..=kind % 4)
            .map(|_| if kind & 0x80 == 0 { self.byte().into() } else { self.word().into() })
            .collect();
        if lens.iter().all(|&len| len == 0) {
            lens.push(1);
        }
        lens
    }

    /// A rate that every kernel takes: of the usual ones, or any.
    fn rate(&mut self) -> u32 {
        const USUAL: [u32; 8] = [8_000, 16_000, 24_000, 48_000, 44_100, 22_050, 11_025, 192_000];
        match self.byte() {
            kind @ 0..192 => USUAL[usize::from(kind) % USUAL.len()],
            kind @ 192..224 => 4_000 + u32::from(kind % 32) * 500,
            kind => 4_000 + (u32::from(self.word()) | u32::from(kind) << 16) % 188_001,
        }
    }

    fn rest(self) -> &'d [u8] {
        self.0
    }
}

/// Cuts `data` into pieces of the given lengths, over and over.
fn cut<'d, T>(mut data: &'d [T], lens: &[usize]) -> Vec<&'d [T]> {
    let mut pieces = Vec::new();
    for &len in lens.iter().cycle() {
        if data.is_empty() {
            break;
        }
        let (piece, rest) = data.split_at(len.min(data.len()));
        pieces.push(piece);
        data = rest;
    }
    pieces
}

/// Frames that a whole stream of `frames` becomes: rounded, halves up.
fn resampled(frames: usize, from: u32, to: u32) -> usize {
    let (frames, from, to) = (frames as u64, u64::from(from), u64::from(to));
    let (whole, rest) = (frames * to / from, frames * to % from);
    (whole + u64::from(2 * rest >= from)) as usize
}

/// The bits of a float, with one NaN for all: which NaN comes out of arithmetic is not defined.
fn bits(sample: f32) -> u32 {
    if sample.is_nan() { f32::NAN.to_bits() } else { sample.to_bits() }
}

fn ints(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
}
