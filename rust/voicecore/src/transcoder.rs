//! From the bytes of one stream to samples of another format, in one call.
//!
//! It must never know a kernel's arithmetic or a vendor: it only joins the kernels, and its result is
//! theirs, joined in this order:
//!
//! 1. base64 (if asked), 2. container, or framing and decoder of a coded stream, 3. carry of the bytes of
//!    an incomplete frame,
//! 4. decode to int16, or to float32 if either end is float32,
//! 5. downmix n -> 1, 6. resample, 7. upmix 1 -> n,
//! 8. encode; int16 and float32 differ by the factor 32768, rounded to nearest (ties to even),
//!    saturated, NaN becomes 0.
//!
//! If the formats are equal the samples are copied, bit by bit. Any cut of a stream gives the same
//! samples. A header's format is the truth: the stages are rebuilt from it before any sample flows.

mod coded;
mod stages;

use crate::container::Intake;
use crate::resample::{Quality, resampled_frames};
use crate::{AudioFormat, Container, Encoding, Error, Result, base64};
use coded::Coded;
use stages::Stages;

/// The caller's buffer, of the sample type that the target's encoding has.
#[derive(Debug)]
pub enum Samples<'a> {
    /// For `pcm_s16le`.
    I16(&'a mut [i16]),
    /// For `pcm_f32le`.
    F32(&'a mut [f32]),
    /// For `mulaw` and `alaw`.
    U8(&'a mut [u8]),
}

impl Samples<'_> {
    /// Samples that fit.
    pub fn len(&self) -> usize {
        match self {
            Self::I16(out) => out.len(),
            Self::F32(out) => out.len(),
            Self::U8(out) => out.len(),
        }
    }

    /// Whether nothing fits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The part from `start` on.
    fn after(&mut self, start: usize) -> Samples<'_> {
        match self {
            Self::I16(out) => Samples::I16(out.get_mut(start..).unwrap_or_default()),
            Self::F32(out) => Samples::F32(out.get_mut(start..).unwrap_or_default()),
            Self::U8(out) => Samples::U8(out.get_mut(start..).unwrap_or_default()),
        }
    }

    fn check(&self, encoding: Encoding) -> Result<()> {
        let (fits, expected) = match encoding {
            Encoding::PcmS16le => (matches!(self, Self::I16(_)), "int16 for pcm_s16le"),
            Encoding::PcmF32le => (matches!(self, Self::F32(_)), "float32 for pcm_f32le"),
            // No other encoding is a target.
            _ => (matches!(self, Self::U8(_)), "uint8 for mulaw and alaw"),
        };
        if fits {
            return Ok(());
        }
        let got = match self {
            Self::I16(_) => "int16",
            Self::F32(_) => "float32",
            Self::U8(_) => "uint8",
        };
        Err(Error::Parameter { what: "out", expected, got: got.to_owned() })
    }

    fn check_len(&self, needed: usize) -> Result<()> {
        if self.len() >= needed {
            return Ok(());
        }
        Err(Error::OutputTooSmall { needed, got: self.len() })
    }
}

/// Converts one stream; holds all of its state. After a warm-up it allocates nothing.
#[derive(Debug)]
pub struct Transcoder {
    declared: AudioFormat,
    target: AudioFormat,
    quality: Quality,
    intake: Intake,
    /// For a source of packets, in the place of the intake.
    coded: Option<Box<Coded>>,
    stages: Stages,
    /// Frames of the source that went into the stages.
    fed: u64,
    /// The fault of a header that no stages fit. The intake keeps its own faults, and repeats them.
    failed: Option<Error>,
    frames: Vec<u8>,
    text: Vec<u8>,
}

impl Transcoder {
    /// Joins `source` to `target`, whose container must be `Raw`.
    ///
    /// A `Wav` source may have headers: the first one overrules the rest of `source`, which is what bytes
    /// without a header are taken for.
    ///
    /// A coded source is what its own headers say; the rest of `source` is a guess that is never used.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the channels stay as they are or one side has one channel, for a target
    /// that is not `pcm_s16le`, `pcm_f32le`, `mulaw` or `alaw`, and for a coded source without the feature
    /// `formats`.
    pub fn new(source: AudioFormat, target: AudioFormat, quality: Quality) -> Result<Self> {
        if target.container != Container::Raw {
            let (what, got) = ("to a container", target.container.name().to_owned());
            return Err(Error::Unsupported { what, expected: "raw", got });
        }
        use Encoding::{Alaw, Mulaw, PcmF32le, PcmS16le};
        if !matches!(target.encoding, PcmS16le | PcmF32le | Mulaw | Alaw) {
            let (what, got) = ("to this encoding", target.encoding.name().to_owned());
            let expected = "pcm_s16le, pcm_f32le, mulaw or alaw";
            return Err(Error::Unsupported { what, expected, got });
        }
        Ok(Self {
            declared: source,
            target,
            quality,
            intake: Intake::new(source),
            stages: Stages::new(plain(source), target, quality)?,
            coded: Coded::new(source)?,
            fed: 0,
            failed: None,
            frames: Vec::new(),
            text: Vec::new(),
        })
    }

