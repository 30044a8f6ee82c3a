//! `ratecv`: linear interpolation between input frames, behind a one-pole filter on request.
//!
//! It has no anti-alias filter and is here for compatibility; [`crate::resample`] is the one to use.
//! Time is counted in the fraction `1 / (in_rate * out_rate)`, of which `position` is what the original
//! calls `d`: below zero the next thing is to read a frame, otherwise to write one.

use super::sample::{from_high, high};
use super::{Error, Result, Width, by_width};

/// Samples of a block that is worked on at a time.
const BLOCK: usize = 2_048;

/// A conversion, with its parameters checked and reduced.
#[derive(Debug, Clone)]
pub struct Conversion {
    width: Width,
    channels: usize,
    in_rate: i64,
    out_rate: i64,
    weights: (i64, i64),
}

/// Where one piece of a stream ended and the next goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The original's `d`.
    pub position: i32,
    /// The frame before the current one, per channel.
    pub previous: Vec<i32>,
    /// The frame that was read last, per channel.
    pub current: Vec<i32>,
}

impl Conversion {
    /// Checks the parameters, and that `fragment_len` octets are whole frames.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Channels`], [`Error::FrameTooWide`], [`Error::Weights`],
    /// [`Error::PartialFrame`], [`Error::Rate`], in this order.
    pub fn new(
        width: i32,
        channels: i32,
        rates: (i32, i32),
        weights: (i32, i32),
        fragment_len: usize,
    ) -> Result<Self> {
        let width = Width::new(width)?;
        let channels = match usize::try_from(channels) {
            Ok(channels @ 1..) => channels,
            _ => return Err(Error::Channels),
        };
        if width.octets() * channels > i32::MAX as usize {
            return Err(Error::FrameTooWide);
        }
        if weights.0 < 1 || weights.1 < 0 {
            return Err(Error::Weights);
        }
        if !fragment_len.is_multiple_of(width.octets() * channels) {
            return Err(Error::PartialFrame);
        }
        if rates.0 <= 0 || rates.1 <= 0 {
            return Err(Error::Rate);
        }
        let (in_rate, out_rate) = reduced(rates);
        let weights = reduced(weights);
        Ok(Self { width, channels, in_rate, out_rate, weights })
    }

    /// Channels of a frame.
    pub const fn channels(&self) -> usize {
        self.channels
    }

    /// The state of a stream that begins.
    ///
    /// # Errors
    /// [`Error::Memory`] for more channels than memory holds.
    pub fn start(&self) -> Result<State> {
        let mut previous = Vec::new();
        previous.try_reserve_exact(self.channels).map_err(|_| Error::Memory)?;
        previous.resize(self.channels, 0);
        let current = previous.clone();
        Ok(State { position: -(self.out_rate as i32), previous, current })
    }

    /// Octets that `fragment_len` more octets give from `position` on.
    ///
    /// # Errors
    /// [`Error::Memory`] for more than any memory holds.
    pub fn output_len(&self, fragment_len: usize, position: i32) -> Result<usize> {
        let frame = self.width.octets() * self.channels;
        let frames = (fragment_len / frame) as i128;
        let end = i128::from(position) + frames * i128::from(self.out_rate);
        let written = if end < 0 { 0 } else { end / i128::from(self.in_rate) + 1 };
        let octets = written * frame as i128;
        isize::try_from(octets).map(isize::unsigned_abs).map_err(|_| Error::Memory)
    }

    /// Converts whole frames and moves `state` on. `out` is as long as [`Conversion::output_len`] says.
    ///
    /// # Errors
    /// [`Error::Memory`] for more channels than memory holds, [`Error::State`] for a state of another
    /// number of channels.
    pub fn convert(&self, fragment: &[u8], state: &mut State, out: &mut [u8]) -> Result<()> {
        if state.previous.len() != self.channels || state.current.len() != self.channels {
            return Err(Error::State);
        }
        by_width!(self.width, convert_of(self, fragment, state, out))
    }
}

/// Both over their greatest common divisor. The first is positive, the second not negative.
fn reduced((a, b): (i32, i32)) -> (i64, i64) {
    let (mut divisor, mut rest) = (i64::from(a), i64::from(b));
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (i64::from(a) / divisor, i64::from(b) / divisor)
}

fn convert_of<const W: usize>(
    conversion: &Conversion,
    fragment: &[u8],
    state: &mut State,
    out: &mut [u8],
) -> Result<()> {
    let channels = conversion.channels;
    let samples = fragment.as_chunks::<W>().0;
    let block = (BLOCK / channels).max(1) * channels;
    // The frames before the block, then the block.
    let mut history = Vec::new();
    history
        .try_reserve_exact(2 * channels + block.min(samples.len()))
        .map_err(|_| Error::Memory)?;
    history.extend_from_slice(&state.previous);
    history.extend_from_slice(&state.current);
    let mut writer = Writer::<W> {
        conversion,
        position: state.position.into(),
        out: out.as_chunks_mut().0.chunks_exact_mut(channels),
    };
    // Once without a block too: the state of a caller may ask for output before any input.
    writer.write(&history);
    for block in samples.chunks(block) {
        history.extend(block.iter().map(high));
        if conversion.weights.1 != 0 {
            filter(&mut history[channels..], channels, conversion.weights);
        }
        writer.write(&history);
        history.copy_within(block.len().., 0);
        history.truncate(2 * channels);
    }
    // Below zero, since it stopped for want of input, and no lower than it came or a rate takes it.
    state.position = writer.position as i32;
    state.previous.copy_from_slice(&history[..channels]);
    state.current.copy_from_slice(&history[channels..]);
    Ok(())
}

