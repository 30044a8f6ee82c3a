//! Re-framing: chunks of any size in, frames of one size out, and the rest carried over.
//!
//! Here a frame is a fixed number of samples per channel, such as the 20 ms of a telephone packet.

use crate::format::{check_channels, check_sample_rate};
use crate::pcm::PcmSample;
use crate::{Error, Result};
use std::marker::PhantomData;

/// Most samples per channel of one frame: over five seconds at the highest rate.
pub const MAX_FRAME_SAMPLES: usize = 1 << 20;

/// How far from a whole number of samples a duration may be: the rounding of its decimal fraction.
const TOLERANCE: f64 = 1e-6;

/// A stream of `T` that is cut into frames. Chunks may end anywhere, also inside a sample.
#[derive(Debug, Clone)]
pub struct Framer<T> {
    frame_samples: usize,
    channels: usize,
    /// Less than one frame.
    carry: Vec<u8>,
    dangling: u64,
    _sample: PhantomData<T>,
}

/// The samples per channel of `duration` seconds at `sample_rate`.
///
/// # Errors
/// [`Error::Parameter`] for a rate outside its range, or a duration that is no whole number of samples.
pub fn samples_of_duration(duration: f64, sample_rate: u32) -> Result<usize> {
    check_sample_rate("sample_rate", sample_rate)?;
    let samples = duration * f64::from(sample_rate);
    let whole = samples.round();
    if (samples - whole).abs() <= TOLERANCE && (1.0..=MAX_FRAME_SAMPLES as f64).contains(&whole) {
        return Ok(whole as usize);
    }
    let expected = "seconds of 1 to 1048576 whole samples";
    let got = format!("{duration} s, {samples} samples at {sample_rate} Hz");
    Err(Error::Parameter { what: "duration", expected, got })
}

impl<T: PcmSample> Framer<T> {
    /// A stream that begins.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `frame_samples` (per channel) outside 1..=[`MAX_FRAME_SAMPLES`] or a
    /// channel count outside 1..=64.
    pub fn new(frame_samples: usize, channels: usize) -> Result<Self> {
        check_channels(channels)?;
        if !(1..=MAX_FRAME_SAMPLES).contains(&frame_samples) {
            let got = frame_samples.to_string();
            let expected = "1 to 1048576";
            return Err(Error::Parameter { what: "frame_samples", expected, got });
        }
        Ok(Self { frame_samples, channels, carry: Vec::new(), dangling: 0, _sample: PhantomData })
    }

    /// Samples per channel of a frame.
    pub const fn frame_samples(&self) -> usize {
        self.frame_samples
    }

    /// Channels of the stream.
    pub const fn channels(&self) -> usize {
        self.channels
    }

    /// Samples of a frame, of all channels.
    pub const fn frame_items(&self) -> usize {
        self.frame_samples * self.channels
    }

    /// Octets that [`Framer::flush_into`] dropped so far, of samples that never were complete.
    pub const fn dangling_bytes(&self) -> u64 {
        self.dangling
    }

    /// Frames that `octets` more octets complete.
    pub fn frames(&self, octets: usize) -> usize {
        self.carry.len().saturating_add(octets) / self.frame_octets()
    }

    /// Takes the next chunk; returns the whole frames written, interleaved.
    ///
    /// # Errors
    /// [`Error::OutputTooSmall`] for an `out` that cannot hold [`Framer::frames`]; nothing was consumed.
    pub fn process_into(&mut self, chunk: &[u8], out: &mut [T]) -> Result<usize> {
        let frames = self.frames(chunk.len());
        let (needed, got) = (frames * self.frame_items(), out.len());
        let mut out = out.get_mut(..needed).ok_or(Error::OutputTooSmall { needed, got })?;
        let mut chunk = chunk;
        if frames > 0 && !self.carry.is_empty() {
            let (head, tail) = chunk.split_at(self.frame_octets() - self.carry.len());
            self.carry.extend_from_slice(head);
            let (frame, rest) = out.split_at_mut(self.frame_items());
            T::read(&self.carry, frame);
            self.carry.clear();
            (chunk, out) = (tail, rest);
        }
        let (whole, rest) = chunk.split_at(out.len() * T::OCTETS);
        T::read(whole, out);
        self.carry.extend_from_slice(rest);
        Ok(frames)
    }

