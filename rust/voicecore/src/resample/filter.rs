//! The filter behind a resampler: a Kaiser-windowed sinc, cut into phases. Knows nothing of streams.
//!
//! After A. V. Oppenheim, R. W. Schafer, "Discrete-Time Signal Processing", section 7.6 (the window),
//! and R. E. Crochiere, L. R. Rabiner, "Multirate Digital Signal Processing", chapter 3 (the phases).
//! Coefficients are computed in f64, each phase is scaled to a gain of one at DC, then stored as f32.

use super::Quality;
use std::f64::consts::PI;
use std::sync::{Arc, Mutex, PoisonError};

/// Partial sums of one convolution. Fixed, so that the order of additions is the same on every
/// machine and for every chunking, and so that the compiler can vectorise it.
const LANES: usize = 16;
/// Most coefficients of a filter that has a row for every phase (1 MiB of f32). Ratios that would need
/// more, such as 44 100 to 47 999, share a coarser set of rows and interpolate between four of them.
const MAX_EXACT_COEFFICIENTS: usize = 1 << 18;
/// Rows per zero crossing of an interpolated filter. The error of cubic interpolation is at most
/// 0.0234 * (pi / 128)^4, or -161 dB.
const ROWS_PER_CROSSING: usize = 128;
/// Fewest rows per input sample of an interpolated filter, however low its cutoff.
const MIN_ROWS: usize = 4;
/// Most coefficients that the cache keeps alive by itself (16 MiB of f32).
const MAX_CACHED_COEFFICIENTS: usize = 1 << 22;

/// Filters that were designed lately, the last used one last. A filter depends on nothing but its key.
static CACHE: Mutex<Vec<(Key, Arc<Filter>)>> = Mutex::new(Vec::new());

/// A ratio in lowest terms, and a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Phases: output frames per `down` input frames.
    pub up: u32,
    /// Input frames per `up` output frames.
    pub down: u32,
    /// Which response.
    pub quality: Quality,
}

/// A bank of phases of one low-pass filter. A row holds the taps of one phase, oldest input first.
#[derive(Debug)]
pub(super) struct Filter {
    up: u32,
    ahead: usize,
    taps: usize,
    /// Rows per input sample. Equal to `up` if every phase has its own row; otherwise there are three
    /// more: one before phase zero and two after the last, for the interpolation.
    phases: usize,
    rows: Vec<f32>,
}

impl Filter {
    /// The filter for `key`, from the cache if it was used lately.
    pub fn cached(key: Key) -> Arc<Self> {
        if let Some(filter) = recall(key) {
            return filter;
        }
        // Designed outside the lock: two threads may do the same work, but none waits for another's.
        let filter = Arc::new(Self::design(key));
        remember(key, &filter);
        filter
    }

    /// Input frames that a window spans. A multiple of [`LANES`].
    pub fn taps(&self) -> usize {
        self.taps
    }

    /// Input frames that a window takes from beyond the one at (or just before) the output's time.
    pub fn ahead(&self) -> usize {
        self.ahead
    }

    /// One output sample at `phase / up` after the window's input frame number `taps - 1 - ahead`.
    #[inline]
    pub fn convolve(&self, phase: u32, window: &[f32]) -> f32 {
        if self.phases == self.up as usize {
            return dot(window, self.row(phase as usize));
        }
        let position = phase as usize * self.phases;
        let row = position / self.up as usize;
        let weights = lagrange((position % self.up as usize) as f64 / f64::from(self.up));
        let mut sum = 0.0;
        for (i, weight) in weights.into_iter().enumerate() {
            sum += weight * f64::from(dot(window, self.row(row + i)));
        }
        sum as f32
    }

    fn row(&self, index: usize) -> &[f32] {
        &self.rows[index * self.taps..][..self.taps]
    }

    fn design(key: Key) -> Self {
        let shape = Shape::new(key);
        let taps = (2 * shape.half_width).next_multiple_of(LANES);
        let up = key.up as usize;
        let (phases, margin) = if up * taps <= MAX_EXACT_COEFFICIENTS {
            (up, 0)
        } else {
            let rows = (ROWS_PER_CROSSING as f64 * shape.bandwidth).ceil() as usize;
            (rows.max(MIN_ROWS), 1)
        };
        let count = phases + 3 * margin;
        let mut rows = Vec::with_capacity(count * taps);
        for row in 0..count {
            let phase = (row as f64 - margin as f64) / phases as f64;
            rows.extend(shape.row(phase, taps));
        }
        Self { up: key.up, ahead: shape.half_width, taps, phases, rows }
    }
}