/// Each frame becomes the weighted mean of itself and the (filtered) one before; the first stays.
fn filter(frames: &mut [i32], channels: usize, (new, old): (i64, i64)) {
    let mean = Mean::new(new + old);
    for channel in 0..channels {
        let mut samples = frames[channel..].iter_mut().step_by(channels);
        let Some(mut before) = samples.next().copied() else { return };
        for sample in samples {
            before = mean.of((*sample, new), (before, old));
            *sample = before;
        }
    }
}

/// The mean of two samples by weights of a known sum, cut off to a whole number.
///
/// The original divides in `double`. While the sum is small, every step of that is exact but the quotient, which
/// is too far from the next whole number to be rounded there: so whole numbers give the same, and instead of a
/// division they take a product with `2^SHIFT / sum`, rounded up.
#[derive(Clone, Copy)]
enum Mean {
    /// By weights of which none is negative.
    Small { inverse: i128 },
    /// By any weights, as the original has it.
    Large { sum: f64 },
}

/// With weights of at most `LARGEST`, and samples of 32 bits, the product is off by less than a part of
/// `sum`: `2^31 * LARGEST * LARGEST <= 2^SHIFT`.
const SHIFT: u32 = 61;
const LARGEST: i64 = 1 << 15;

impl Mean {
    fn new(sum: i64) -> Self {
        match sum {
            1..=LARGEST => Self::Small { inverse: ((1 << SHIFT) / sum + 1).into() },
            _ => Self::Large { sum: sum as f64 },
        }
    }

    /// Of two samples, each with its weight.
    #[inline(always)]
    fn of(self, first: (i32, i64), second: (i32, i64)) -> i32 {
        match self {
            Self::Small { inverse } => {
                let sum = i64::from(first.0) * first.1 + i64::from(second.0) * second.1;
                // Rounded down; a negative quotient is one too low then.
                (((i128::from(sum) * inverse) >> SHIFT) as i64 - (sum >> 63)) as i32
            }
            Self::Large { sum } => {
                let product = |(sample, weight): (i32, i64)| f64::from(sample) * weight as f64;
                ((product(first) + product(second)) / sum) as i32
            }
        }
    }
}

struct Writer<'a, const W: usize> {
    conversion: &'a Conversion,
    position: i64,
    out: std::slice::ChunksExactMut<'a, [u8; W]>,
}

impl<const W: usize> Writer<'_, W> {
    /// Reads `history` from its third frame on, and writes every frame that comes due.
    fn write(&mut self, history: &[i32]) {
        let Conversion { channels, in_rate, out_rate, .. } = *self.conversion;
        let frames = (history.len() / channels) as i64 - 2;
        let mut read = 0;
        // To a position between two frames, where all but a state of the caller's own begins.
        loop {
            if self.position < 0 {
                let steps = (-self.position + out_rate - 1) / out_rate;
                let steps = steps.min(frames - read);
                read += steps;
                self.position += steps * out_rate;
            }
            if self.position < 0 {
                return;
            }
            if self.position < out_rate {
                break;
            }
            // A weight is negative here.
            self.emit(history, read as usize, Mean::Large { sum: out_rate as f64 });
            self.position -= in_rate;
        }
        // From there on each output frame is a fixed number of input frames further, or one more.
        let (stride, rest) = (in_rate / out_rate, in_rate % out_rate);
        let mean = Mean::new(out_rate);
        while read <= frames {
            self.emit(history, read as usize, mean);
            let wraps = self.position < rest;
            read += stride + i64::from(wraps);
            self.position += if wraps { out_rate - rest } else { -rest };
        }
        self.position -= (read - frames) * out_rate;
    }

    /// One output frame between the two newest of the `read` frames.
    #[inline(always)]
    fn emit(&mut self, history: &[i32], read: usize, mean: Mean) {
        let Conversion { channels, out_rate, .. } = *self.conversion;
        let (old, new) = (self.position, out_rate - self.position);
        let between =
            |previous: i32, current: i32| from_high(mean.of((previous, old), (current, new)));
        let Some(out) = self.out.next() else { return };
        // Mono is most of it, and needs no loop.
        if let ([to], Some(&[previous, current])) = (&mut *out, history[read..].first_chunk()) {
            *to = between(previous, current);
            return;
        }
        let (previous, current) = history[read * channels..][..2 * channels].split_at(channels);
        for ((to, &previous), &current) in out.iter_mut().zip(previous).zip(current) {
            *to = between(previous, current);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LARGEST, Mean};

    const SAMPLES: [i32; 10] =
        [i32::MIN, i32::MIN + 1, -0x7654_3210, -441, -1, 0, 1, 32_767, i32::MAX - 1, i32::MAX];

    #[test]
    fn whole_numbers_give_what_floats_give() {
        for sum in (1..=70).chain([147, 441, 32_749, 32_767, LARGEST]) {
            let (small, large) = (Mean::new(sum), Mean::Large { sum: sum as f64 });
            assert!(matches!(small, Mean::Small { .. }));
            for weight in (0..=sum).step_by(1 + sum as usize / 100).chain([1, sum - 1, sum]) {
                for (a, b) in SAMPLES.iter().flat_map(|&a| SAMPLES.map(|b| (a, b))) {
                    let (first, second) = ((a, weight), (b, sum - weight));
                    assert_eq!(
                        small.of(first, second),
                        large.of(first, second),
                        "{first:?} {second:?}"
                    );
                }
            }
        }
    }
}
