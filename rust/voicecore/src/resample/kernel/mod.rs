//! The inner loops, once for each instruction set.
//!
//! Every level adds the same products in the same order, each rounded after the multiplication and after the
//! addition (never fused), so all levels and all chunkings give the same bits. A bank's arm is summed in runs of
//! [`RUN`] taps, which keeps partial sums, and so their rounding, small. Within a whole run, four taps [`LANES`] apart
//! are summed in pairs, so that neighbouring vectors share their loads; the taps after the last whole run follow singly.

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
/// Residue classes' members in a run: taps that are loaded together.
const GROUP: usize = 4;
/// Taps that are summed on their own.
const RUN: usize = GROUP * LANES;

/// Coefficients on a cache line of their own.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub [f32; LANES]);

/// The taps of one output phase that meet one input plane.
#[derive(Debug)]
pub(super) struct Arm {
    plane: usize,
    /// Place in the plane of the first tap of output group 0.
    offset: usize,
    taps: usize,
    /// Where its coefficients begin, in the order of the additions.
    first: usize,
}

impl Arm {
    /// The part of `row`, whose first tap stands at input position `skip`, that meets `plane` of `down`.
    /// `None` if nothing but zeros does.
    pub fn new(
        row: &[f32],
        skip: usize,
        plane: usize,
        down: usize,
        coefficients: &mut Vec<f32>,
    ) -> Option<Self> {
        let start = (plane + down - skip % down) % down;
        let taps: Vec<f32> = row.iter().skip(start).step_by(down).copied().collect();
        let begin = taps.iter().position(|&tap| tap != 0.0)?;
        let end = taps.iter().rposition(|&tap| tap != 0.0)? + 1;
        let (taps, first) = (&taps[begin..end], coefficients.len());
        for run in taps.chunks(RUN) {
            if run.len() < RUN {
                coefficients.extend(run);
                continue;
            }
            for residue in 0..LANES {
                coefficients.extend(run[residue..].iter().step_by(LANES));
            }
        }
        let offset = (skip + start) / down + begin;
        Some(Self { plane, offset, taps: taps.len(), first })
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

/// Fills `out` with products of rows of `len` [`Lanes`] with windows of `history`. `place` gives the start of the
/// next window and the number of its row.
pub(super) fn rows(
    level: Level,
    out: &mut [f32],
    rows: &[Lanes],
    len: usize,
    history: &[f32],
    place: impl FnMut() -> (usize, usize),
) {
    dispatch!(level, rows(out, rows, len, history, place));
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
    dispatch!(level, split(frames, planes, stride, down, len));
}

/// Puts `from` at every `step`-th place of `to`.
pub(super) fn scatter(level: Level, from: &[f32], to: &mut [f32], step: usize) {
    dispatch!(level, scatter(from, to, step));
}

/// i16 to f32 of full scale [-1, 1].
pub(super) fn widen(level: Level, from: &[i16], to: &mut [f32]) {
    dispatch!(level, widen(from, to));
}

/// f32 of full scale [-1, 1] to i16: nearest, ties to even, saturated; NaN becomes 0.
pub(super) fn narrow(level: Level, from: &[f32], to: &mut [i16]) {
    dispatch!(level, narrow(from, to));
}
