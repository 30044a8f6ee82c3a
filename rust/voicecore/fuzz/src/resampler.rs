//! The resampler: any cut gives the same bits and the exact length, AVX2 and AVX-512 the same bits, the
//! portable loops the same within the documented bound.

use super::{Control, at_each_level, bits, cut, floats, ints, resampled};
use voicecore::Error;
use voicecore::resample::{Quality, Resampler, Sample};

const FRAMES_MAX: usize = 1_024;
/// Of full scale, between the portable loops and the others.
const BOUND: f32 = 1e-6;

/// Bytes: rates, channels, quality, sample type, lengths of chunks, samples.
pub fn check(data: &[u8]) {
    let mut control = Control(data);
    let (from, to) = (control.rate(), control.rate());
    let channels = control.pick(&[1, 2, 1, 3, 2, 8, 1, 64]);
    let quality = control.pick(&[Quality::LowLatency, Quality::Voice, Quality::Hq]);
    let float = control.byte() % 2 != 0;
    let lens = control.lens();
    let rest = control.rest();
    let stream = Stream { from, to, channels, quality };
    if float {
        let samples = floats(rest);
        let results = stream.check(&lens, &samples);
        if samples.iter().all(|sample| sample.abs() <= 1.0) {
            let far = |[a, b]: [f32; 2]| (a - b).abs() <= BOUND;
            assert!(pairs(&results).all(far), "{stream:?}: levels lie apart");
        }
        let results: Vec<Vec<u32>> =
            results.into_iter().map(|out| out.into_iter().map(bits).collect()).collect();
        assert!(results.get(1..).unwrap_or_default().windows(2).all(|pair| pair[0] == pair[1]));
    } else {
        let results = stream.check(&lens, &ints(rest));
        assert!(pairs(&results).all(|[a, b]| a.abs_diff(b) <= 1), "{stream:?}: levels lie apart");
        assert!(results.get(1..).unwrap_or_default().windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// Every sample of the lowest level, with that of each other level.
fn pairs<S: Copy>(results: &[Vec<S>]) -> impl Iterator<Item = [S; 2]> {
    let (first, others) = results.split_first().unwrap();
    others.iter().flat_map(|other| first.iter().zip(other).map(|(&a, &b)| [a, b]))
}

trait Bits: Sample + Default {
    fn key(self) -> u32;
}

impl Bits for i16 {
    fn key(self) -> u32 {
        self as u16 as u32
    }
}

impl Bits for f32 {
    fn key(self) -> u32 {
        bits(self)
    }
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    from: u32,
    to: u32,
    channels: usize,
    quality: Quality,
}

impl Stream {
    /// What comes out at each level.
    fn check<S: Bits>(self, lens: &[usize], samples: &[S]) -> Vec<Vec<S>> {
        let frames = (samples.len() / self.channels).min(FRAMES_MAX);
        let samples = &samples[..frames * self.channels];
        let lens: Vec<usize> = lens.iter().map(|len| len * self.channels).collect();
        let total = resampled(frames, self.from, self.to) * self.channels;
        at_each_level(|| {
            let mut stream =
                Resampler::new(self.from, self.to, self.channels, self.quality).unwrap();
            let latency = stream.latency();
            let whole = convert(&mut stream, [samples]);
            assert_eq!(whole.len(), total, "{self:?}: length");
            // The same object again: a flush is a reset.
            let parts = convert(&mut stream, cut(samples, &lens));
            assert!(
                whole.iter().copied().map(Bits::key).eq(parts.iter().copied().map(Bits::key)),
                "{self:?}: cut by {lens:?}"
            );
            assert_eq!(stream.latency(), latency);
            whole
        })
    }
}

fn convert<'s, S: Bits + 's>(
    stream: &mut Resampler,
    chunks: impl IntoIterator<Item = &'s [S]>,
) -> Vec<S> {
    let channels = stream.channels();
    let mut all = Vec::new();
    for chunk in chunks {
        let frames = stream.output_frames(chunk.len() / channels);
        let mut out = vec![S::default(); frames * channels];
        if let Some(short) = out.len().checked_sub(1) {
            let refused = stream.process_into(chunk, &mut out[..short]);
            assert_eq!(refused, Err(Error::OutputTooSmall { needed: short + 1, got: short }));
        }
        assert_eq!(stream.process_into(chunk, &mut out), Ok(frames));
        all.extend(out);
    }
    let frames = stream.flush_frames();
    let mut out = vec![S::default(); frames * channels];
    assert_eq!(stream.flush_into(&mut out), Ok(frames));
    all.extend(out);
    all
}
