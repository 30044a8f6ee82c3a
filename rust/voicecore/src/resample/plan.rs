//! Which filters, one after the other, make a ratio: a search over two stages for the cheapest.
//!
//! The profile's steep transition costs the more, the faster the rate at which it is computed. So a strict stage
//! works between the slow rate and a small multiple of it, where few taps suffice, and a short "wide" stage, whose
//! transition may take all that the strict one leaves free, does the rest. The strict response is the same
//! function of time for every ratio, so a cascade equals the single filter but for the wide stage's ripple.
//! After R. E. Crochiere, L. R. Rabiner, "Multirate Digital Signal Processing", chapter 5.

use super::Quality;
use super::fitted::HALF_WIDTH;
use std::f64::consts::PI;

/// Most phases times planes of a stage that is computed as a [`Bank`](super::bank::Bank).
const MAX_BANK: u64 = 64;
/// How much further than a single filter a plan may look ahead,
const MAX_STRETCH: f64 = 1.05;
/// and how much if that makes it faster by [`WORTH`].
const MAX_STRETCH_IF_WORTH: f64 = 1.12;
const WORTH: f64 = 1.15;
/// How much better, in dB, a wide stage is, so that its ripple hardly adds to the strict stage's.
const WIDE_MARGIN: f64 = 10.0;
/// Twice the rates between the stages, as multiples of the slower of both rates.
const BETWEEN: [u64; 5] = [3, 4, 8, 12, 16];

/// A ratio in lowest terms, and a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Output frames per `down` input frames.
    pub up: u32,
    /// Input frames per `up` output frames.
    pub down: u32,
    /// Which response.
    pub quality: Quality,
}

/// One stage: a ratio in lowest terms and what its filter must pass and stop, over its input's Nyquist frequency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spec {
    pub up: u32,
    pub down: u32,
    pub pass: f64,
    pub stop: f64,
    pub rejection: f64,
    /// The response is the one fitted for "hq", not one of Kaiser's.
    pub fitted: bool,
}

/// How early a stage begins: the first stage's response begins before the stream does, and so must what it hands on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Start {
    /// Frames that the stage before hands on before time zero.
    pub input: usize,
    /// Frames that this stage emits before time zero.
    pub output: usize,
}

impl Spec {
    /// The filter's response is zero from here on, to both sides, in input frames: as fitted, or by Kaiser's formula.
    pub fn half_width(&self) -> f64 {
        if self.fitted {
            return HALF_WIDTH * (Quality::Hq.stop() - Quality::Hq.pass())
                / (self.stop - self.pass);
        }
        (self.rejection - 7.95) / (2.285 * PI * (self.stop - self.pass)) / 2.0
    }

    /// Whether few phases, each of many outputs, are worth a kernel of their own.
    pub fn is_bank(&self) -> bool {
        u64::from(self.up) * u64::from(self.down) <= MAX_BANK
    }

    /// Time per output frame, in multiplications of the bank's kernel.
    fn cost(&self) -> f64 {
        let taps = 2.0 * self.half_width();
        if self.is_bank() {
            return self.cost_of_bank(taps * self.share_of_nonzero_taps());
        }
        if super::rows::is_grouped(self) {
            return 2.0 * taps + 10.0;
        }
        let row = (taps / 16.0).ceil() * 16.0;
        let rows = if super::rows::is_exact(self) { 1.0 } else { 4.0 };
        2.0 * row * rows + 60.0
    }

    fn cost_of_bank(&self, taps: f64) -> f64 {
        let (up, down) = (f64::from(self.up), f64::from(self.down));
        // Symmetric phases add two inputs first: all of two, and of more that of no delay and that of half a frame.
        let symmetric = if self.up.is_multiple_of(2) { 2.0 } else { 1.0 } / up;
        // Long arms share their loads.
        let folded = if taps / down.max(2.0) > 35.0 { 0.5 } else { 1.0 };
        let single = if taps / down > 20.0 { 0.87 } else { 2.4 };
        let split = if self.down == 1 {
            0.0
        } else if self.down <= 3 {
            5.0
        } else {
            17.0
        };
        taps * (symmetric * folded + (1.0 - symmetric) * single) + split * down / up + 10.0
    }

