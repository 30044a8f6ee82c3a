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
    /// Signed 24-bit little-endian, three bytes. Only a source.
    PcmS24le,
    /// Signed 32-bit little-endian. Only a source.
    PcmS32le,
    /// MPEG 1, 2 or 2.5 layer III: coded, its frames follow each other. Only a source.
    Mp3,
    /// Opus: coded, in Ogg. Only a source.
    Opus,
}

impl Encoding {
    /// Bytes of one sample of one channel; 1 if it is coded, since its bytes are no samples.
    pub const fn sample_bytes(self) -> usize {
        match self {
            Self::PcmS16le => 2,
            Self::PcmS24le => 3,
            Self::PcmF32le | Self::PcmS32le => 4,
            Self::Mulaw | Self::Alaw | Self::Mp3 | Self::Opus => 1,
        }
    }

    /// Whether it has packets instead of samples.
    pub const fn is_coded(self) -> bool {
        matches!(self, Self::Mp3 | Self::Opus)
    }

    /// FFmpeg's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PcmS16le => "pcm_s16le",
            Self::PcmF32le => "pcm_f32le",
            Self::Mulaw => "mulaw",
            Self::Alaw => "alaw",
            Self::PcmS24le => "pcm_s24le",
            Self::PcmS32le => "pcm_s32le",
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
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
            "pcm_s24le" => Ok(Self::PcmS24le),
            "pcm_s32le" => Ok(Self::PcmS32le),
            "mp3" => Ok(Self::Mp3),
            "opus" => Ok(Self::Opus),
            other => Err(Error::Parameter {
                what: "encoding",
                expected: "pcm_s16le, pcm_s24le, pcm_s32le, pcm_f32le, mulaw, alaw, mp3 or opus",
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
    /// Ogg, possibly chained: a whole file per chunk.
    Ogg,
}

impl Container {
    /// Its name: the lower case of this one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Wav => "wav",
            Self::Ogg => "ogg",
        }
    }
}

impl std::str::FromStr for Container {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "raw" => Ok(Self::Raw),
            "wav" => Ok(Self::Wav),
            "ogg" => Ok(Self::Ogg),
            other => Err(Error::Parameter {
                what: "container",
                expected: "raw, wav or ogg",
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
    /// Checks the rate, the channel count and the container: Opus is in Ogg and only Opus is, MP3 is raw.
    pub fn new(
        encoding: Encoding,
        sample_rate: u32,
        channels: usize,
        container: Container,
    ) -> Result<Self> {
        check_sample_rate("sample_rate", sample_rate)?;
        check_channels(channels)?;
        check_container(encoding, container)?;
        Ok(Self { encoding, sample_rate, channels, container })
    }

    /// Bytes of one frame (one sample per channel); 1 if it is coded.
    pub const fn frame_bytes(&self) -> usize {
        match self.encoding.is_coded() {
            true => 1,
            false => self.encoding.sample_bytes() * self.channels,
        }
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

/// Refuses a container that the encoding is never in.
fn check_container(encoding: Encoding, container: Container) -> Result<()> {
    let (fits, expected) = match encoding {
        Encoding::Opus => (container == Container::Ogg, "ogg for opus"),
        Encoding::Mp3 => (container == Container::Raw, "raw for mp3"),
        _ => (container != Container::Ogg, "raw or wav for all but opus"),
    };
    if fits {
        return Ok(());
    }
    Err(Error::Parameter { what: "container", expected, got: container.name().to_owned() })
}
