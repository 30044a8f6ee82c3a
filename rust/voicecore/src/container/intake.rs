//! From the bytes of a stream, cut anywhere, to whole frames of samples.
//!
//! It must never know what the frames become. It owns no heap, so a clone is a cheap dry run: feed
//! the clone, look at what came, and keep it or drop it.

use super::wav::{Sink, WavReader};
use crate::format::MAX_CHANNELS;
use crate::{AudioFormat, Container, Result};

/// Bytes of the largest frame: 64 channels of float.
const FRAME_MAX: usize = MAX_CHANNELS * 4;

/// The state of one stream between its bytes and its frames.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    declared: AudioFormat,
    /// `None` for a stream without a container.
    wav: Option<WavReader>,
    carry: [u8; FRAME_MAX],
    carry_len: usize,
    dangling: u64,
}

impl Intake {
    pub(crate) fn new(declared: AudioFormat) -> Self {
        let wav = match declared.container {
            Container::Raw | Container::Ogg => None,
            Container::Wav => Some(WavReader::new(Some(declared))),
        };
        Self { declared, wav, carry: [0; FRAME_MAX], carry_len: 0, dangling: 0 }
    }

    /// What the samples are; `None` while a header may still come.
    pub(crate) fn format(&self) -> Option<AudioFormat> {
        match &self.wav {
            None => Some(self.declared),
            Some(wav) => wav.format(),
        }
    }

    /// Bytes that came but have not left as frames.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.carry_len + self.wav.as_ref().map_or(0, WavReader::held_bytes)
    }

    /// Bytes of incomplete frames that were dropped so far; a reset keeps the count.
    pub(crate) fn dangling_bytes(&self) -> u64 {
        self.dangling
    }

    /// True if `data` is `frames` frames and [`feed`](Self::feed) would give just that and change nothing.
    pub(crate) fn passes(&self, data: &[u8], frames: usize) -> bool {
        let whole = frames * self.declared.frame_bytes() == data.len();
        whole && self.wav.is_none() && self.carry_len == 0
    }

    /// Replaces `frames` by the whole frames that `data` completes; on an error, by those before it.
    pub(crate) fn feed(&mut self, data: &[u8], frames: &mut Vec<u8>) -> Result<()> {
        let mut sink = self.uncarry(frames);
        let result = match &mut self.wav {
            None => {
                sink.audio(data);
                Ok(())
            }
            Some(wav) => wav.feed_to(data, &mut sink),
        };
        self.dangling += sink.dangling;
        self.carry_len = sink.partial();
        let whole = frames.len() - self.carry_len;
        self.carry[..self.carry_len].copy_from_slice(&frames[whole..]);
        frames.truncate(whole);
        result
    }

    /// Ends the stream: replaces `frames` by the last whole frames, and drops what is no frame.
    pub(crate) fn finish(&mut self, frames: &mut Vec<u8>) -> Result<()> {
        let mut sink = self.uncarry(frames);
        let result = self.wav.as_mut().map_or(Ok(()), |wav| wav.finish_to(&mut sink));
        sink.drop_partial();
        self.dangling += sink.dangling;
        self.carry_len = 0;
        result
    }

    /// Forgets the stream, not the count of what was dropped.
    pub(crate) fn reset(&mut self) {
        *self = Self { dangling: self.dangling, ..Self::new(self.declared) };
    }

    /// Begins `frames` with the part of a frame that waits.
    fn uncarry<'f>(&self, frames: &'f mut Vec<u8>) -> Frames<'f> {
        frames.clear();
        frames.extend_from_slice(&self.carry[..self.carry_len]);
        let frame = self.format().unwrap_or(self.declared).frame_bytes();
        Frames { bytes: frames, frame, dangling: 0 }
    }
}

/// Collects audio; at a header, drops what is not a whole frame.
struct Frames<'f> {
    bytes: &'f mut Vec<u8>,
    frame: usize,
    dangling: u64,
}

impl Frames<'_> {
    /// Bytes behind the last whole frame. Only whole frames stand before a dropped part, so this counts from 0.
    fn partial(&self) -> usize {
        self.bytes.len() % self.frame
    }

    fn drop_partial(&mut self) {
        let partial = self.partial();
        self.bytes.truncate(self.bytes.len() - partial);
        self.dangling += partial as u64;
    }
}

impl Sink for Frames<'_> {
    fn header(&mut self, format: AudioFormat) {
        self.drop_partial();
        self.frame = format.frame_bytes();
    }

    fn audio(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}
