//! The chain of kernels between whole frames of one format and samples of another.
//!
//! It must never know about containers, partial frames or faults of a stream: it is given whole frames
//! and a buffer that suffices. See the parent for the order of the stages.

use super::Samples;
use crate::resample::{self, Quality, Resampler};
use crate::{AudioFormat, Container, Encoding, Error, Result, downmix, g711};
use std::cmp::Ordering;

/// Full scale of int16 in float32.
const FULL_SCALE: f32 = 32_768.0;
/// Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, without a call to libm.
const ROUNDER: f32 = 12_582_912.0;

/// One chain and its scratch.
#[derive(Debug)]
pub(super) struct Stages {
    source: AudioFormat,
    target: AudioFormat,
    resampler: Option<Resampler>,
    path: Path,
}

#[derive(Debug)]
enum Path {
    /// Equal formats: nothing to compute.
    Copy,
    Ints(Line<i16>),
    Floats(Line<f32>),
}

/// The stages of a chain, in their order. The last one writes to the caller's buffer if that has the
/// chain's sample type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Decode,
    Downmix,
    Resample,
    Upmix,
}

/// What each stage writes if it is not the last one.
#[derive(Debug)]
struct Line<S> {
    last: Stage,
    decoded: Vec<S>,
    mono: Vec<S>,
    resampled: Vec<S>,
    wide: Vec<S>,
    /// For G.711 on its way to or from float32.
    codes: Vec<i16>,
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
        let last = match source.channels.cmp(&target.channels) {
            Ordering::Less => Stage::Upmix,
            _ if resampler.is_some() => Stage::Resample,
            Ordering::Greater => Stage::Downmix,
            Ordering::Equal => Stage::Decode,
        };
        let float = [source, target].iter().any(|end| {
            matches!(end.encoding, Encoding::PcmF32le | Encoding::PcmS24le | Encoding::PcmS32le)
        });
        let path = match float {
            _ if source == target => Path::Copy,
            true => Path::Floats(Line::new(last)),
            false => Path::Ints(Line::new(last)),
        };
        Ok(Self { source, target, resampler, path })
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

    /// Exactly the samples that so many frames of the source would give now.
    pub(super) fn output_samples(&self, frames: usize) -> usize {
        self.output_frames(frames).saturating_mul(self.target.channels)
    }

    pub(super) fn flush_frames(&self) -> usize {
        self.resampler.as_ref().map_or(0, Resampler::flush_frames)
    }

    pub(super) fn reset(&mut self) {
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }

    /// Converts the whole frames in `bytes`, whose number is `frames`; returns the frames written.
    pub(super) fn run(&mut self, bytes: &[u8], frames: usize, out: Samples<'_>) -> Result<usize> {
        let (source, target, resampler) = (self.source, self.target, self.resampler.as_mut());
        match &mut self.path {
            Path::Copy => {
                copy(bytes, out);
                Ok(frames)
            }
            Path::Ints(line) => line.run(source, target, resampler, bytes, frames, out),
            Path::Floats(line) => line.run(source, target, resampler, bytes, frames, out),
        }
    }

    /// Writes the resampler's tail; returns its frames.
    pub(super) fn flush(&mut self, out: Samples<'_>) -> Result<usize> {
        let Some(resampler) = &mut self.resampler else { return Ok(0) };
        match &mut self.path {
            Path::Copy => Ok(0),
            Path::Ints(line) => line.flush(self.target, resampler, out),
            Path::Floats(line) => line.flush(self.target, resampler, out),
        }
    }
}

impl<S: Domain> Line<S> {
    fn new(last: Stage) -> Self {
        let (decoded, mono, resampled, wide) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { last, decoded, mono, resampled, wide, codes: Vec::new() }
    }

    fn run(
        &mut self,
        source: AudioFormat,
        target: AudioFormat,
        resampler: Option<&mut Resampler>,
        bytes: &[u8],
        mut frames: usize,
        out: Samples<'_>,
    ) -> Result<usize> {
        let mut channels = source.channels;
        let mut end = End::new(self.last, out);
        let mut samples = match S::lent(source.encoding, bytes) {
            Some(samples) => samples,
            None => {
                let to = end.place(Stage::Decode, &mut self.decoded, frames * channels);
                S::decode(source.encoding, bytes, &mut self.codes, to)?;
                &*to
            }
        };
        if channels > target.channels {
            let to = end.place(Stage::Downmix, &mut self.mono, frames);
            S::downmix_into(samples, channels, to)?;
            (samples, channels) = (to, 1);
        }
        if let Some(resampler) = resampler {
            let due = resampler.output_frames(frames);
            let to = end.place(Stage::Resample, &mut self.resampled, due * channels);
            frames = resampler.process_into(samples, to)?;
            samples = to;
        }
        end.finish(samples, channels, target, &mut self.wide, &mut self.codes)?;
        Ok(frames)
    }

    fn flush(
        &mut self,
        target: AudioFormat,
        resampler: &mut Resampler,
        out: Samples<'_>,
    ) -> Result<usize> {
        let (due, channels) = (resampler.flush_frames(), resampler.channels());
        let mut end = End::new(self.last, out);
        let to = end.place(Stage::Resample, &mut self.resampled, due * channels);
        let frames = resampler.flush_into(to)?;
        end.finish(to, channels, target, &mut self.wide, &mut self.codes)?;
        Ok(frames)
    }
}