    /// A sinc whose zeros fall on the input's or the output's grid needs no multiplications there.
    fn share_of_nonzero_taps(&self) -> f64 {
        let (cutoff, up, down) =
            ((self.pass + self.stop) / 2.0, f64::from(self.up), f64::from(self.down));
        let near = |edge: f64| (cutoff - edge).abs() < 1e-9;
        if near(1.0) {
            1.0 - 1.0 / up
        } else if near(up / down) {
            1.0 - 1.0 / down
        } else {
            1.0
        }
    }
}

/// The stages for `key`, first to last: one or two.
pub(super) fn plan(key: Key) -> Vec<Spec> {
    let (from, to) = (2 * u64::from(key.down), 2 * u64::from(key.up));
    let slow = from.min(to);
    let edge = Edges { quality: key.quality, slow: slow as f64 };
    let single = vec![edge.strict(from, to)];
    let least = lookahead(&single);
    let between = BETWEEN.iter().map(|twice| slow / 2 * twice);
    let cascades: Vec<_> = between
        .flat_map(|middle| {
            [
                vec![edge.wide(from, middle, from.min(middle)), edge.strict(middle, to)],
                vec![edge.strict(from, middle), edge.wide(middle, to, middle)],
            ]
        })
        .filter(|stages| stages.iter().all(|s| s.up != s.down && s.stop > s.pass))
        .chain([single.clone()])
        .collect();
    let cheapest = |stretch: f64| {
        let soon = cascades.iter().filter(|stages| lookahead(stages) <= stretch * least);
        soon.min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or(&single)
    };
    let (near, far) = (cheapest(MAX_STRETCH), cheapest(MAX_STRETCH_IF_WORTH));
    if cost(near) > WORTH * cost(far) { far.clone() } else { near.clone() }
}

/// The profile's edges, with rates in any unit.
struct Edges {
    quality: Quality,
    slow: f64,
}

impl Edges {
    /// The stage with the profile's own transition.
    fn strict(&self, from: u64, to: u64) -> Spec {
        let stage = self.stage(from, to, self.quality.stop() * self.slow / from as f64, 0.0);
        Spec { fitted: self.quality == Quality::Hq, ..stage }
    }

    /// A stage that stops only what would fall below the profile's stop edge, with images or aliases about `mirror`.
    fn wide(&self, from: u64, to: u64, mirror: u64) -> Spec {
        let stop = (2.0 * mirror as f64 - self.quality.stop() * self.slow) / from as f64;
        let mut stage = self.stage(from, to, stop, WIDE_MARGIN);
        if from == 2 * to || to == 2 * from {
            // Edges at equal distances from the middle: half of the taps are zero.
            stage.pass = self.quality.stop() * self.slow / from as f64;
        }
        stage
    }

    fn stage(&self, from: u64, to: u64, stop: f64, margin: f64) -> Spec {
        let divisor = super::greatest_common_divisor(from, to);
        Spec {
            up: (to / divisor) as u32,
            down: (from / divisor) as u32,
            pass: self.quality.pass() * self.slow / from as f64,
            stop,
            rejection: self.quality.rejection() + margin,
            fitted: false,
        }
    }
}

/// Frames of the first stage's input that `stages` look ahead.
fn lookahead(stages: &[Spec]) -> f64 {
    let (mut sum, mut scale) = (0.0, 1.0);
    for stage in stages {
        sum += stage.half_width() * scale;
        scale *= f64::from(stage.down) / f64::from(stage.up);
    }
    sum
}

/// Time per input frame.
fn cost(stages: &[Spec]) -> f64 {
    let (mut sum, mut frames) = (0.0, 1.0);
    for stage in stages {
        frames *= f64::from(stage.up) / f64::from(stage.down);
        sum += stage.cost() * frames;
    }
    sum
}
