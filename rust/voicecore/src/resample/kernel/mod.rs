//! The inner loops, once for each instruction set.
//!
//! Every level adds the same products in the same order whatever the chunking. AVX2 and AVX-512 fuse each
//! multiplication with its addition and give the same bits; the portable loops round both, which moves a result by
//! less than 1e-6 of full scale.
//!
//! A bank's arm is summed in runs of up to [`RUN`] taps, which keeps partial sums, and so their rounding, small. In a
//! run, taps [`LANES`] apart follow each other, so that neighbouring vectors share their loads; the taps that fill no
//! [`LANES`] go one by one. A symmetric arm adds the two inputs of a coefficient first.

#![allow(unsafe_code, reason = "calls of functions for a level that was detected")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod body;
mod portable;

use crate::simd::Level;

/// Outputs that a vector holds at the highest level; partial sums of a row.
pub(super) const LANES: usize = 16;
/// Most taps that are summed on their own: six that share their loads for each lane.
const RUN: usize = 6 * LANES;
/// Fewest taps of an arm for which runs are faster than tap by tap,
const MIN_RUN: usize = 20;
/// and fewest that are filled up to [`LANES`] with zeros then.
const MIN_FILL: usize = 5;

/// Coefficients on a cache line of their own.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub [f32; LANES]);

/// [`LANES`] outputs in a row, each with its own taps.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Group {
    /// Where the window of each begins, after that of the first.
    pub offsets: [i32; LANES],
    /// From the first window to that of the next group.
    pub step: usize,
}

/// Whether outputs `down / up` apart can be computed as [`Group`]s: their inputs fit two vectors.
pub(super) fn fits_groups(up: u32, down: u32) -> bool {
    up.is_multiple_of(LANES as u32) && 8 * u64::from(down) <= 15 * u64::from(up)
}

/// The groups of `up` phases, with `len` taps each: those of one place in all lanes side by side.
pub(super) struct GroupsOf<'a> {
    pub groups: &'a [Group],
    pub taps: &'a [Lanes],
    pub len: usize,
    /// `up` outputs for `down` inputs.
    pub up: usize,
    pub down: usize,
}

/// A row of `len` [`Lanes`] for each of `up` phases, of which `down` make a step.
pub(super) struct RowsOf<'a> {
    pub rows: &'a [Lanes],
    pub len: usize,
    pub up: usize,
    pub down: usize,
}

/// Where the next output frame stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Next {
    /// The oldest tap of its window. What lies before it is no longer needed.
    pub start: usize,
    /// Its time after the window's middle, in parts of `up`.
    pub phase: usize,
}

impl Next {
    /// To the next output frame, `down / up` input frames on.
    #[inline(always)]
    pub fn advance(&mut self, up: usize, down: usize) {
        self.phase += down;
        while self.phase >= up {
            self.phase -= up;
            self.start += 1;
        }
    }

    /// Over `frames` output frames.
    pub fn skip(&mut self, frames: usize, up: usize, down: usize) {
        let parts = self.phase + frames * down;
        self.start += parts / up;
        self.phase = parts % up;
    }
}

/// The taps of one output phase that meet one input plane, or two planes with mirrored taps.
#[derive(Debug)]
pub(super) struct Arm {
    /// Places of the first taps of output group 0.
    at: PlaneIndex,
    /// Where the mirrored taps begin, if a coefficient serves the sum of two inputs.
    mirror: Option<PlaneIndex>,
    taps: usize,
    /// Where the coefficients begin, in the order of the additions, and how many there are.
    first: usize,
    count: usize,
    /// How many of them are in runs, and how many in each but the last.
    in_runs: usize,
    run: usize,
}

#[derive(Debug, Clone, Copy)]
struct PlaneIndex {
    plane: usize,
    offset: usize,
}

