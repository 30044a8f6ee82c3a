//! The chain of kernels between whole frames of one format and samples of another.
//!
//! It must never know about containers, partial frames or faults of a stream: it is given whole frames
//! and a buffer that suffices. See the parent for the order of the stages.

use super::Samples;
use crate::resample::{self, Quality, Resampler};
use crate::{AudioFormat, Container, Encoding, Error, Result, downmix, g711};

/// Full scale of int16 in float32.
const FULL_SCALE: f32 = 32_768.0;

/// One chain and its scratch.
#[derive(Debug)]
pub(super) struct Stages {
    source: AudioFormat,
    target: AudioFormat,
    resampler: Option<Resampler>,
    path: Path,
    /// For G.711 on its way to or from float32.
    codes: Vec<i16>,
}

#[derive(Debug)]
enum Path {
    /// Equal formats: nothing to compute.
    Copy,
    Ints(Scratch<i16>),
    Floats(Scratch<f32>),
}

/// Two buffers: a stage reads `front` and writes `back`, then they change places.
#[derive(Debug, Default)]
struct Scratch<S> {
    front: Vec<S>,
    back: Vec<S>,
}

impl Stages {
    pub(super) fn new(source: AudioFormat, target: AudioFormat, quality: Quality) -> Result<Self> {
        let source = AudioFormat { container: Container::Raw, ..source };
        if source.channels != target.channels && source.channels != 1 && target.channels != 1 {
            let (what, expected) = ("channels", "n to n, n to 1 or 1 to n");
            let got = format!("{} to {}", source.channels, target.channels);
            return Err(Error::Unsupported { what, expected, got });
        }
        let (from, to) = (source.sample_rate, target.sample_rate);
        // Between downmix and upmix: on the fewest channels.
        let channels = source.channels.min(target.channels);
        let resampler =
            (from != to).then(|| Resampler::new(from, to, channels, quality)).transpose()?;
        let float = [source, target].iter().any(|end| end.encoding == Encoding::PcmF32le);
        let path = match float {
            _ if source == target => Path::Copy,
            true => Path::Floats(Scratch::default()),
            false => Path::Ints(Scratch::default()),
        };
        Ok(Self { source, target, resampler, path, codes: Vec::new() })
    }

    pub(super) fn source(&self) -> AudioFormat {
        self.source
    }

    /// Whether these stages are right for `format`, whatever its container.
    pub(super) fn fits(&self, format: AudioFormat) -> bool {
        self.source == AudioFormat { container: Container::Raw, ..format }
    }

    pub(super) fn latency(&self) -> f64 {
        self.resampler.as_ref().map_or(0.0, Resampler::latency)
    }

    /// Exactly the frames that so many frames of the source would give now.
    pub(super) fn output_frames(&self, frames: usize) -> usize {
        self.resampler.as_ref().map_or(frames, |resampler| resampler.output_frames(frames))
    }

    /// Exactly the samples that so many bytes of whole frames would give now.
    pub(super) fn output_samples(&self, bytes: usize) -> usize {
        let frames = self.output_frames(bytes / self.source.frame_bytes());
        frames.saturating_mul(self.target.channels)
    }

    pub(super) fn flush_frames(&self) -> usize {
        self.resampler.as_ref().map_or(0, Resampler::flush_frames)
    }

    pub(super) fn reset(&mut self) {
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }

    /// Converts whole frames; returns the frames written.
    pub(super) fn run(&mut self, bytes: &[u8], out: Samples<'_>) -> Result<usize> {
        let (source, target, codes) = (self.source, self.target, &mut self.codes);
        let resampler = self.resampler.as_mut();
        match &mut self.path {
            Path::Copy => Ok(copy(bytes, out) / target.channels),
            Path::Ints(scratch) => scratch.run(source, target, resampler, codes, bytes, out),
            Path::Floats(scratch) => scratch.run(source, target, resampler, codes, bytes, out),
        }
    }

