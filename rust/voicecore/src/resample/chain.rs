//! A stream on its way through the stages of a plan, in blocks, without allocation.

use super::bank::BankStream;
use super::filter::{Design, Filter};
use super::plan::{Key, Start};
use super::rows::RowsStream;
use super::sample::Sample;
use crate::simd::{self, Level};

/// Frames, at the fastest of all rates, that go through the stages at once.
const BLOCK: usize = 1024;
/// Fewest input frames that do.
const MIN_BLOCK: usize = 64;

/// What comes next in a stream.
#[derive(Clone, Copy)]
pub(super) enum Feed<'a, S> {
    /// Interleaved frames.
    Frames(&'a [S]),
    /// So many frames of silence.
    Silence(usize),
}

/// The stages of a stream, and what lies between them.
#[derive(Debug)]
pub(super) struct Chain {
    channels: usize,
    stages: Vec<Stage>,
    /// Most input frames taken at once.
    block: usize,
    /// Frames of one channel between two stages, before the first and after the last.
    line: Vec<f32>,
    /// Input frames that the stages look ahead.
    ahead: f64,
}

/// A stage in the form that suits its number of phases.
#[derive(Debug)]
enum Stage {
    Bank(BankStream),
    Rows(RowsStream),
}

/// Calls the method of either kind of stage.
macro_rules! each {
    ($stage:expr, $stream:ident => $call:expr) => {
        match $stage {
            Stage::Bank($stream) => $call,
            Stage::Rows($stream) => $call,
        }
    };
}

impl Stage {
    /// Appends to the only channel; `line` is as long as `samples`.
    fn take<S: Sample>(&mut self, level: Level, samples: &[S], line: &mut [f32]) {
        match self {
            Self::Bank(stream) => stream.take(level, samples, line),
            Self::Rows(stream) => {
                S::widen(level, samples, line);
                stream.push(0, line);
            }
        }
    }

    fn push(&mut self, level: Level, channel: usize, frames: &[f32]) {
        match self {
            Self::Bank(stream) => stream.push(level, channel, frames),
            Self::Rows(stream) => stream.push(channel, frames),
        }
    }
}

impl Chain {
    pub fn new(key: Key, channels: usize) -> Self {
        let filter = Filter::cached(key);
        let block = block(&filter);
        let (mut stages, mut frames, mut most) = (Vec::new(), block, block);
        let mut start = Start::default();
        for (index, (spec, design)) in filter.stages.iter().enumerate() {
            start.output = filter.stages.get(index + 1).map_or(0, |(_, next)| {
                let reach = spec.half_width() * f64::from(spec.up) / f64::from(spec.down);
                (reach as usize).min(next.ahead() - 1)
            });
            stages.push(match design {
                Design::Bank(bank) => {
                    Stage::Bank(BankStream::new(bank.clone(), channels, frames, start))
                }
                Design::Rows(rows) => {
                    Stage::Rows(RowsStream::new(rows.clone(), channels, frames, start))
                }
            });
            start.input = start.output;
            frames = (frames * spec.up as usize).div_ceil(spec.down as usize) + 1;
            most = most.max(frames);
        }
        Self { channels, stages, block, line: vec![0.0; most], ahead: filter.ahead() }
    }

    /// Input frames that the stages look ahead.
    pub fn ahead(&self) -> f64 {
        self.ahead
    }

    pub fn reset(&mut self) {
        for stage in &mut self.stages {
            each!(stage, stream => stream.reset());
        }
    }

    /// Output frames that are due once `more` input frames have come.
    pub fn ready(&self, more: usize) -> usize {
        self.stages.iter().fold(more, |frames, stage| each!(stage, stream => stream.ready(frames)))
    }

    /// Takes all of `feed` and fills `out`, which is as long as what is due, or shorter at the end of a stream.
    pub fn run<S: Sample>(&mut self, feed: Feed<S>, mut out: &mut [S]) {
        let level = simd::level();
        let total = match feed {
            Feed::Frames(input) => input.len() / self.channels,
            Feed::Silence(frames) => frames,
        };
        let mut taken = 0;
        while taken < total {
            if out.is_empty() && matches!(feed, Feed::Silence(_)) {
                // The tail is complete, and a reset follows.
                return;
            }
            let frames = self.block.min(total - taken);
            self.take(level, feed, taken, frames);
            taken += frames;
            for index in 1..self.stages.len() {
                self.hand_on(level, index);
            }
            let due = self.due(self.stages.len() - 1).min(out.len() / self.channels);
            let (now, later) = out.split_at_mut(due * self.channels);
            self.give(level, now);
            out = later;
        }
    }

    fn due(&self, index: usize) -> usize {
        each!(&self.stages[index], stream => stream.ready(0))
    }

    /// Feeds the first stage.
    fn take<S: Sample>(&mut self, level: Level, feed: Feed<S>, from: usize, frames: usize) {
        let stage = &mut self.stages[0];
        let line = &mut self.line[..frames];
        each!(stage, stream => stream.make_room(frames));
        if let (Feed::Frames(input), 1) = (feed, self.channels) {
            stage.take(level, &input[from..][..frames], line);
            each!(stage, stream => stream.advance(frames));
            return;
        }
        for channel in 0..self.channels {
            match feed {
                Feed::Silence(_) => line.fill(0.0),
                Feed::Frames(input) => {
                    let input = &input[from * self.channels..][..frames * self.channels];
                    for (x, frame) in line.iter_mut().zip(input.chunks_exact(self.channels)) {
                        *x = frame[channel].to_f32();
                    }
                }
            }
            stage.push(level, channel, line);
        }
        each!(stage, stream => stream.advance(frames));
    }

    /// Moves what is due from the stage before `index` to that stage.
    fn hand_on(&mut self, level: Level, index: usize) {
        let frames = self.due(index - 1);
        let (before, after) = self.stages.split_at_mut(index);
        let (Some(from), Some(to)) = (before.last_mut(), after.first_mut()) else { return };
        let line = &mut self.line[..frames];
        each!(to, stream => stream.make_room(frames));
        for channel in 0..self.channels {
            each!(from, stream => stream.emit(level, channel, line));
            to.push(level, channel, line);
        }
        each!(from, stream => stream.consume(frames));
        each!(to, stream => stream.advance(frames));
    }

    /// Fills `out` from the last stage.
    fn give<S: Sample>(&mut self, level: Level, out: &mut [S]) {
        let frames = out.len() / self.channels;
        let Some(stage) = self.stages.last_mut() else { return };
        let line = &mut self.line[..frames];
        for channel in 0..self.channels {
            each!(stage, stream => stream.emit(level, channel, line));
            if self.channels == 1 {
                S::narrow(level, line, out);
                continue;
            }
            for (x, frame) in line.iter().zip(out.chunks_exact_mut(self.channels)) {
                frame[channel] = S::from_f32(*x);
            }
        }
        each!(stage, stream => stream.consume(frames));
    }
}

/// Input frames whose like at the fastest rate is a [`BLOCK`]; whole vectors of every phase if possible.
fn block(filter: &Filter) -> usize {
    let (mut rate, mut fastest, mut unit) = (1.0, 1.0f64, super::kernel::LANES);
    for (spec, _) in &filter.stages {
        rate *= f64::from(spec.up) / f64::from(spec.down);
        fastest = fastest.max(rate);
        unit *= spec.down as usize;
    }
    let most = ((BLOCK as f64 / fastest) as usize).max(MIN_BLOCK);
    if unit <= most { most - most % unit } else { most }
}
