//! Packets to float32 samples: the one place that knows the libraries that decode.
//!
//! It must never know a container. Whatever a packet holds, it gives just the frames that framing said: a
//! packet that is lost or broken is made up for, and counted.

use super::{Packet, Setup};
use crate::{AudioFormat, Encoding, Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One stream's decoder and its scratch.
#[derive(Debug)]
pub(crate) struct Decoder {
    encoding: Encoding,
    setup: Setup,
    codec: Codec,
    samples: Vec<f32>,
    concealed: u64,
}

impl Decoder {
    /// # Errors
    /// [`Error::Unsupported`] for channels that the format cannot have, and in a build without `formats`.
    pub(crate) fn new(source: AudioFormat) -> Result<Self> {
        let AudioFormat { encoding, sample_rate, channels, .. } = source;
        let setup = Setup { sample_rate, channels, gain_q8: 0 };
        let codec = Codec::new(encoding, setup)?;
        Ok(Self { encoding, setup, codec, samples: Vec::new(), concealed: 0 })
    }

    /// Frames that were made up for packets that were lost or broken.
    pub(crate) fn concealed_frames(&self) -> u64 {
        self.concealed
    }

    /// Forgets what came; the next packets are so.
    pub(crate) fn begin(&mut self, setup: Setup) -> Result<()> {
        self.setup = setup;
        self.codec = Codec::new(self.encoding, setup)?;
        Ok(())
    }

    /// The audio in a packet: as many frames as it keeps.
    pub(crate) fn decode(&mut self, packet: Packet<'_>) -> &[f32] {
        let (bytes, frames, channels) = (packet.bytes, packet.frames, self.setup.channels);
        self.samples.resize(Codec::SAMPLES, 0.0);
        let decode =
            |codec: &mut Codec, out: &mut [f32]| codec.decode(bytes, frames, channels, out);
        if bytes.is_empty() || self.contained(decode) != Some(frames) {
            self.concealed += frames as u64;
            self.conceal(frames, channels);
        }
        let range = packet.keep.start * channels..packet.keep.end * channels;
        self.samples.get(range).unwrap_or_default()
    }

    /// Makes something up, which is silence if the codec has no better idea.
    fn conceal(&mut self, frames: usize, channels: usize) {
        let made = self.contained(|codec, out| codec.conceal(frames, out)).unwrap_or(0);
        if let Some(rest) = self.samples.get_mut(made * channels..frames * channels) {
            rest.fill(0.0);
        }
    }

    /// A panic of a library is a broken packet, and the end of that decoder: no stream may end the process.
    fn contained(
        &mut self,
        run: impl FnOnce(&mut Codec, &mut [f32]) -> Option<usize>,
    ) -> Option<usize> {
        let Self { codec, samples, .. } = self;
        let caught = catch_unwind(AssertUnwindSafe(|| run(codec, samples)));
        caught.unwrap_or_else(|_| {
            *codec = Codec::new(self.encoding, self.setup).ok()?;
            None
        })
    }
}

#[cfg(feature = "formats")]
#[derive(Debug)]
enum Codec {
    Mp3(Mp3),
    Opus(Box<opus_pure::OpusDecoder>),
}

#[cfg(feature = "formats")]
impl Codec {
    /// Samples of the longest packet: 120 ms of stereo Opus.
    const SAMPLES: usize = opus_pure::MAX_PACKET_SAMPLES * 2;

    fn new(encoding: Encoding, setup: Setup) -> Result<Self> {
        if !(1..=2).contains(&setup.channels) {
            let got = format!("{} of {}", setup.channels, encoding.name());
            return Err(Error::Unsupported { what: "channels", expected: "1 or 2", got });
        }
        if encoding == Encoding::Mp3 {
            return Ok(Self::Mp3(Mp3(Box::default())));
        }
        let rate = super::OPUS_RATE as i32;
        let mut decoder = opus_pure::OpusDecoder::new(rate, setup.channels).map_err(|error| {
            Error::Unsupported { what: "opus", expected: "1 or 2 channels", got: error.to_string() }
        })?;
        decoder.gain_q8 = setup.gain_q8.into();
        Ok(Self::Opus(Box::new(decoder)))
    }

    /// Frames written to `out`; `None` for a broken packet.
    fn decode(
        &mut self,
        packet: &[u8],
        frames: usize,
        channels: usize,
        out: &mut [f32],
    ) -> Option<usize> {
        match self {
            Self::Mp3(decoder) => decoder.decode(packet, channels, out),
            Self::Opus(decoder) => decoder.decode(packet, frames, out).ok(),
        }
    }

    /// What may have been there: Opus goes on with the voice, MP3 has no idea.
    fn conceal(&mut self, frames: usize, out: &mut [f32]) -> Option<usize> {
        match self {
            Self::Mp3(_) => None,
            Self::Opus(decoder) => decoder.decode(&[], frames, out).ok(),
        }
    }
}

/// Boxed, since it is 22 KiB.
#[cfg(feature = "formats")]
struct Mp3(Box<nanomp3_core::Decoder>);

#[cfg(feature = "formats")]
impl Mp3 {
    fn decode(&mut self, frame: &[u8], channels: usize, out: &mut [f32]) -> Option<usize> {
        let info = self.0.decode(frame, out).1.ok()?;
        (usize::from(info.channels.num()) == channels).then_some(info.samples_produced)
    }
}

#[cfg(feature = "formats")]
impl std::fmt::Debug for Mp3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mp3")
    }
}

/// Without the libraries there is none.
#[cfg(not(feature = "formats"))]
#[derive(Debug)]
enum Codec {}

#[cfg(not(feature = "formats"))]
impl Codec {
    const SAMPLES: usize = 0;

    fn new(encoding: Encoding, _: Setup) -> Result<Self> {
        let (what, expected) =
            ("a coded stream", "a build of voicecore with the feature `formats`");
        Err(Error::Unsupported { what, expected, got: encoding.name().to_owned() })
    }

    fn decode(&mut self, _: &[u8], _: usize, _: usize, _: &mut [f32]) -> Option<usize> {
        match *self {}
    }

    fn conceal(&mut self, _: usize, _: &mut [f32]) -> Option<usize> {
        match *self {}
    }
}

#[cfg(all(test, feature = "formats"))]
mod tests {
    use super::*;
    use crate::Container;

    #[test]
    fn a_panic_of_a_library_is_a_broken_packet() {
        let source = AudioFormat::new(Encoding::Opus, 48_000, 2, Container::Ogg).unwrap();
        let mut decoder = Decoder::new(source).unwrap();
        assert_eq!(decoder.contained(|_, _| panic!("this is a test")), None);
        let packet = Packet { bytes: &[], frames: 960, keep: 100..960 };
        assert_eq!(decoder.decode(packet), [0.0; 860 * 2]);
        assert_eq!(decoder.concealed_frames(), 960);
    }
}
