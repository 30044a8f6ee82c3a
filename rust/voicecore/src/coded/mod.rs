//! Coded streams, MP3 and Opus in Ogg: from bytes cut anywhere to packets, and from packets to float32.
//!
//! Two halves. *Framing* finds the packets, knows their length without decoding them, and says which of
//! their frames are audio: it is cheap to clone, so a dry run tells exactly what a call would give. A
//! *decoder* turns packets into samples. Nothing here may know what happens to the samples afterwards.

mod decoder;
mod header;
mod held;
mod mp3;
mod ogg;
mod opus;

pub(crate) use decoder::Decoder;

use crate::{AudioFormat, Container, Encoding, Result};
use std::ops::Range;

/// Rate of all that Opus decodes to, and of Ogg's granule positions for it.
pub(crate) const OPUS_RATE: u32 = 48_000;

/// One packet of a coded stream, on its way to the decoder.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    /// Nothing for a packet that is lost: the decoder makes something up.
    pub bytes: &'a [u8],
    /// Length of what it decodes to.
    pub frames: usize,
    /// The part of it that is audio, rather than the coder's delay or padding.
    pub keep: Range<usize>,
}

/// How a stream is to be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setup {
    /// Rate in Hz and channels of the samples.
    pub sample_rate: u32,
    pub channels: usize,
    /// In 1/256 dB (Opus).
    pub gain_q8: i16,
}

impl Setup {
    /// What the decoder gives.
    pub(crate) fn samples(self) -> AudioFormat {
        AudioFormat {
            encoding: Encoding::PcmF32le,
            sample_rate: self.sample_rate,
            channels: self.channels,
            container: Container::Raw,
        }
    }
}

/// Where packets go.
pub(crate) trait PacketSink {
    /// Comes before the first packet, and again before one that needs nothing from those before it. Only
    /// the first time are rate and channels new.
    fn begin(&mut self, setup: Setup) -> Result<()>;
    fn packet(&mut self, packet: Packet<'_>) -> Result<()>;
}

/// Counts what comes, and looks at what it is: a dry run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    /// Of the samples; `None` while nothing has begun.
    pub format: Option<AudioFormat>,
    pub packets: usize,
    /// Of audio.
    pub frames: usize,
}

impl PacketSink for Count {
    fn begin(&mut self, setup: Setup) -> Result<()> {
        self.format = Some(setup.samples());
        Ok(())
    }

    fn packet(&mut self, packet: Packet<'_>) -> Result<()> {
        self.packets += 1;
        self.frames += packet.keep.len();
        Ok(())
    }
}

/// The state of a stream between its bytes and its packets.
#[derive(Debug, Clone)]
pub(crate) enum Framing {
    Mp3(mp3::Framer),
    Ogg(opus::Framer),
}

impl Framing {
    /// `None` for a format that is not coded.
    pub(crate) fn new(source: AudioFormat) -> Option<Self> {
        match source.encoding {
            Encoding::Mp3 => Some(Self::Mp3(mp3::Framer::default())),
            Encoding::Opus => Some(Self::Ogg(opus::Framer::default())),
            _ => None,
        }
    }

    /// Takes the next bytes. After an error every call repeats it, and what came before it is in `sink`.
    pub(crate) fn feed(&mut self, data: &[u8], sink: &mut impl PacketSink) -> Result<()> {
        match self {
            Self::Mp3(framer) => framer.feed(data, sink),
            Self::Ogg(framer) => framer.feed(data, sink),
        }
    }

    /// The stream is over: gives what waited only for that. A stream without a packet is an error.
    pub(crate) fn finish(&mut self, sink: &mut impl PacketSink) -> Result<()> {
        match self {
            Self::Mp3(framer) => framer.finish(sink),
            Self::Ogg(framer) => framer.finish(),
        }
    }

    /// Bytes that were neither audio nor a tag.
    pub(crate) fn skipped_bytes(&self) -> u64 {
        match self {
            Self::Mp3(framer) => framer.skipped,
            Self::Ogg(framer) => framer.skipped,
        }
    }

    /// Bytes of an incomplete packet at the end.
    pub(crate) fn dangling_bytes(&self) -> u64 {
        match self {
            Self::Mp3(framer) => framer.dangling,
            Self::Ogg(framer) => framer.dangling,
        }
    }
}

/// What a coded format decodes to, as far as it is known before the first byte.
pub(crate) fn decoded(source: AudioFormat) -> AudioFormat {
    let sample_rate = match source.encoding {
        Encoding::Opus => OPUS_RATE,
        _ => source.sample_rate,
    };
    Setup { sample_rate, channels: source.channels, gain_q8: 0 }.samples()
}