    /// Samples per channel that [`Framer::flush_into`] writes.
    pub fn flush_samples(&self, pad: bool) -> usize {
        let rest = self.carry.len() / (T::OCTETS * self.channels);
        if pad && rest > 0 { self.frame_samples } else { rest }
    }

    /// Ends the stream: writes the rest, with `pad` as a frame that ends in silence; returns its
    /// samples per channel. The next [`Framer::process_into`] begins a new stream.
    ///
    /// # Errors
    /// [`Error::OutputTooSmall`] for an `out` that cannot hold it; nothing was consumed.
    pub fn flush_into(&mut self, pad: bool, out: &mut [T]) -> Result<usize> {
        let samples = self.flush_samples(pad);
        let (needed, got) = (samples * self.channels, out.len());
        let out = out.get_mut(..needed).ok_or(Error::OutputTooSmall { needed, got })?;
        let dangling = self.carry.len() % (T::OCTETS * self.channels);
        self.carry.truncate(self.carry.len() - dangling);
        let (rest, silence) = out.split_at_mut(self.carry.len() / T::OCTETS);
        T::read(&self.carry, rest);
        silence.fill(T::default());
        self.dangling += dangling as u64;
        self.carry.clear();
        Ok(samples)
    }

    /// Forgets everything that was taken in.
    pub fn reset(&mut self) {
        self.carry.clear();
        self.dangling = 0;
    }

    const fn frame_octets(&self) -> usize {
        self.frame_items() * T::OCTETS
    }
}

#[cfg(test)]
mod tests {
    use super::{Framer, MAX_FRAME_SAMPLES, samples_of_duration};

    #[test]
    fn frames_do_not_depend_on_the_cuts() {
        let octets: Vec<u8> = (0..250).collect();
        for size in 1..=250 {
            let mut framer = Framer::<i16>::new(5, 2).unwrap();
            let mut all = Vec::new();
            for chunk in octets.chunks(size) {
                let mut out = vec![0; framer.frames(chunk.len()) * framer.frame_items()];
                framer.process_into(chunk, &mut out).unwrap();
                all.extend(out);
            }
            assert_eq!(all.len(), 120);
            let mut rest = [9; 10];
            assert_eq!(framer.clone().flush_into(true, &mut rest), Ok(5));
            assert_eq!(rest[4..], [0; 6]);
            let samples = framer.flush_into(false, &mut rest).unwrap();
            all.extend(&rest[..2 * samples]);
            let expected = octets.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair));
            assert!(all.into_iter().eq(expected.take(124)));
            assert_eq!(framer.dangling_bytes(), 2);
            assert_eq!(framer.flush_into(true, &mut []), Ok(0));
        }
    }

    #[test]
    fn a_small_out_is_refused_before_anything_is_consumed() {
        let mut framer = Framer::<f32>::new(2, 1).unwrap();
        assert!(framer.process_into(&[0; 9], &mut [0.0]).is_err());
        assert_eq!(framer.process_into(&[0; 7], &mut []), Ok(0));
        assert!(framer.flush_into(true, &mut [0.0]).is_err());
        assert_eq!(framer.flush_into(false, &mut [0.0]), Ok(1));
    }

    #[test]
    fn durations_are_whole_samples() {
        assert_eq!(samples_of_duration(0.02, 8_000), Ok(160));
        assert_eq!(samples_of_duration(0.01, 44_100), Ok(441));
        assert_eq!(samples_of_duration(0.1, 11_025).ok(), None);
        for wrong in [0.0, -0.02, f64::NAN, f64::INFINITY, 0.0201, 1e9] {
            assert!(samples_of_duration(wrong, 8_000).is_err(), "{wrong}");
        }
        assert!(Framer::<i16>::new(0, 1).is_err());
        assert!(Framer::<i16>::new(MAX_FRAME_SAMPLES + 1, 1).is_err());
        assert!(Framer::<i16>::new(1, 65).is_err());
    }
}