    /// Writes the resampler's tail; returns its frames.
    pub(super) fn flush(&mut self, out: Samples<'_>) -> Result<usize> {
        let Some(resampler) = &mut self.resampler else { return Ok(0) };
        let (target, codes) = (self.target, &mut self.codes);
        match &mut self.path {
            Path::Copy => Ok(0),
            Path::Ints(scratch) => scratch.flush(target, resampler, codes, out),
            Path::Floats(scratch) => scratch.flush(target, resampler, codes, out),
        }
    }
}

impl<S: Domain> Scratch<S> {
    fn run(
        &mut self,
        source: AudioFormat,
        target: AudioFormat,
        resampler: Option<&mut Resampler>,
        codes: &mut Vec<i16>,
        bytes: &[u8],
        out: Samples<'_>,
    ) -> Result<usize> {
        let mut frames = bytes.len() / source.frame_bytes();
        let samples = sized(&mut self.front, frames * source.channels);
        S::decode(source.encoding, bytes, codes, samples)?;
        let mut channels = source.channels;
        if channels > target.channels {
            let (front, back) = self.turn(frames * channels, frames);
            S::downmix_into(front, channels, back)?;
            channels = 1;
        }
        if let Some(resampler) = resampler {
            let due = resampler.output_frames(frames);
            let (front, back) = self.turn(frames * channels, due * channels);
            frames = resampler.process_into(front, back)?;
        }
        self.end(frames, channels, target, codes, out)
    }

    fn flush(
        &mut self,
        target: AudioFormat,
        resampler: &mut Resampler,
        codes: &mut Vec<i16>,
        out: Samples<'_>,
    ) -> Result<usize> {
        let channels = resampler.channels();
        let due = resampler.flush_frames() * channels;
        let frames = resampler.flush_into(sized(&mut self.front, due))?;
        self.end(frames, channels, target, codes, out)
    }

    /// The stages behind the resampler.
    fn end(
        &mut self,
        frames: usize,
        channels: usize,
        target: AudioFormat,
        codes: &mut Vec<i16>,
        out: Samples<'_>,
    ) -> Result<usize> {
        let samples = frames * target.channels;
        if channels < target.channels {
            let (front, back) = self.turn(frames, samples);
            S::upmix_into(front, target.channels, back)?;
        }
        S::encode(target.encoding, sized(&mut self.front, samples), codes, out)?;
        Ok(frames)
    }

    /// `read` samples of what the last stage wrote, and room for `write` samples of the next.
    ///
    /// The places change here, so the next stage's result is in `front` again.
    fn turn(&mut self, read: usize, write: usize) -> (&[S], &mut [S]) {
        std::mem::swap(&mut self.front, &mut self.back);
        (sized(&mut self.back, read), sized(&mut self.front, write))
    }
}

/// The first `len` items, growing only: the steady state allocates and clears nothing.
fn sized<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}

/// The sample type that a chain computes in.
trait Domain: resample::Sample + Default {
    fn decode(
        encoding: Encoding,
        bytes: &[u8],
        codes: &mut Vec<i16>,
        out: &mut [Self],
    ) -> Result<usize>;
    fn downmix_into(frames: &[Self], channels: usize, out: &mut [Self]) -> Result<usize>;
    fn upmix_into(mono: &[Self], channels: usize, out: &mut [Self]) -> Result<usize>;
    fn encode(
        encoding: Encoding,
        samples: &[Self],
        codes: &mut Vec<i16>,
        out: Samples<'_>,
    ) -> Result<usize>;
}

impl Domain for i16 {
    fn decode(
        encoding: Encoding,
        bytes: &[u8],
        _: &mut Vec<i16>,
        out: &mut [i16],
    ) -> Result<usize> {
        match encoding {
            Encoding::Mulaw | Encoding::Alaw => decode_g711(encoding, bytes, out),
            Encoding::PcmS16le => Ok(each(bytes.as_chunks().0, out, i16::from_le_bytes)),
            // For completeness: a float32 end makes the chain compute in float32.
            Encoding::PcmF32le => {
                Ok(each(bytes.as_chunks().0, out, |float| to_int(f32::from_le_bytes(float))))
            }
        }
    }

