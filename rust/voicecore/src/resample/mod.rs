//! Sample-rate conversion of a stream, by any ratio of whole rates.
//!
//! Windowed or fitted sincs in polyphase form, in one stage or two (see `plan.rs` and docs/resampler.md), computed
//! in f32, rounded to nearest, never dithered. Output frame k stands for the input's time
//! `k * in_rate / out_rate`, and depends on that and on the input only: never on how the stream was cut. AVX2
//! and AVX-512 give equal bits, the portable loops the same within 1e-6 of full scale. Nothing is allocated per call.

mod bank;
mod chain;
mod filter;
mod fitted;
mod kernel;
mod plan;
mod rows;
mod sample;
mod shape;

pub use sample::Sample;

use crate::format::{check_channels, check_sample_rate};
use crate::{Error, Result};
use chain::{Chain, Feed};
use plan::Key;

/// Silence beyond the look-ahead that a flush feeds: each stage may round its position down by a frame, and a
/// frame between the stages may last several input frames.
const FLUSH_MARGIN: usize = 256;

/// What the filter passes and stops. Edges are fractions of fN, the lower of both Nyquist frequencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quality {
    /// Passes 0.913 fN, stops all from fN at -120 dB or better: nothing aliases.
    Hq,
    /// Passes 0.913 fN, stops from 1.087 fN at about -100 dB: only what lies above 0.913 fN aliases.
    Voice,
    /// Passes 0.80 fN, stops from 1.2 fN at better than -80 dB, with 1 to 2 ms of delay at 8 kHz.
    LowLatency,
}

impl Quality {
    /// The profile's name, as [`FromStr`](std::str::FromStr) takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hq => "hq",
            Self::Voice => "voice",
            Self::LowLatency => "low_latency",
        }
    }

    /// Where the pass band ends, as a fraction of fN.
    pub const fn pass(self) -> f64 {
        match self {
            Self::Hq | Self::Voice => 0.913,
            Self::LowLatency => 0.80,
        }
    }

    /// Where the stop band begins, as a fraction of fN.
    pub const fn stop(self) -> f64 {
        match self {
            Self::Hq => 1.0,
            Self::Voice => 1.087,
            Self::LowLatency => 1.2,
        }
    }

    /// What windows are designed for, in dB. Measured rejection is a little lower. The strict stage of `hq` is fitted.
    pub const fn rejection(self) -> f64 {
        match self {
            Self::Hq => 135.9,
            Self::Voice => 102.7,
            Self::LowLatency => 90.0,
        }
    }
}

impl std::str::FromStr for Quality {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Hq, Self::Voice, Self::LowLatency]
            .into_iter()
            .find(|quality| quality.name() == name)
            .ok_or_else(|| Error::Parameter {
                what: "quality",
                expected: "hq, voice or low_latency",
                got: name.to_owned(),
            })
    }
}