    /// What the source is taken for: as declared, until a header says otherwise.
    pub fn source(&self) -> AudioFormat {
        let AudioFormat { container, encoding: declared, .. } = self.declared;
        let encoding = if self.is_coded() { declared } else { self.stages.source().encoding };
        AudioFormat { container, encoding, ..self.stages.source() }
    }

    /// What comes out.
    pub fn target(&self) -> AudioFormat {
        self.target
    }

    /// How far, in seconds, the output stays behind the input until the flush. A header can change it.
    pub fn latency(&self) -> f64 {
        self.stages.latency()
    }

    /// Frames that always suffice for the next [`process_into`](Self::process_into) of `in_bytes` bytes.
    ///
    /// Exact for a source without a container. While a header may still come, it is what the header that
    /// stretches its bytes the most would need; for a coded source, what the densest packets would, which is
    /// thousands of times `in_bytes`: [`output_frames_of`](Self::output_frames_of) is exact.
    pub fn output_frames_max(&self, in_bytes: usize) -> usize {
        if self.is_coded() {
            return self.coded_frames_max(in_bytes);
        }
        let bytes = in_bytes.saturating_add(self.intake.pending_bytes());
        match self.intake.format() {
            Some(format) => self.stages.output_frames(bytes / format.frame_bytes()),
            None => {
                let rate = crate::format::MIN_SAMPLE_RATE;
                let frames = resampled_frames(bytes as u64, rate, self.target.sample_rate);
                usize::try_from(frames).unwrap_or(usize::MAX).max(bytes)
            }
        }
    }

    /// Takes the next bytes of the stream, cut anywhere; returns the FRAMES written to `out`.
    ///
    /// # Errors
    /// [`Error::OutputTooSmall`] says exactly how many samples this call would write, [`Error::Parameter`]
    /// that `out` has the wrong type; neither consumes anything. A fault of the stream
    /// ([`Error::Container`], [`Error::Unsupported`], [`Error::FormatChanged`]) ends it: if audio came
    /// before the fault in the same call, that audio is written and the fault is raised by the next call;
    /// from then on every call raises it until [`reset`](Self::reset).
    pub fn process_into(&mut self, data: &[u8], out: Samples<'_>) -> Result<usize> {
        self.check(&out)?;
        if self.is_coded() {
            return self.process_coded(data, out);
        }
        let frames = data.len() / self.stages.source().frame_bytes();
        if self.intake.passes(data, frames) {
            return self.convert(data, frames, out);
        }
        let mut frames = std::mem::take(&mut self.frames);
        let result = self.process_cut(data, &mut frames, out);
        self.frames = frames;
        result
    }

    /// As [`process_into`](Self::process_into) for the bytes that strict base64 `text` stands for.
    ///
    /// # Errors
    /// Also [`Error::Base64`], which consumes nothing.
    pub fn process_base64_into(&mut self, text: &[u8], out: Samples<'_>) -> Result<usize> {
        self.check(&out)?;
        let needed = base64::decoded_len(text)?;
        let mut bytes = std::mem::take(&mut self.text);
        bytes.resize(needed.max(bytes.len()), 0);
        let result = base64::decode_into(text, &mut bytes)
            .and_then(|len| self.process_into(bytes.get(..len).unwrap_or_default(), out));
        self.text = bytes;
        result
    }

    /// Frames that always suffice for [`flush_into`](Self::flush_into).
    pub fn flush_frames_max(&self) -> usize {
        if let Some(coded) = &self.coded {
            return self.coded_tail(coded);
        }
        self.tail_frames(self.intake.pending_bytes() / self.stages.source().frame_bytes())
    }

    /// Ends the stream: writes the tail and returns its FRAMES; the state is then as after [`reset`](Self::reset).
    ///
    /// The bytes of an incomplete last frame are counted as dangling, never padded.
    ///
    /// # Errors
    /// As [`process_into`](Self::process_into), and [`Error::Container`] if the stream ends inside a header, or
    /// if a coded stream had no packet.
    pub fn flush_into(&mut self, out: Samples<'_>) -> Result<usize> {
        self.check(&out)?;
        if self.is_coded() {
            return self.flush_coded(out);
        }
        let mut frames = std::mem::take(&mut self.frames);
        let result = self.flush_cut(&mut frames, out);
        self.frames = frames;
        result
    }

