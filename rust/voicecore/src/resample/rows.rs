//! A stage of many phases: each output frame is the product of its own row of taps with its window. Neighbouring
//! outputs are computed side by side if two vectors hold their inputs.
//!
//! After R. E. Crochiere, L. R. Rabiner, "Multirate Digital Signal Processing", chapter 3. Ratios with too many
//! phases share a coarser set of rows and interpolate between four of them.

use super::kernel::{self, Group, GroupsOf, LANES, Lanes, Next, RowsOf};
use super::plan::{Spec, Start};
use super::shape::Shape;
use crate::simd::Level;
use std::sync::Arc;

/// Most coefficients of a filter that has a row for every phase (1 MiB of f32). Ratios that would need
/// more, such as 44 100 to 47 999, interpolate.
const MAX_EXACT_COEFFICIENTS: usize = 1 << 18;
/// Rows per zero crossing of an interpolated filter. The error of cubic interpolation is at most
/// 0.0234 * (pi / 128)^4, or -161 dB.
const ROWS_PER_CROSSING: f64 = 128.0;
/// Fewest rows per input sample of an interpolated filter, however low its cutoff.
const MIN_ROWS: f64 = 4.0;
/// Input frames that a stream keeps before its next window, and room behind its last: groups of outputs that are
/// only partly due reach so far.
const MARGIN: usize = 4 * LANES;

/// Whether `spec` is computed with a row for every phase.
pub(super) fn is_exact(spec: &Spec) -> bool {
    spec.up as usize * taps(spec) <= MAX_EXACT_COEFFICIENTS
}

/// Whether `spec` is computed [`LANES`] outputs at a time.
pub(super) fn is_grouped(spec: &Spec) -> bool {
    is_exact(spec) && kernel::fits_groups(spec.up, spec.down)
}

/// Input frames that a window spans: a whole number of [`Lanes`].
fn taps(spec: &Spec) -> usize {
    (2 * spec.half_width().ceil() as usize).next_multiple_of(LANES)
}

/// A bank of phases of one low-pass filter. A row holds the taps of one phase, oldest input first.
#[derive(Debug)]
pub(super) struct Rows {
    up: u32,
    down: u32,
    ahead: usize,
    taps: usize,
    /// Rows per input sample. Equal to `up` if every phase has its own row; otherwise there are three
    /// more: one before phase zero and two after the last, for the interpolation.
    phases: usize,
    rows: Vec<Lanes>,
    /// If outputs are computed [`LANES`] at a time.
    groups: Option<Groups>,
}

/// The taps of [`Rows`] once more, for neighbouring outputs side by side.
#[derive(Debug)]
struct Groups {
    groups: Vec<Group>,
    taps: Vec<Lanes>,
    /// Taps of an output, without the zeros that a row begins with.
    len: usize,
    /// Which output of all phases has phase `i`.
    places: Vec<usize>,
}

impl Groups {
    fn new(rows: &[Lanes], up: usize, down: usize, ahead: usize) -> Self {
        let (len, stride) = (2 * ahead, rows.len() / up * LANES);
        let starts: Vec<usize> = (0..=up).map(|output| output * down / up).collect();
        let mut places = vec![0; up];
        let (mut groups, mut taps) = (Vec::new(), Vec::new());
        for first in (0..up).step_by(LANES) {
            let at = starts[first];
            let offsets = std::array::from_fn(|lane| (starts[first + lane] - at) as i32);
            groups.push(Group { offsets, step: starts[first + LANES] - at });
            let row = |lane| (first + lane) * down % up;
            (0..LANES).for_each(|lane| places[row(lane)] = first + lane);
            for tap in stride - len..stride {
                let side_by_side = |lane| rows[(row(lane) * stride + tap) / LANES].0[tap % LANES];
                taps.push(Lanes(std::array::from_fn(side_by_side)));
            }
        }
        Self { groups, taps, len, places }
    }
}

impl Rows {
    pub fn design(spec: &Spec) -> Self {
        let shape = Shape::new(spec);
        let taps = taps(spec);
        let (phases, margin) = if is_exact(spec) {
            (spec.up as usize, 0)
        } else {
            ((ROWS_PER_CROSSING * spec.stop).ceil().max(MIN_ROWS) as usize, 1)
        };
        let count = phases + 3 * margin;
        let mut rows = Vec::with_capacity(count * taps / LANES);
        for row in 0..count {
            let phase = (row as f64 - margin as f64) / phases as f64;
            rows.extend(shape.row(phase, taps).as_chunks::<LANES>().0.iter().map(|&x| Lanes(x)));
        }
        let (up, down, ahead) = (spec.up, spec.down, shape.ahead());
        let groups = is_grouped(spec);
        let groups = groups.then(|| Groups::new(&rows, up as usize, down as usize, ahead));
        Self { up, down, ahead, taps, phases, rows, groups }
    }

    pub fn ahead(&self) -> usize {
        self.ahead
    }