/// The caller's buffer, for whichever stage comes last.
struct End<'o, S> {
    last: Stage,
    /// The buffer, until the last stage takes it; empty if samples have to be encoded.
    native: &'o mut [S],
    /// The buffer if samples have to be encoded.
    encoded: Option<Samples<'o>>,
}

impl<'o, S: Domain> End<'o, S> {
    fn new(last: Stage, out: Samples<'o>) -> Self {
        let (native, encoded) = S::native(out);
        Self { last, native, encoded }
    }

    /// Room for `len` samples that `stage` writes.
    fn place<'p>(&mut self, stage: Stage, scratch: &'p mut Vec<S>, len: usize) -> &'p mut [S]
    where
        'o: 'p,
    {
        if self.last == stage && self.encoded.is_none() {
            let out = std::mem::take(&mut self.native);
            let len = len.min(out.len());
            return &mut out[..len];
        }
        sized(scratch, len)
    }

    /// The stages behind the resampler.
    fn finish<'p>(
        mut self,
        mut samples: &'p [S],
        channels: usize,
        target: AudioFormat,
        wide: &'p mut Vec<S>,
        codes: &mut Vec<i16>,
    ) -> Result<()>
    where
        'o: 'p,
    {
        if channels < target.channels {
            let to = self.place(Stage::Upmix, wide, samples.len() * target.channels);
            S::upmix_into(samples, target.channels, to)?;
            samples = to;
        }
        match self.encoded {
            Some(out) => S::encode(target.encoding, samples, codes, out).map(drop),
            None => Ok(()),
        }
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
    /// `out` if it holds such samples; otherwise an empty slice, and `out`.
    fn native(out: Samples<'_>) -> (&mut [Self], Option<Samples<'_>>);
    /// The samples in place, if `bytes` hold such samples and are aligned for them.
    fn lent(encoding: Encoding, bytes: &[u8]) -> Option<&[Self]>;
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
    fn native(out: Samples<'_>) -> (&mut [i16], Option<Samples<'_>>) {
        match out {
            Samples::I16(out) => (out, None),
            other => (&mut [], Some(other)),
        }
    }

    fn lent(encoding: Encoding, bytes: &[u8]) -> Option<&[i16]> {
        lent(encoding == Encoding::PcmS16le, bytes)
    }

    fn decode(
        encoding: Encoding,
        bytes: &[u8],
        _: &mut Vec<i16>,
        out: &mut [i16],
    ) -> Result<usize> {
        match encoding {
            Encoding::Mulaw | Encoding::Alaw => decode_g711(encoding, bytes, out),
            // Any other encoding makes the chain compute in float32.
            _ => Ok(each(bytes.as_chunks().0, out, i16::from_le_bytes)),
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
    fn native(out: Samples<'_>) -> (&mut [f32], Option<Samples<'_>>) {
        match out {
            Samples::F32(out) => (out, None),
            other => (&mut [], Some(other)),
        }
    }

    fn lent(encoding: Encoding, bytes: &[u8]) -> Option<&[f32]> {
        lent(encoding == Encoding::PcmF32le, bytes)
    }

    fn decode(
        encoding: Encoding,
        bytes: &[u8],
        codes: &mut Vec<i16>,
        out: &mut [f32],
    ) -> Result<usize> {
        match encoding {
            Encoding::PcmS24le => Ok(each(bytes.as_chunks().0, out, from_24)),
            Encoding::PcmS32le => Ok(each(bytes.as_chunks().0, out, from_32)),
            Encoding::PcmS16le => {
                Ok(each(bytes.as_chunks().0, out, |int| to_float(i16::from_le_bytes(int))))
            }
            Encoding::Mulaw | Encoding::Alaw => {
                let ints = sized(codes, out.len());
                decode_g711(encoding, bytes, ints)?;
                Ok(each(ints, out, to_float))
            }
            // A coded stream is float32 when it gets here.
            _ => Ok(each(bytes.as_chunks().0, out, f32::from_le_bytes)),
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

/// `bytes` as samples of this machine, if `alike` says that it writes them so.
fn lent<S: bytemuck::Pod>(alike: bool, bytes: &[u8]) -> Option<&[S]> {
    let alike = alike && cfg!(target_endian = "little");
    alike.then(|| bytemuck::try_cast_slice(bytes).ok()).flatten()
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

/// Reads samples that already have the target's format.
fn copy(bytes: &[u8], out: Samples<'_>) {
    match out {
        Samples::I16(out) => each(bytes.as_chunks().0, out, i16::from_le_bytes),
        Samples::F32(out) => each(bytes.as_chunks().0, out, f32::from_le_bytes),
        Samples::U8(out) => each(bytes, out, |code| code),
    };
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

/// Exact.
fn from_24([low, mid, high]: [u8; 3]) -> f32 {
    from_32([0, low, mid, high])
}

/// Rounds to the 24 bits that a float has.
fn from_32(bytes: [u8; 4]) -> f32 {
    i32::from_le_bytes(bytes) as f32 / (FULL_SCALE * 65_536.0)
}

/// To nearest, ties to even, as the resampler rounds; saturates and makes NaN 0.
fn to_int(float: f32) -> i16 {
    let float = if float.is_nan() { 0.0 } else { float };
    let scaled = (float * FULL_SCALE).clamp(-FULL_SCALE, FULL_SCALE - 1.0);
    // The sum's low bits are the integer.
    (scaled + ROUNDER).to_bits() as i16
}