/// The arms of one output phase: `row`, whose first tap stands at input position `skip`, dealt out to `down` planes.
/// It begins with zeros, [`LANES`] for each plane.
pub(super) fn arms(row: &[f32], skip: usize, down: usize, coefficients: &mut Vec<f32>) -> Vec<Arm> {
    let mut open: Vec<(PlaneIndex, Vec<f32>)> =
        (0..down).filter_map(|plane| meet(row, skip, plane, down)).collect();
    let mut arms = Vec::new();
    while let Some((mut at, mut taps)) = open.pop() {
        let mirrored = |other: &[f32]| other.iter().eq(taps.iter().rev());
        let twin = open.iter().position(|(_, other)| mirrored(other));
        let (mirror, used) = if twin.is_none() && taps.len() > 1 && mirrored(&taps) {
            (Some(at), half(&taps))
        } else {
            // Zeros for older inputs; a twin has them for newer ones.
            let zeros = filling(taps.len());
            at.offset -= zeros;
            taps.splice(..0, vec![0.0; zeros]);
            (twin.map(|twin| open.swap_remove(twin).0), taps.clone())
        };
        let (first, count) = (coefficients.len(), used.len());
        let in_runs = if count < MIN_RUN { 0 } else { count - count % LANES };
        let run = run(in_runs);
        in_order(&used[..in_runs], run, coefficients);
        coefficients.extend(&used[in_runs..]);
        arms.push(Arm { at, mirror, taps: taps.len(), first, count, in_runs, run });
    }
    arms
}

/// The taps of `row` that meet one plane, without zeros at the ends. `None` if nothing but zeros does.
fn meet(row: &[f32], skip: usize, plane: usize, down: usize) -> Option<(PlaneIndex, Vec<f32>)> {
    let start = (plane + down - skip % down) % down;
    let taps: Vec<f32> = row.iter().skip(start).step_by(down).copied().collect();
    let begin = taps.iter().position(|&tap| tap != 0.0)?;
    let end = taps.iter().rposition(|&tap| tap != 0.0)? + 1;
    let offset = (skip + start) / down + begin;
    Some((PlaneIndex { plane, offset }, taps[begin..end].to_vec()))
}

/// The first half of taps that are the same backwards, with zeros after it; the middle one is paired with itself.
fn half(taps: &[f32]) -> Vec<f32> {
    let pairs = taps.len().div_ceil(2);
    let mut half = taps[..pairs].to_vec();
    if taps.len() % 2 == 1 {
        half[pairs - 1] *= 0.5;
    }
    half.resize(pairs + filling(pairs), 0.0);
    half
}

/// How many zeros, to fill up [`LANES`], are faster than the last few of `taps` one by one.
fn filling(taps: usize) -> usize {
    if taps < MIN_RUN || taps % LANES < MIN_FILL { 0 } else { LANES - taps % LANES }
}

/// The length of all runs but the last: as even as possible.
fn run(taps: usize) -> usize {
    taps.div_ceil(taps.div_ceil(RUN).max(1)).next_multiple_of(LANES).max(LANES)
}

/// Adds taps in the order in which they are used.
fn in_order(taps: &[f32], run: usize, coefficients: &mut Vec<f32>) {
    for run in taps.chunks(run) {
        for residue in 0..LANES {
            coefficients.extend(run[residue..].iter().step_by(LANES));
        }
    }
}

/// Calls the twin for a level.
macro_rules! dispatch {
    ($level:expr, $name:ident($($arg:expr),*)) => {
        match $level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                // SAFETY: `simd::level` gives this level only on a machine with AVX-512 F, BW, DQ and VL.
                unsafe { avx512::$name($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                // SAFETY: `simd::level` gives this level only on a machine with AVX2 and FMA.
                unsafe { avx2::$name($($arg),*) }
            }
            _ => portable::$name($($arg),*),
        }
    };
}

/// Calls what AVX-512 has for whole vectors of 2 or 3 planes; the groups that it did.
macro_rules! vectors {
    ($level:expr, $planes:expr, $name:ident($($arg:expr),*)) => {
        match ($level, $planes) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `simd::level` gives this level only on a machine with AVX-512 F, BW, DQ and VL.
            (Level::Avx512, 2 | 3) => unsafe { avx512::$name($($arg),*) },
            _ => 0,
        }
    };
}

