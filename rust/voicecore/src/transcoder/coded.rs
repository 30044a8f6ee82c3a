//! The way of a coded source: packets are decoded one by one, each straight through the stages.
//!
//! It must never know a codec. Framing runs twice: first on a copy, which tells exactly what the call will
//! write, so that nothing is consumed unless `out` suffices.

use super::stages::Stages;
use super::{Samples, Transcoder};
use crate::coded::{Count, Decoder, Framing, Packet, PacketSink, Setup};
use crate::resample::resampled_frames;
use crate::{AudioFormat, Error, Result};

/// Frames at 48 kHz that one byte can stand for: a 2-byte packet of 120 ms, laced by a third byte.
const FRAMES_PER_BYTE: usize = 1_920;
/// Bytes that may wait in the framing, and a hole that is made up for.
const PENDING_BYTES: usize = 140_000;

/// What a coded source needs besides the stages.
#[derive(Debug)]
pub(super) struct Coded {
    framing: Framing,
    decoder: Decoder,
    /// Of the streams before this one.
    skipped: u64,
    dangling: u64,
}

impl Coded {
    /// `None` for a source that is not coded.
    pub(super) fn new(source: AudioFormat) -> Result<Option<Box<Self>>> {
        let Some(framing) = Framing::new(source) else { return Ok(None) };
        let decoder = Decoder::new(source)?;
        Ok(Some(Box::new(Self { framing, decoder, skipped: 0, dangling: 0 })))
    }

    pub(super) fn skipped_bytes(&self) -> u64 {
        self.skipped + self.framing.skipped_bytes()
    }

    pub(super) fn dangling_bytes(&self) -> u64 {
        self.dangling + self.framing.dangling_bytes()
    }

    pub(super) fn concealed_frames(&self) -> u64 {
        self.decoder.concealed_frames()
    }

    pub(super) fn reset(&mut self, source: AudioFormat) {
        self.skipped = self.skipped_bytes();
        self.dangling = self.dangling_bytes();
        self.framing = Framing::new(source).unwrap_or_else(|| self.framing.clone());
    }

    /// What `data`, or the end of the stream, would give.
    fn dry_run(&self, data: Option<&[u8]>) -> (Count, Option<Error>) {
        let (mut framing, mut count) = (self.framing.clone(), Count::default());
        let result = match data {
            Some(data) => framing.feed(data, &mut count),
            None => framing.finish(&mut count),
        };
        (count, result.err())
    }
}

impl Transcoder {
    /// Frames that always suffice for the next [`process_into`](Self::process_into) of `data`.
    ///
    /// Exact for a coded source, once the stream has begun; for any other it is
    /// [`output_frames_max`](Self::output_frames_max).
    pub fn output_frames_of(&self, data: &[u8]) -> usize {
        match &self.coded {
            None => self.output_frames_max(data.len()),
            Some(coded) => {
                let (count, _) = coded.dry_run(Some(data));
                self.frames_from(count)
            }
        }
    }

    /// Whether the source is coded: what comes of it depends on more than its length.
    pub fn is_coded(&self) -> bool {
        self.coded.is_some()
    }

    /// For any `in_bytes` bytes of a coded stream.
    pub(super) fn coded_frames_max(&self, in_bytes: usize) -> usize {
        let frames = in_bytes.saturating_add(PENDING_BYTES).saturating_mul(FRAMES_PER_BYTE);
        let rate = self.stages.source().sample_rate.min(crate::coded::OPUS_RATE);
        usize::try_from(resampled_frames(frames as u64, rate, self.target.sample_rate))
            .unwrap_or(usize::MAX)
    }

    fn frames_from(&self, count: Count) -> usize {
        match count.format {
            Some(format) if !self.stages.fits(format) => {
                let total = resampled_frames(
                    count.frames as u64,
                    format.sample_rate,
                    self.target.sample_rate,
                );
                usize::try_from(total).unwrap_or(usize::MAX)
            }
            _ => self.stages.output_frames(count.frames),
        }
    }

    /// As [`process_into`](Self::process_into), for a coded source.
    pub(super) fn process_coded(&mut self, data: &[u8], out: Samples<'_>) -> Result<usize> {
        match self.pour(Some(data), 0, out)? {
            // With audio before it, the fault waits: the framing repeats it at the next call.
            (0, Some(fault)) => Err(fault),
            (written, _) => Ok(written),
        }
    }

    /// As [`flush_into`](Self::flush_into), for a coded source.
    pub(super) fn flush_coded(&mut self, mut out: Samples<'_>) -> Result<usize> {
        let room = self.coded.as_ref().map_or(0, |coded| self.coded_tail(coded));
        let (written, fault) = self.pour(None, room, out.after(0))?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let flushed = self.stages.flush(out.after(written * self.target.channels))?;
        self.reset();
        Ok(written + flushed)
    }

    /// Frames that a flush writes in all: of what the end releases, and the filter's tail.
    pub(super) fn coded_tail(&self, coded: &Coded) -> usize {
        let (count, _) = coded.dry_run(None);
        match count.format {
            Some(format) if !self.stages.fits(format) => self.frames_from(count),
            _ => self.tail_frames(count.frames),
        }
    }

    /// Sends `data`, or what the stream's end releases, through decoder and stages. Returns the frames
    /// written, and the stream's fault. `out` must hold that, and at least `room` frames.
    fn pour(
        &mut self,
        data: Option<&[u8]>,
        room: usize,
        out: Samples<'_>,
    ) -> Result<(usize, Option<Error>)> {
        let Some(coded) = &self.coded else { return Ok((0, None)) };
        let (count, fault) = coded.dry_run(data);
        let rebuilt = self.rebuilt(count.format).inspect_err(|error| {
            self.failed = Some(error.clone());
        })?;
        let due = rebuilt.as_ref().unwrap_or(&self.stages).output_frames(count.frames);
        out.check_len(due.max(room).saturating_mul(self.target.channels))?;
        if let Some(stages) = rebuilt {
            self.stages = stages;
        }
        let (stages, channels) = (&mut self.stages, self.target.channels);
        let Some(coded) = &mut self.coded else { return Ok((0, None)) };
        let Coded { framing, decoder, .. } = &mut **coded;
        let mut pour = Pour { decoder, stages, channels, out, written: 0 };
        // The same fault as in the dry run, or none: the stages fit.
        let result = match data {
            Some(data) => framing.feed(data, &mut pour),
            None => framing.finish(&mut pour),
        };
        let written = pour.written;
        self.fed += count.frames as u64;
        Ok((written, result.err().or(fault)))
    }
}

/// Decodes what comes and sends it on.
struct Pour<'a, 'o> {
    decoder: &'a mut Decoder,
    stages: &'a mut Stages,
    channels: usize,
    out: Samples<'o>,
    /// Frames.
    written: usize,
}

impl PacketSink for Pour<'_, '_> {
    fn begin(&mut self, setup: Setup) -> Result<()> {
        self.decoder.begin(setup)
    }

    fn packet(&mut self, packet: Packet<'_>) -> Result<()> {
        let frames = packet.keep.len();
        let samples = bytemuck::cast_slice(self.decoder.decode(packet));
        let rest = self.out.after(self.written * self.channels);
        self.written += self.stages.run(samples, frames, rest)?;
        Ok(())
    }
}
