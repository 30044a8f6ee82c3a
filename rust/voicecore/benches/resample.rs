//! Nanoseconds per 20 ms chunk of mono i16, by ratio, profile and instruction set, and per second of audio in one call.
//!
//! `cargo bench --bench resample [-- FILTER]`. Chunks rotate over 512 distinct buffers of noise; rows are measured in
//! turn, round by round, and the median round is shown, so that a machine that changes its speed changes all alike.

use std::time::Instant;
use voicecore::resample::{Quality, Resampler};
use voicecore::simd::{self, Level};

const RATIOS: [(u32, u32); 9] = [
    (48_000, 8_000),
    (48_000, 16_000),
    (44_100, 16_000),
    (24_000, 8_000),
    (22_050, 8_000),
    (8_000, 16_000),
    (16_000, 48_000),
    (44_100, 48_000),
    (44_100, 47_999),
];
const BUFFERS: usize = 512;
const ROUNDS: usize = 41;
const CALLS: usize = 64;

/// One row of the table: a stream at one level.
struct Row {
    ratio: (u32, u32),
    quality: Quality,
    level: Level,
    chunks: Vec<Vec<i16>>,
    next: usize,
    stream: Resampler,
    out: Vec<i16>,
    second: Vec<i16>,
    rounds: [Vec<f64>; 2],
}

impl Row {
    fn new(ratio: (u32, u32), quality: Quality, level: Level) -> Self {
        let frames = ratio.0 as usize / 50;
        let noise = noise(frames * BUFFERS);
        Self {
            ratio,
            quality,
            level,
            second: noise[..ratio.0 as usize].to_vec(),
            chunks: noise.chunks(frames).map(<[i16]>::to_vec).collect(),
            next: 0,
            stream: Resampler::new(ratio.0, ratio.1, 1, quality).expect("a supported ratio"),
            out: vec![0; ratio.1 as usize + 1_000],
            rounds: [Vec::new(), Vec::new()],
        }
    }

    fn round(&mut self) {
        simd::force_level(Some(self.level));
        let begin = Instant::now();
        for _ in 0..CALLS {
            self.next = (self.next + 1) % BUFFERS;
            self.stream.process_into(&self.chunks[self.next], &mut self.out).expect("room");
        }
        self.rounds[0].push(begin.elapsed().as_nanos() as f64 / CALLS as f64);
        let begin = Instant::now();
        self.stream.process_into(&self.second, &mut self.out).expect("room");
        self.rounds[1].push(begin.elapsed().as_nanos() as f64 / 50.0);
    }
}

fn noise(count: usize) -> Vec<i16> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 41) as i16
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let mut rows = Vec::new();
    for ratio in RATIOS {
        for quality in [Quality::Hq, Quality::Voice, Quality::LowLatency] {
            for level in Level::ALL.into_iter().filter(|level| *level <= simd::available()) {
                let name = format!("{}:{} {}", ratio.0, ratio.1, quality.name());
                if name.contains(&filter) {
                    rows.push(Row::new(ratio, quality, level));
                }
            }
        }
    }
    for _ in 0..ROUNDS {
        rows.iter_mut().for_each(Row::round);
    }
    println!(
        "| ratio | profile | level | ns per 20 ms chunk | ns per 20 ms in bulk | latency ms |"
    );
    println!("|---|---|---|---|---|---|");
    for row in &mut rows {
        let [stream, bulk] = &mut row.rounds;
        println!(
            "| {}:{} | {} | {} | {:.0} | {:.0} | {:.2} |",
            row.ratio.0,
            row.ratio.1,
            row.quality.name(),
            row.level.name(),
            median(stream),
            median(bulk),
            row.stream.latency() * 1e3
        );
    }
}