/// The continuous impulse response; times are in input frames.
struct Shape {
    /// The response is zero from here on, to both sides. Whole, so that the look-ahead is.
    half_width: usize,
    /// Middle of the transition over the input's Nyquist frequency.
    cutoff: f64,
    /// The lower of both Nyquist frequencies over the input's.
    bandwidth: f64,
    /// The Kaiser window's parameter.
    beta: f64,
}

impl Shape {
    fn new(key: Key) -> Self {
        let (pass, stop, rejection) =
            (key.quality.pass(), key.quality.stop(), key.quality.rejection());
        let bandwidth = (f64::from(key.up) / f64::from(key.down)).min(1.0);
        // Kaiser's length formula with the transition in radians per input frame.
        let transition = PI * bandwidth * (stop - pass);
        let length = (rejection - 7.95) / (2.285 * transition);
        Self {
            half_width: (length / 2.0).ceil() as usize,
            cutoff: bandwidth * (pass + stop) / 2.0,
            bandwidth,
            beta: 0.1102 * (rejection - 8.7),
        }
    }

    /// Taps of the output at `phase` input frames after the frame number `taps - 1 - half_width`.
    fn row(&self, phase: f64, taps: usize) -> impl Iterator<Item = f32> {
        let center = (taps - 1 - self.half_width) as f64 + phase;
        let row: Vec<f64> = (0..taps).map(|tap| self.response(center - tap as f64)).collect();
        let gain: f64 = row.iter().sum();
        row.into_iter().map(move |value| (value / gain) as f32)
    }

    fn response(&self, time: f64) -> f64 {
        let reach = time / self.half_width as f64;
        if reach.abs() >= 1.0 {
            return 0.0;
        }
        let angle = PI * self.cutoff * time;
        let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
        sinc * bessel_i0_of_squared_half(self.beta * self.beta / 4.0 * (1.0 - reach * reach))
    }
}

/// The modified Bessel function I0(x), given (x / 2)^2: the sum of `quarter^k / k!^2`, by Horner.
fn bessel_i0_of_squared_half(quarter: f64) -> f64 {
    let mut sum = 1.0;
    for inverse_square in INVERSE_SQUARES.iter().rev() {
        sum = 1.0 + sum * quarter * inverse_square;
    }
    sum
}

/// 1 / k^2. Forty terms give I0(15) to full f64 precision.
const INVERSE_SQUARES: [f64; 40] = {
    let mut table = [0.0; 40];
    let mut k = 0;
    while k < table.len() {
        table[k] = 1.0 / ((k + 1) * (k + 1)) as f64;
        k += 1;
    }
    table
};

/// Weights of the values at -1, 0, 1 and 2 for the cubic through them, at `x` in [0, 1).
fn lagrange(x: f64) -> [f64; 4] {
    let (before, after, next) = (x + 1.0, x - 1.0, x - 2.0);
    [
        x * after * next / -6.0,
        before * after * next / 2.0,
        before * x * next / -2.0,
        before * x * after / 6.0,
    ]
}

/// The sum of products, always in the same order.
#[inline(always)]
fn dot(window: &[f32], row: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (x, h) in window.as_chunks::<LANES>().0.iter().zip(row.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * h[lane];
        }
    }
    total(sums)
}

/// The sum of the lanes, by halves. Kept out of line, where it cannot talk LLVM into narrower vectors for
/// the loop that fills them (measured: 30 instead of 17 us for 20 ms of 48 to 8 kHz).
#[inline(never)]
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

fn recall(key: Key) -> Option<Arc<Filter>> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let index = cache.iter().position(|(cached, _)| *cached == key)?;
    let entry = cache.remove(index);
    let filter = Arc::clone(&entry.1);
    cache.push(entry);
    Some(filter)
}

/// Adds a filter, and drops those that were not used for longest to stay within the bound.
fn remember(key: Key, filter: &Arc<Filter>) {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    cache.retain(|(cached, _)| *cached != key);
    cache.push((key, Arc::clone(filter)));
    let mut total: usize = cache.iter().map(|(_, filter)| filter.rows.len()).sum();
    while total > MAX_CACHED_COEFFICIENTS && cache.len() > 1 {
        total -= cache.remove(0).1.rows.len();
    }
}
