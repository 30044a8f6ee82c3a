//! Numbers about one fragment: extremes, means, peaks, crossings.
//!
//! The original sums in a `double`, one sample after the other. Where no partial sum can pass 2^53,
//! whole numbers give the same and faster; elsewhere the order of its additions is kept.

use super::sample::value;
use super::{Error, Result, Width, by_width};

/// The largest sum up to which every whole number is exact in a `double`.
const EXACT_SUM: u64 = 1 << 53;

/// As many samples as can be summed with every partial sum exact in a `double`: 2^53 over the largest.
const fn exact_count<const W: usize>() -> usize {
    1 << (54 - 8 * W)
}

/// As many 8- or 16-bit samples as can be squared and summed with every partial sum exact.
const EXACT_SQUARES: usize = 1 << 23;

/// What samples that go from 16 bits to 32 put on their squares.
const WIDENING: f64 = (1_u64 << 32) as f64;

/// Samples between two looks at whether it is worth going on.
const GLANCE: usize = 16;

fn values<const W: usize>(fragment: &[u8]) -> impl Iterator<Item = i32> {
    fragment.as_chunks::<W>().0.iter().map(value)
}

/// The sample at `index`.
///
/// # Errors
/// [`Error::Index`] outside the fragment.
pub fn getsample(fragment: &[u8], width: Width, index: isize) -> Result<i32> {
    by_width!(width, getsample_of(fragment, index))
}

fn getsample_of<const W: usize>(fragment: &[u8], index: isize) -> Result<i32> {
    let samples = fragment.as_chunks::<W>().0;
    let index = usize::try_from(index).map_err(|_| Error::Index)?;
    samples.get(index).map(value).ok_or(Error::Index)
}

/// The largest magnitude; 0 without samples.
pub fn max(fragment: &[u8], width: Width) -> u32 {
    if fragment.is_empty() {
        return 0;
    }
    let (low, high) = minmax(fragment, width);
    low.unsigned_abs().max(high.unsigned_abs())
}

/// The smallest and the largest sample; the largest and the smallest `i32` without samples.
pub fn minmax(fragment: &[u8], width: Width) -> (i32, i32) {
    match width {
        Width::Two if !fragment.is_empty() => minmax_16(fragment),
        _ => by_width!(width, minmax_of(fragment)),
    }
}

fn minmax_of<const W: usize>(fragment: &[u8]) -> (i32, i32) {
    let start = (i32::MAX, i32::MIN);
    values::<W>(fragment).fold(start, |(low, high), value| (low.min(value), high.max(value)))
}

/// In 16 bits, where every x86-64 has a vector minimum and maximum.
fn minmax_16(fragment: &[u8]) -> (i32, i32) {
    let (mut low, mut high) = (i16::MAX, i16::MIN);
    for &octets in fragment.as_chunks().0 {
        let value = i16::from_le_bytes(octets);
        (low, high) = (low.min(value), high.max(value));
    }
    (low.into(), high.into())
}

/// The mean, floored; 0 without samples.
pub fn avg(fragment: &[u8], width: Width) -> i32 {
    by_width!(width, avg_of(fragment))
}

fn avg_of<const W: usize>(fragment: &[u8]) -> i32 {
    let count = fragment.len() / W;
    if count == 0 {
        return 0;
    }
    let sum = if count <= exact_count::<W>() {
        values::<W>(fragment).map(i64::from).sum::<i64>() as f64
    } else {
        values::<W>(fragment).map(f64::from).sum()
    };
    (sum / count as f64).floor() as i32
}

/// The root of the mean square, cut off; 0 without samples.
pub fn rms(fragment: &[u8], width: Width) -> u32 {
    by_width!(width, rms_of(fragment))
}

fn rms_of<const W: usize>(fragment: &[u8]) -> u32 {
    let count = fragment.len() / W;
    if count == 0 {
        return 0;
    }
    (squares::<W>(fragment, count) / count as f64).sqrt() as u32
}