    fn downmix_into(frames: &[i16], channels: usize, out: &mut [i16]) -> Result<usize> {
        downmix::downmix_i16_into(frames, channels, out)
    }

    fn upmix_into(mono: &[i16], channels: usize, out: &mut [i16]) -> Result<usize> {
        downmix::upmix_i16_into(mono, channels, out)
    }

    fn encode(
        encoding: Encoding,
        samples: &[i16],
        _: &mut Vec<i16>,
        out: Samples<'_>,
    ) -> Result<usize> {
        match out {
            Samples::U8(out) => encode_g711(encoding, samples, out),
            Samples::I16(out) => Ok(each(samples, out, |int| int)),
            Samples::F32(out) => Ok(each(samples, out, to_float)),
        }
    }
}

impl Domain for f32 {
    fn decode(
        encoding: Encoding,
        bytes: &[u8],
        codes: &mut Vec<i16>,
        out: &mut [f32],
    ) -> Result<usize> {
        match encoding {
            Encoding::PcmF32le => Ok(each(bytes.as_chunks().0, out, f32::from_le_bytes)),
            Encoding::PcmS16le => {
                Ok(each(bytes.as_chunks().0, out, |int| to_float(i16::from_le_bytes(int))))
            }
            Encoding::Mulaw | Encoding::Alaw => {
                let ints = sized(codes, out.len());
                decode_g711(encoding, bytes, ints)?;
                Ok(each(ints, out, to_float))
            }
        }
    }

    fn downmix_into(frames: &[f32], channels: usize, out: &mut [f32]) -> Result<usize> {
        downmix::downmix_f32_into(frames, channels, out)
    }

    fn upmix_into(mono: &[f32], channels: usize, out: &mut [f32]) -> Result<usize> {
        downmix::upmix_f32_into(mono, channels, out)
    }

    fn encode(
        encoding: Encoding,
        samples: &[f32],
        codes: &mut Vec<i16>,
        out: Samples<'_>,
    ) -> Result<usize> {
        match out {
            Samples::F32(out) => Ok(each(samples, out, |float| float)),
            Samples::I16(out) => Ok(each(samples, out, to_int)),
            Samples::U8(out) => {
                let ints = sized(codes, samples.len());
                each(samples, ints, to_int);
                encode_g711(encoding, ints, out)
            }
        }
    }
}

fn decode_g711(encoding: Encoding, codes: &[u8], out: &mut [i16]) -> Result<usize> {
    match encoding {
        Encoding::Alaw => g711::decode_alaw_into(codes, out),
        _ => g711::decode_mulaw_into(codes, out),
    }
}

fn encode_g711(encoding: Encoding, ints: &[i16], out: &mut [u8]) -> Result<usize> {
    match encoding {
        Encoding::Alaw => g711::encode_alaw_into(ints, out),
        _ => g711::encode_mulaw_into(ints, out),
    }
}

/// Reads samples that already have the target's format; returns the samples written.
fn copy(bytes: &[u8], out: Samples<'_>) -> usize {
    match out {
        Samples::I16(out) => each(bytes.as_chunks().0, out, i16::from_le_bytes),
        Samples::F32(out) => each(bytes.as_chunks().0, out, f32::from_le_bytes),
        Samples::U8(out) => each(bytes, out, |code| code),
    }
}

/// Converts as many items as both sides have; returns how many.
fn each<A: Copy, B>(from: &[A], to: &mut [B], convert: impl Fn(A) -> B) -> usize {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = convert(from);
    }
    from.len().min(to.len())
}

fn to_float(int: i16) -> f32 {
    f32::from(int) / FULL_SCALE
}

/// To nearest, ties to even, as the resampler rounds; the cast saturates and makes NaN 0.
fn to_int(float: f32) -> i16 {
    (float * FULL_SCALE).round_ties_even() as i16
}