/// Outputs `at`, `at + 1` and so on of one phase into all of `out`, a whole number of [`LANES`].
pub(super) fn bank(
    level: Level,
    arms: &[Arm],
    coefficients: &[f32],
    planes: &[f32],
    stride: usize,
    at: usize,
    out: &mut [f32],
) {
    dispatch!(level, bank(arms, coefficients, planes, stride, at, out));
}

/// Four products of a window with a row.
pub(super) fn dots(level: Level, windows: [&[f32]; 4], rows: [&[Lanes]; 4]) -> [f32; 4] {
    dispatch!(level, dots(windows, rows))
}

/// Fills `out` with products of rows with windows of `history`.
pub(super) fn rows(level: Level, out: &mut [f32], filter: &RowsOf, history: &[f32], next: Next) {
    dispatch!(level, rows(out, filter, history, next));
}

/// Fills `out` from output `first` of all phases on, whose window begins at `window` of `history`.
pub(super) fn groups(
    level: Level,
    out: &mut [f32],
    filter: &GroupsOf,
    history: &[f32],
    window: usize,
    first: usize,
) {
    dispatch!(level, groups(out, filter, history, window, first));
}

/// Deals `frames` out to `down` planes of `stride` places; the first belongs to position `len`.
pub(super) fn split(
    level: Level,
    frames: &[f32],
    planes: &mut [f32],
    stride: usize,
    down: usize,
    len: usize,
) {
    // Single frames up to a whole group of planes, then groups, then the rest.
    let lead = ((down - len % down) % down).min(frames.len());
    let (head, body) = frames.split_at(lead);
    for (i, &x) in head.iter().enumerate() {
        planes[(len + i) % down * stride + (len + i) / down] = x;
    }
    let at = (len + lead) / down;
    let done = vectors!(level, down, split_vectors(body, planes, stride, down, at));
    dispatch!(level, split(&body[done * down..], planes, stride, down, at + done));
}

/// [`widen`] and [`split`]; `line` is as long as `frames`.
pub(super) fn split_ints(
    level: Level,
    frames: &[i16],
    line: &mut [f32],
    planes: &mut [f32],
    stride: usize,
    down: usize,
    len: usize,
) {
    if down == 1 {
        return widen(level, frames, &mut planes[len..][..frames.len()]);
    }
    let lead = ((down - len % down) % down).min(frames.len());
    let (body, at) = (&frames[lead..], (len + lead) / down);
    let done = vectors!(level, down, split_ints(body, planes, stride, down, at));
    let end = lead + done * down;
    for (from, part) in [(0, &frames[..lead]), (end, &frames[end..])] {
        let line = &mut line[..part.len()];
        widen(level, part, line);
        split(level, line, planes, stride, down, len + from);
    }
}

/// The reverse of [`split`]: fills `out` from `up` planes of `stride` places; the first comes from `first`.
pub(super) fn join(
    level: Level,
    planes: &[f32],
    out: &mut [f32],
    stride: usize,
    up: usize,
    first: usize,
) {
    let lead = ((up - first % up) % up).min(out.len());
    let (head, body) = out.split_at_mut(lead);
    for (i, place) in head.iter_mut().enumerate() {
        *place = planes[(first + i) % up * stride + (first + i) / up];
    }
    let at = (first + lead) / up;
    let done = vectors!(level, up, join_vectors(planes, body, stride, up, at));
    dispatch!(level, join(planes, &mut body[done * up..], stride, up, at + done));
}

/// i16 to f32 of full scale [-1, 1].
pub(super) fn widen(level: Level, from: &[i16], to: &mut [f32]) {
    dispatch!(level, widen(from, to));
}

/// f32 of full scale [-1, 1] to i16: nearest, ties to even, saturated; NaN becomes 0.
pub(super) fn narrow(level: Level, from: &[f32], to: &mut [i16]) {
    dispatch!(level, narrow(from, to));
}