/// The sum of the squares as the original's additions make it.
fn squares<const W: usize>(fragment: &[u8], count: usize) -> f64 {
    if count <= EXACT_SQUARES && W <= 2 {
        return exact_squares::<W>(fragment) as f64;
    }
    if count <= EXACT_SQUARES && W == 4 && is_widened(fragment) {
        let squares = values::<4>(fragment).map(|value| (value >> 16).unsigned_abs().pow(2));
        // Times a power of two, which leaves every partial sum exact.
        return squares.map(u64::from).sum::<u64>() as f64 * WIDENING;
    }
    values::<W>(fragment).map(f64::from).map(|value| value * value).sum()
}

/// Whether these samples of 32 bits were made of 16: nothing stands below.
fn is_widened(fragment: &[u8]) -> bool {
    let below = |some: &[u8]| values::<4>(some).fold(0, |all, value| all | value) & 0xFFFF;
    fragment.chunks(4 * GLANCE).all(|some| below(some) == 0)
}

/// The sum of the squares, for widths 1 and 2. Two squares of 16 bits fit 32 bits, and one vector
/// instruction makes both.
pub(crate) fn exact_squares<const W: usize>(fragment: &[u8]) -> u64 {
    let (pairs, last) = fragment.as_chunks::<W>().0.as_chunks::<2>();
    let square = |octets: &[u8; W]| value(octets).unsigned_abs().pow(2);
    let sum: u64 = pairs.iter().map(|[a, b]| u64::from(square(a) + square(b))).sum();
    sum + last.iter().map(|octets| u64::from(square(octets))).sum::<u64>()
}

/// The mean distance of neighbouring peaks, cut off; 0 with fewer than two peaks.
pub fn avgpp(fragment: &[u8], width: Width) -> u32 {
    let (mut sum, mut count) = (0_u64, 0_u64);
    let each = |distance: Option<u32>| {
        sum += u64::from(distance.unwrap_or(0));
        count += u64::from(distance.is_some());
    };
    by_width!(width, peak_distances(fragment, each));
    let mut float = sum as f64;
    if sum > EXACT_SUM {
        float = 0.0;
        let each = |distance: Option<u32>| float += f64::from(distance.unwrap_or(0));
        by_width!(width, peak_distances(fragment, each));
    }
    if count == 0 { 0 } else { (float / count as f64) as u32 }
}

/// The largest distance of neighbouring peaks; 0 with fewer than two peaks.
pub fn maxpp(fragment: &[u8], width: Width) -> u32 {
    let mut largest = 0;
    let each = |distance: Option<u32>| largest = distance.unwrap_or(0).max(largest);
    by_width!(width, peak_distances(fragment, each));
    largest
}

/// Calls `each` for every sample: with the distance of two peaks where it shows that there was a second
/// one. Peaks are where the slope turns; neither the first sample nor the last is one.
///
/// Nobody can foresee where the slope of a signal turns, so there is no branch on it.
fn peak_distances<const W: usize>(fragment: &[u8], mut each: impl FnMut(Option<u32>)) {
    let mut samples = values::<W>(fragment);
    let Some(mut before) = samples.next() else { return };
    let (mut rose, mut fell, mut peaks, mut peak) = (false, false, false, 0_i32);
    for sample in samples {
        let (rises, falls) = (sample > before, sample < before);
        let turns = rises & fell | falls & rose;
        let distance = before.abs_diff(peak);
        each(if turns & peaks { Some(distance) } else { None });
        peak = if turns { before } else { peak };
        peaks |= turns;
        let level = !(rises | falls);
        (rose, fell) = (rises | level & rose, falls | level & fell);
        before = sample;
    }
}

/// How often the sign changes; -1 without samples.
pub fn cross(fragment: &[u8], width: Width) -> isize {
    by_width!(width, cross_of(fragment))
}

fn cross_of<const W: usize>(fragment: &[u8]) -> isize {
    let samples = fragment.as_chunks::<W>().0;
    let pairs = samples.iter().zip(samples.iter().skip(1));
    let crossings = pairs.filter(|(a, b)| (value(a) < 0) != (value(b) < 0)).count();
    if samples.is_empty() { -1 } else { crossings as isize }
}
