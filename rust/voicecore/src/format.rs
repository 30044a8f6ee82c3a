//! The description of a stream of audio: encoding, rate, channels, container.

use crate::{Error, Result};
use std::fmt;

/// Lowest sample rate that any kernel accepts, in Hz.
pub const MIN_SAMPLE_RATE: u32 = 4_000;
/// Highest sample rate that any kernel accepts, in Hz.
pub const MAX_SAMPLE_RATE: u32 = 192_000;
/// Most channels that any kernel accepts.
pub const MAX_CHANNELS: usize = 64;

/// How one sample is written; names are FFmpeg's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Signed 16-bit little-endian.
    PcmS16le,
    /// 32-bit float little-endian, full scale is [-1, 1].
    PcmF32le,
    /// ITU-T G.711 mu-law.
    Mulaw,
    /// ITU-T G.711 A-law.
    Alaw,
}

impl Encoding {
    /// Bytes of one sample of one channel.
    pub const fn sample_bytes(self) -> usize {
        match self {
            Self::PcmS16le => 2,
            Self::PcmF32le => 4,
            Self::Mulaw | Self::Alaw => 1,
        }
    }

    /// FFmpeg's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PcmS16le => "pcm_s16le",
            Self::PcmF32le => "pcm_f32le",
            Self::Mulaw => "mulaw",
            Self::Alaw => "alaw",
        }
    }
}

impl std::str::FromStr for Encoding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "pcm_s16le" => Ok(Self::PcmS16le),
            "pcm_f32le" => Ok(Self::PcmF32le),
            "mulaw" => Ok(Self::Mulaw),
            "alaw" => Ok(Self::Alaw),
            other => Err(Error::Parameter {
                what: "encoding",
                expected: "pcm_s16le, pcm_f32le, mulaw or alaw",
                got: other.to_owned(),
            }),
        }
    }
}

/// What wraps the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// Nothing: samples follow each other.
    Raw,
    /// RIFF/WAVE, possibly repeated per chunk.
    Wav,
}

impl std::str::FromStr for Container {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "raw" => Ok(Self::Raw),
            "wav" => Ok(Self::Wav),
            other => Err(Error::Parameter {
                what: "container",
                expected: "raw or wav",
                got: other.to_owned(),
            }),
        }
    }
}

/// A stream of audio. Build it with [`AudioFormat::new`], which checks every field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AudioFormat {
    /// How one sample is written.
    pub encoding: Encoding,
    /// Frames per second.
    pub sample_rate: u32,
    /// Samples per frame.
    pub channels: usize,
    /// What wraps the samples.
    pub container: Container,
}

impl AudioFormat {
    /// Checks the rate and the channel count.
    pub fn new(
        encoding: Encoding,
        sample_rate: u32,
        channels: usize,
        container: Container,
    ) -> Result<Self> {
        check_sample_rate("sample_rate", sample_rate)?;
        check_channels(channels)?;
        Ok(Self { encoding, sample_rate, channels, container })
    }

    /// Bytes of one frame (one sample per channel).
    pub const fn frame_bytes(&self) -> usize {
        self.encoding.sample_bytes() * self.channels
    }
}

impl fmt::Display for AudioFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} Hz {} ch", self.encoding.name(), self.sample_rate, self.channels)
    }
}

/// Refuses a rate outside [`MIN_SAMPLE_RATE`]..=[`MAX_SAMPLE_RATE`]; `what` names the parameter.
pub fn check_sample_rate(what: &'static str, rate: u32) -> Result<()> {
    if (MIN_SAMPLE_RATE..=MAX_SAMPLE_RATE).contains(&rate) {
        return Ok(());
    }
    Err(Error::Parameter { what, expected: "4000 to 192000 Hz", got: rate.to_string() })
}

/// Refuses a channel count outside 1..=[`MAX_CHANNELS`].
pub fn check_channels(channels: usize) -> Result<()> {
    if (1..=MAX_CHANNELS).contains(&channels) {
        return Ok(());
    }
    Err(Error::Parameter { what: "channels", expected: "1 to 64", got: channels.to_string() })
}