    /// Bytes of incomplete frames that were dropped at a header or a flush, since the construction.
    pub fn dangling_bytes(&self) -> u64 {
        self.coded.as_ref().map_or(self.intake.dangling_bytes(), |coded| coded.dangling_bytes())
    }

    /// Bytes of a coded source that were no packet and no tag, since the construction.
    pub fn skipped_bytes(&self) -> u64 {
        self.coded.as_ref().map_or(0, |coded| coded.skipped_bytes())
    }

    /// Frames of a coded source that were made up for packets lost or broken, since the construction.
    pub fn concealed_frames(&self) -> u64 {
        self.coded.as_ref().map_or(0, |coded| coded.concealed_frames())
    }

    /// Forgets the stream and its fault; the counts stay.
    pub fn reset(&mut self) {
        self.intake.reset();
        if let Some(coded) = &mut self.coded {
            coded.reset(self.declared);
        }
        self.failed = None;
        self.fed = 0;
        self.stages.reset();
        // The next stream may have no header: it is again what was declared. That was built before, so it can be.
        if let Ok(Some(stages)) = self.rebuilt(Some(plain(self.declared))) {
            self.stages = stages;
        }
    }

    fn check(&self, out: &Samples<'_>) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)?;
        out.check(self.target.encoding)
    }

    /// The way of a source with a container, or of a chunk that is not whole frames.
    fn process_cut(
        &mut self,
        data: &[u8],
        frames: &mut Vec<u8>,
        out: Samples<'_>,
    ) -> Result<usize> {
        // A dry run on a copy: nothing is consumed unless `out` suffices.
        let mut intake = self.intake.clone();
        let fault = intake.feed(data, frames).err();
        let rebuilt = self.rebuilt(intake.format()).inspect_err(|error| {
            self.failed = Some(error.clone());
        })?;
        let stages = rebuilt.as_ref().unwrap_or(&self.stages);
        let whole = frames.len() / stages.source().frame_bytes();
        out.check_len(stages.output_samples(whole))?;
        self.intake = intake;
        if let Some(stages) = rebuilt {
            self.stages = stages;
        }
        let written = self.convert(frames, whole, out)?;
        match fault {
            // With audio before it, the fault waits: the intake repeats it at the next call.
            Some(fault) if written == 0 => Err(fault),
            _ => Ok(written),
        }
    }

    /// New stages, if `format` is known and is not what the present ones were built for.
    fn rebuilt(&self, format: Option<AudioFormat>) -> Result<Option<Stages>> {
        match format {
            Some(format) if !self.stages.fits(format) => {
                Stages::new(format, self.target, self.quality).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Sends `frames` whole frames through the stages.
    fn convert(&mut self, bytes: &[u8], frames: usize, out: Samples<'_>) -> Result<usize> {
        out.check_len(self.stages.output_samples(frames))?;
        let written = self.stages.run(bytes, frames, out)?;
        self.fed += frames as u64;
        Ok(written)
    }

    fn flush_cut(&mut self, frames: &mut Vec<u8>, mut out: Samples<'_>) -> Result<usize> {
        let mut intake = self.intake.clone();
        if let Err(fault) = intake.finish(frames) {
            self.intake = intake;
            return Err(fault);
        }
        let channels = self.target.channels;
        let whole = frames.len() / self.stages.source().frame_bytes();
        let tail = self.tail_frames(whole);
        out.check_len(tail.saturating_mul(channels))?;
        self.intake = intake;
        let written = self.convert(frames, whole, out.after(0))?;
        let flushed = self.stages.flush(out.after(written * channels))?;
        self.reset();
        Ok(written + flushed)
    }

    /// Frames that a flush writes if `late` frames of the source are released by it.
    fn tail_frames(&self, late: usize) -> usize {
        let (source, target) = (self.stages.source().sample_rate, self.target.sample_rate);
        let total = |frames| resampled_frames(frames, source, target);
        let late = total(self.fed.saturating_add(late as u64)).saturating_sub(total(self.fed));
        usize::try_from(late).unwrap_or(usize::MAX).saturating_add(self.stages.flush_frames())
    }
}

/// What the stages are given of this source.
fn plain(source: AudioFormat) -> AudioFormat {
    if source.encoding.is_coded() { crate::coded::decoded(source) } else { source }
}