    pub fn size(&self) -> usize {
        self.rows.len() * LANES
    }

    fn row(&self, index: usize) -> &[Lanes] {
        let len = self.taps / LANES;
        &self.rows[index * len..][..len]
    }

    /// One output sample at `phase / up` after the window's input frame number `taps - 1 - ahead`, from four rows.
    fn interpolate(&self, level: Level, phase: usize, window: &[f32]) -> f32 {
        let position = phase as u64 * self.phases as u64;
        let row = (position / u64::from(self.up)) as usize;
        let weights = lagrange((position % u64::from(self.up)) as f64 / f64::from(self.up));
        let rows = [self.row(row), self.row(row + 1), self.row(row + 2), self.row(row + 3)];
        let sums = kernel::dots(level, [window; 4], rows);
        let mut sum = 0.0;
        for (weight, value) in weights.into_iter().zip(sums) {
            sum += weight * f64::from(value);
        }
        sum as f32
    }
}

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

/// A stream on its way through [`Rows`].
#[derive(Debug)]
pub(super) struct RowsStream {
    rows: Arc<Rows>,
    /// Latest input, one channel after the other, each with `capacity` places.
    history: Vec<f32>,
    capacity: usize,
    /// Places in use, from the first.
    len: usize,
    next: Next,
    /// `len` and the next frame's phase at the start of a stream.
    silence: usize,
    phase: usize,
}

impl RowsStream {
    /// Takes up to `block` frames at a time. See [`Start`].
    pub fn new(rows: Arc<Rows>, channels: usize, block: usize, start: Start) -> Self {
        let step = (rows.down / rows.up) as usize + 1;
        let early = start.output as u64 * u64::from(rows.down);
        let whole = early.div_ceil(u64::from(rows.up));
        let phase = (whole * u64::from(rows.up) - early) as usize;
        let silence = rows.taps - 1 - rows.ahead - start.input + whole as usize;
        let silence = silence + MARGIN;
        let capacity = silence + rows.taps + step + 2 * block + MARGIN;
        let mut stream = Self {
            history: vec![0.0; capacity * channels],
            capacity,
            len: 0,
            next: Next::default(),
            silence,
            phase,
            rows,
        };
        stream.reset();
        stream
    }

    pub fn reset(&mut self) {
        self.len = self.silence;
        self.next = Next { start: MARGIN, phase: self.phase };
        self.history.fill(0.0);
    }

    /// Output frames that are due once `more` input frames have come.
    pub fn ready(&self, more: usize) -> usize {
        // The n-th from here is due if its window, `(phase + n * down) / up` places on, ends within the history.
        let end = self.len.saturating_add(more);
        let Some(room) = end.checked_sub(self.next.start + self.rows.taps) else { return 0 };
        // No slice is long enough to saturate.
        let parts = (room as u64 + 1).saturating_mul(self.rows.up.into()) - self.next.phase as u64;
        parts.div_ceil(self.rows.down.into()) as usize
    }

    /// Makes sure that `frames` fit, at most a block.
    pub fn make_room(&mut self, frames: usize) {
        if self.capacity - MARGIN - self.len >= frames {
            return;
        }
        // The next window may start beyond the input that has come, by less than a step.
        let start = self.next.start.min(self.len) - MARGIN;
        for channel in self.history.chunks_exact_mut(self.capacity) {
            channel.copy_within(start..self.len, 0);
        }
        self.len -= start;
        self.next.start -= start;
    }

    /// Appends to one channel. [`advance`](Self::advance) follows once all have it.
    pub fn push(&mut self, channel: usize, frames: &[f32]) {
        let first = channel * self.capacity + self.len;
        self.history[first..][..frames.len()].copy_from_slice(frames);
    }

    pub fn advance(&mut self, frames: usize) {
        self.len += frames;
    }

    /// Computes one channel of the next frames, which are due. [`consume`](Self::consume) follows.
    pub fn emit(&self, level: Level, channel: usize, out: &mut [f32]) {
        let rows = &*self.rows;
        let history = &self.history[channel * self.capacity..][..self.capacity];
        let (up, down) = (rows.up as usize, rows.down as usize);
        if let Some(groups) = &rows.groups {
            let place = groups.places[self.next.phase];
            let window = self.next.start + rows.taps - groups.len;
            let filter =
                GroupsOf { groups: &groups.groups, taps: &groups.taps, len: groups.len, up, down };
            kernel::groups(level, out, &filter, history, window, place);
            return;
        }
        if rows.phases == up {
            let filter = RowsOf { rows: &rows.rows, len: rows.taps / LANES, up, down };
            kernel::rows(level, out, &filter, history, self.next);
            return;
        }
        let mut next = self.next;
        for sample in out {
            *sample = rows.interpolate(level, next.phase, &history[next.start..][..rows.taps]);
            next.skip(1, up, down);
        }
    }

    pub fn consume(&mut self, frames: usize) {
        self.next.skip(frames, self.rows.up as usize, self.rows.down as usize);
    }
}
