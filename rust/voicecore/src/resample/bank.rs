//! A stage of few phases: outputs of one phase are computed side by side, from input that is split by position.
//!
//! With L outputs for M inputs, outputs of phase p are M inputs apart. Input is kept in M planes, one for each
//! position modulo M, so that what one tap needs for neighbouring outputs of a phase lies side by side.
//! See `kernel` for the order of additions.

use super::kernel::{self, Arm, LANES};
use super::plan::{Spec, Start};
use super::sample::{Planes, Sample};
use super::shape::Shape;
use crate::simd::Level;
use std::sync::Arc;

/// The filter of a stage, split by output phase and input plane.
#[derive(Debug)]
pub(super) struct Bank {
    up: usize,
    down: usize,
    ahead: usize,
    /// Input frames that a window spans, with zeros for the oldest of each plane.
    span: usize,
    /// The arms of each phase.
    phases: Vec<Vec<Arm>>,
    coefficients: Vec<f32>,
}

impl Bank {
    pub fn design(spec: &Spec) -> Self {
        let shape = Shape::new(spec);
        let (up, down) = (spec.up as usize, spec.down as usize);
        let (ahead, span) = (shape.ahead(), 2 * shape.ahead() + LANES * down);
        let mut coefficients = Vec::new();
        let mut phases = Vec::with_capacity(up);
        for phase in 0..up {
            let (skip, part) = (phase * down / up, phase * down % up);
            let row = shape.row(part as f64 / up as f64, span);
            phases.push(kernel::arms(&row, skip, down, &mut coefficients));
        }
        Self { up, down, ahead, span, phases, coefficients }
    }

    pub fn ahead(&self) -> usize {
        self.ahead
    }

    pub fn size(&self) -> usize {
        self.coefficients.len()
    }
}

/// A stream on its way through a [`Bank`]. Positions count from the oldest input that is kept.
#[derive(Debug)]
pub(super) struct BankStream {
    bank: Arc<Bank>,
    /// Planes, channel by channel, each with `stride` places.
    planes: Vec<f32>,
    stride: usize,
    /// Input frames that fit, in places that end at a whole number of planes.
    capacity: usize,
    /// Input frames that are kept.
    len: usize,
    /// The next output frame: it stands at `next * down / up`.
    next: usize,
    /// `len` and `next` at the start of a stream.
    silence: usize,
    first: usize,
    /// Outputs of each phase, with `places`, before they are put between each other.
    scratch: Vec<f32>,
    places: usize,
}

impl BankStream {
    /// Takes up to `block` frames at a time. See [`Start`].
    pub fn new(bank: Arc<Bank>, channels: usize, block: usize, start: Start) -> Self {
        let down = bank.down;
        let early = start.output.next_multiple_of(bank.up);
        let silence = bank.span - 1 - bank.ahead - start.input + early / bank.up * down;
        let capacity = (silence + bank.span + 2 * down + 2 * block).next_multiple_of(down);
        // Vectors reach beyond the last output, by less than one.
        let stride = (capacity / down + 2 * LANES).next_multiple_of(LANES);
        let places = capacity / down + 2 * LANES;
        let mut stream = Self {
            planes: vec![0.0; stride * down * channels],
            scratch: vec![0.0; places * bank.up],
            places,
            stride,
            capacity,
            len: 0,
            next: 0,
            silence,
            first: early - start.output,
            bank,
        };
        stream.reset();
        stream
    }

    pub fn reset(&mut self) {
        self.len = self.silence;
        self.next = self.first;
        self.planes.fill(0.0);
    }

    /// Output frames that are due once `more` input frames have come.
    pub fn ready(&self, more: usize) -> usize {
        let Some(room) = self.len.saturating_add(more).checked_sub(self.bank.span) else {
            return 0;
        };
        // No slice is long enough to saturate.
        let parts = (room as u64 + 1).saturating_mul(self.bank.up as u64);
        parts.div_ceil(self.bank.down as u64) as usize - self.next
    }

    /// Makes sure that `frames` fit, at most a block.
    pub fn make_room(&mut self, frames: usize) {
        if self.capacity - self.len >= frames {
            return;
        }
        let (up, down) = (self.bank.up, self.bank.down);
        let groups = self.next / up;
        let used = self.len.div_ceil(down);
        for plane in self.planes.chunks_exact_mut(self.stride) {
            plane.copy_within(groups..used, 0);
        }
        self.next -= groups * up;
        self.len -= groups * down;
    }

    /// Appends to one channel. [`advance`](Self::advance) follows once all have it.
    pub fn push(&mut self, level: Level, channel: usize, frames: &[f32]) {
        let planes = self.planes(channel);
        kernel::split(level, frames, planes.planes, planes.stride, planes.down, planes.len);
    }

    /// The same to the only channel, from samples; `line` is as long as those.
    pub fn take<S: Sample>(&mut self, level: Level, samples: &[S], line: &mut [f32]) {
        S::split(level, samples, line, self.planes(0));
    }

    fn planes(&mut self, channel: usize) -> Planes<'_> {
        let (stride, down, len) = (self.stride, self.bank.down, self.len);
        let planes = &mut self.planes[channel * stride * down..][..stride * down];
        Planes { planes, stride, down, len }
    }

    pub fn advance(&mut self, frames: usize) {
        self.len += frames;
    }

    /// Computes one channel of the next frames, which are due. [`consume`](Self::consume) follows.
    pub fn emit(&mut self, level: Level, channel: usize, out: &mut [f32]) {
        let bank = &*self.bank;
        let all = self.stride * bank.down;
        let planes = &self.planes[channel * all..][..all];
        if let ([arms], true) = (&bank.phases[..], out.len().is_multiple_of(LANES)) {
            // Nothing to put between each other, nor a vector that is not whole.
            kernel::bank(level, arms, &bank.coefficients, planes, self.stride, self.next, out);
            return;
        }
        for (phase, arms) in bank.phases.iter().enumerate() {
            // The first frame of this phase, and its place in `out`.
            let skip = (phase + bank.up - self.next % bank.up) % bank.up;
            if skip >= out.len() {
                continue;
            }
            let at = (self.next + skip) / bank.up;
            let count = (out.len() - skip).div_ceil(bank.up);
            // Groups are counted from that of the next frame.
            let place = phase * self.places + at - self.next / bank.up;
            let scratch = &mut self.scratch[place..][..count.next_multiple_of(LANES)];
            kernel::bank(level, arms, &bank.coefficients, planes, self.stride, at, scratch);
        }
        kernel::join(level, &self.scratch, out, self.places, bank.up, self.next % bank.up);
    }

    pub fn consume(&mut self, frames: usize) {
        self.next += frames;
    }
}
