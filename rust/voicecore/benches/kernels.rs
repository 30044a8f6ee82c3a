//! Nanoseconds per call of the elementwise kernels, at each level, side by side in one process.
//!
//! `cargo bench --bench kernels [-- PART_OF_A_NAME...]`. The method: frames rotate over 512 distinct
//! buffers (on one buffer, branchy code looks better than in life), levels take turns in batches of
//! about 2 ms, and the figure is the median of the batches, beside the fastest. The third figure is
//! nanoseconds per output item, or for base64 the speed at which text is read.

use std::hint::black_box;
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use voicecore::simd::{Level, available, force_level};
use voicecore::{base64 as codec64, downmix, g711};

/// Distinct buffers; few of a bulk size, which is no pattern by itself.
const BUFFERS: usize = 512;
const BULK_BUFFERS: usize = 16;
const BULK: usize = 32 << 10;
const BATCH: Duration = Duration::from_millis(2);
const ROUNDS: usize = 41;

fn main() {
    // Cargo passes `--bench`; anything else is a part of a name.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    println!("{:<22}{:>9}  median ns per call (fastest); ns per item or GB/s of text", "", "size");
    for size in [160, 960, 1 << 20] {
        elementwise(&wanted, size);
    }
    for size in [160, 960, 8 << 10, 64 << 10, 1 << 20] {
        base64_text(&wanted, size);
    }
}

fn elementwise(wanted: &[String], size: usize) {
    let samples = Pool::new(size, |index| (noise(index) >> 16) as i16);
    let codes = Pool::new(size, |index| noise(index) as u8);
    let frames = Pool::new(2 * size, |index| (noise(index) >> 16) as i16);
    let floats = Pool::new(2 * size, |index| (noise(index) >> 16) as i16 as f32 / 32768.0);
    let (mut bytes, mut words, mut reals) = (vec![0; size], vec![0; size], vec![0.0; size]);
    let row = Row { wanted, size, text: None };
    row.run("mu-law encode", |at| g711::encode_mulaw_into(samples.get(at), &mut bytes));
    row.run("A-law encode", |at| g711::encode_alaw_into(samples.get(at), &mut bytes));
    row.run("mu-law decode", |at| g711::decode_mulaw_into(codes.get(at), &mut words));
    row.run("A-law decode", |at| g711::decode_alaw_into(codes.get(at), &mut words));
    row.run("stereo i16", |at| downmix::downmix_i16_into(frames.get(at), 2, &mut words));
    row.run("stereo f32", |at| downmix::downmix_f32_into(floats.get(at), 2, &mut reals));
    row.run("(copy of i16)", |at| words.copy_from_slice(samples.get(at)));
}

fn base64_text(wanted: &[String], size: usize) {
    let raw = Pool::new(size, |index| noise(index) as u8);
    let text: Vec<String> = raw.buffers.iter().map(|bytes| STANDARD.encode(bytes)).collect();
    let mut out = vec![0; size];
    let row = Row { wanted, size, text: Some(text[0].len()) };
    row.run("base64 decode", |at| {
        codec64::decode_into(text[at % text.len()].as_bytes(), &mut out).unwrap()
    });
}

/// Distinct inputs of one size.
struct Pool<T> {
    buffers: Vec<Vec<T>>,
}

impl<T> Pool<T> {
    fn new(len: usize, item: impl Fn(usize) -> T) -> Self {
        let count = if len < BULK { BUFFERS } else { BULK_BUFFERS };
        let buffers = (0..count).map(|buffer| (0..len).map(|at| item(buffer * len + at)).collect());
        Self { buffers: buffers.collect() }
    }

    fn get(&self, at: usize) -> &[T] {
        &self.buffers[at % self.buffers.len()]
    }
}

/// One line of the table.
struct Row<'a> {
    wanted: &'a [String],
    size: usize,
    /// Bytes of text, if that is what the speed counts.
    text: Option<usize>,
}

impl Row<'_> {
    fn run<R>(&self, name: &str, mut call: impl FnMut(usize) -> R) {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|part| name.contains(part.as_str())) {
            return;
        }
        let levels: Vec<Level> = Level::ALL.into_iter().filter(|&l| l <= available()).collect();
        let mut times = vec![Vec::new(); levels.len()];
        for round in 0..ROUNDS {
            for turn in 0..levels.len() {
                let which = (turn + round) % levels.len();
                force_level(Some(levels[which]));
                times[which].push(batch(&mut call));
            }
        }
        force_level(None);
        print!("{name:<22}{:>9}", self.size);
        for (level, times) in levels.iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            let (median, fastest) = (times[times.len() / 2], times[0]);
            let speed = match self.text {
                Some(bytes) => format!("{:.1} GB/s", bytes as f64 / median),
                None => format!("{:.3}", median / self.size as f64),
            };
            print!(" | {} {median:.1} ({fastest:.1}) {speed}", level.name());
        }
        println!();
    }
}

/// Mean nanoseconds per call over one batch, after a short warm-up that also sizes it.
fn batch<R>(call: &mut impl FnMut(usize) -> R) -> f64 {
    let start = Instant::now();
    let mut warm = 0;
    while start.elapsed() < BATCH / 8 {
        for _ in 0..8 {
            black_box(call(warm));
            warm += 1;
        }
    }
    let calls = (warm * 8).max(8);
    let start = Instant::now();
    for at in 0..calls {
        black_box(call(at));
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}

/// A hash: noise that needs no state.
fn noise(index: usize) -> u32 {
    let mut bits = (index as u32).wrapping_mul(0x9E37_79B9);
    bits = (bits ^ bits >> 16).wrapping_mul(0x85EB_CA6B);
    (bits ^ bits >> 13).wrapping_mul(0xC2B2_AE35)
}