/// Frames that `in_frames` become: `in_frames * out_rate / in_rate`, rounded, halves up.
///
/// That many come out of a stream's `process_into` and `flush_into` together. Saturates; 0 for an `in_rate` of 0.
pub fn resampled_frames(in_frames: u64, in_rate: u32, out_rate: u32) -> u64 {
    let (frames, from, to) = (u128::from(in_frames), u128::from(in_rate), u128::from(out_rate));
    let rounded = (2 * frames * to + from).checked_div(2 * from).unwrap_or(0);
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

/// Converts one stream of interleaved frames from one rate to another.
///
/// The output is aligned in time: the filter's delay is taken off the start, and made up at the flush with
/// silence after the end. Equal rates copy. i16 and f32 calls may be mixed; they agree within one step of i16.
/// A sample that is not finite spoils the outputs whose filter window it lies in, and no others.
#[derive(Debug)]
pub struct Resampler {
    in_rate: u32,
    out_rate: u32,
    channels: usize,
    path: Path,
    /// Input frames since the last reset.
    fed: u64,
    /// Output frames since the last reset.
    emitted: u64,
}

/// How a stream is converted.
#[derive(Debug)]
enum Path {
    /// Equal rates: sample by sample, without delay.
    Copy,
    /// All other rates.
    Filter(Box<Chain>),
}

impl Resampler {
    /// A resampler at the start of a stream. Cheap if the same ratio and quality was used lately.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a rate outside 4000..=192000 Hz or a channel count outside 1..=64.
    pub fn new(in_rate: u32, out_rate: u32, channels: usize, quality: Quality) -> Result<Self> {
        check_sample_rate("in_rate", in_rate)?;
        check_sample_rate("out_rate", out_rate)?;
        check_channels(channels)?;
        let path = if in_rate == out_rate {
            Path::Copy
        } else {
            let divisor = greatest_common_divisor(in_rate.into(), out_rate.into()) as u32;
            let key = Key { up: out_rate / divisor, down: in_rate / divisor, quality };
            Path::Filter(Box::new(Chain::new(key, channels)))
        };
        Ok(Self { in_rate, out_rate, channels, path, fed: 0, emitted: 0 })
    }

    /// Input frames per second.
    pub fn in_rate(&self) -> u32 {
        self.in_rate
    }

    /// Output frames per second.
    pub fn out_rate(&self) -> u32 {
        self.out_rate
    }

    /// Samples per frame, in and out.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// How far, in seconds, output stays behind input until the flush: the filter's look-ahead. Constant.
    pub fn latency(&self) -> f64 {
        match &self.path {
            Path::Copy => 0.0,
            Path::Filter(stream) => stream.ahead() / f64::from(self.in_rate),
        }
    }

    /// Exactly how many frames [`process_into`](Self::process_into) would write for so many input frames now.
    pub fn output_frames(&self, in_frames: usize) -> usize {
        match &self.path {
            Path::Copy => in_frames,
            Path::Filter(stream) => stream.ready(in_frames),
        }
    }

    /// Takes whole interleaved frames, and writes those that are due; returns the frames written.
    ///
    /// # Errors
    /// [`Error::PartialFrame`] if `input` is not whole frames, [`Error::OutputTooSmall`] if `out` holds less than
    /// [`output_frames`](Self::output_frames); neither consumes input or changes anything.
    pub fn process_into<S: Sample>(&mut self, input: &[S], out: &mut [S]) -> Result<usize> {
        let len = input.len();
        if !len.is_multiple_of(self.channels) {
            return Err(Error::PartialFrame { len, what: "samples", unit: self.channels });
        }
        let in_frames = len / self.channels;
        let frames = self.output_frames(in_frames);
        let out = take(out, frames, self.channels)?;
        match &mut self.path {
            Path::Copy => out.copy_from_slice(input),
            Path::Filter(stream) => stream.run(Feed::Frames(input), out),
        }
        self.fed = self.fed.saturating_add(in_frames as u64);
        self.emitted = self.emitted.saturating_add(frames as u64);
        Ok(frames)
    }

    /// Exactly how many frames [`flush_into`](Self::flush_into) would write now.
    pub fn flush_frames(&self) -> usize {
        match self.path {
            Path::Copy => 0,
            Path::Filter(_) => {
                let total = resampled_frames(self.fed, self.in_rate, self.out_rate);
                total.saturating_sub(self.emitted) as usize
            }
        }
    }

    /// Ends the stream: writes the tail, as if silence followed, and is then as after [`reset`](Self::reset).
    /// Returns the frames written.
    ///
    /// # Errors
    /// [`Error::OutputTooSmall`] if `out` holds less than [`flush_frames`](Self::flush_frames); nothing changes then.
    pub fn flush_into<S: Sample>(&mut self, out: &mut [S]) -> Result<usize> {
        let frames = self.flush_frames();
        let out = take(out, frames, self.channels)?;
        if let Path::Filter(stream) = &mut self.path {
            // As far as the stages look ahead, and a frame for each that rounds: enough for the last output frame.
            stream.run(Feed::Silence(stream.ahead().ceil() as usize + FLUSH_MARGIN), out);
        }
        self.reset();
        Ok(frames)
    }

    /// Forgets the stream, and starts a new one.
    pub fn reset(&mut self) {
        self.fed = 0;
        self.emitted = 0;
        if let Path::Filter(stream) = &mut self.path {
            stream.reset();
        }
    }
}

/// The first `frames` frames of `out`.
fn take<S>(out: &mut [S], frames: usize, channels: usize) -> Result<&mut [S]> {
    let needed = frames.saturating_mul(channels);
    let got = out.len();
    out.get_mut(..needed).ok_or(Error::OutputTooSmall { needed, got })
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
