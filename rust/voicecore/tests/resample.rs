//! The resampler: measured quality, an f64 oracle, and the algebra of streams.
//!
//! Levels are relative to a sine of amplitude 0.5, which is what goes in. fN is the lower of both
//! Nyquist frequencies.

#[path = "../src/resample/fitted.rs"]
mod fitted;

use fitted::{BUMP, HALF_WIDTH, SINC};
use proptest::prelude::*;
use std::f64::consts::PI;
use std::fmt::Debug;
use voicecore::Error;
use voicecore::resample::Quality::{Hq, LowLatency, Voice};
use voicecore::resample::{Quality, Resampler, Sample, resampled_frames};

const QUALITIES: [Quality; 3] = [Hq, Voice, LowLatency];
const AMPLITUDE: f64 = 0.5;
/// Ratios whose quality is measured: telephony, studio, coprime, and both ends of the range.
const RATIOS: [(u32, u32); 18] = [
    (48_000, 8_000),
    (48_000, 16_000),
    (44_100, 16_000),
    (24_000, 8_000),
    (22_050, 8_000),
    (11_025, 16_000),
    (8_000, 16_000),
    (16_000, 48_000),
    (8_000, 48_000),
    (44_100, 48_000),
    (48_000, 44_100),
    (16_000, 24_000),
    (44_100, 47_999),
    (47_999, 44_100),
    (192_000, 4_000),
    (4_000, 192_000),
    (191_999, 4_001),
    (4_001, 191_999),
];

fn resampler(in_rate: u32, out_rate: u32, channels: usize, quality: Quality) -> Resampler {
    Resampler::new(in_rate, out_rate, channels, quality).unwrap()
}

/// Feeds one chunk into an output of exactly the promised size.
fn process<S: Sample + Default>(stream: &mut Resampler, input: &[S]) -> Vec<S> {
    let frames = stream.output_frames(input.len() / stream.channels());
    let mut out = vec![S::default(); frames * stream.channels()];
    assert_eq!(stream.process_into(input, &mut out), Ok(frames));
    out
}

fn flush<S: Sample + Default>(stream: &mut Resampler) -> Vec<S> {
    let frames = stream.flush_frames();
    let mut out = vec![S::default(); frames * stream.channels()];
    assert_eq!(stream.flush_into(&mut out), Ok(frames));
    out
}

/// A whole stream in one chunk.
fn convert<S: Sample + Default>(stream: &mut Resampler, input: &[S]) -> Vec<S> {
    let mut out = process(stream, input);
    out.extend(flush::<S>(stream));
    out
}

/// A whole stream in chunks of the given sizes in frames, over and over.
fn convert_in_chunks<S: Sample + Default>(
    stream: &mut Resampler,
    input: &[S],
    sizes: &[usize],
) -> Vec<S> {
    let (mut out, mut rest) = (Vec::new(), input);
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, later) = rest.split_at(rest.len().min(size * stream.channels()));
        out.extend(process(stream, chunk));
        rest = later;
    }
    out.extend(flush::<S>(stream));
    out
}

fn noise(frames: usize, seed: u64) -> Vec<i16> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as i16
    };
    std::iter::repeat_with(next).take(frames).collect()
}

fn as_float(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|&x| f32::from(x) / 32768.0).collect()
}

fn decibels(power: f64) -> f64 {
    10.0 * (power + 1e-30).log10()
}

/// One profile of one ratio, with a stream that is long enough to measure on.
struct Bench {
    stream: Resampler,
    in_rate: f64,
    out_rate: f64,
    nyquist: f64,
    frames: usize,
    /// Output frames at both ends that the start and the end of the sine disturb.
    margin: usize,
}

impl Bench {
    fn new(in_rate: u32, out_rate: u32, quality: Quality) -> Self {
        let stream = resampler(in_rate, out_rate, 1, quality);
        let nyquist = f64::from(in_rate.min(out_rate)) / 2.0;
        let reach = 2.0 * stream.latency();
        let seconds = 2.0 * reach + 300.0 / nyquist;
        let frames = (seconds * f64::from(in_rate)) as usize;
        let margin = (reach * f64::from(out_rate)) as usize + 4;
        let (in_rate, out_rate) = (f64::from(in_rate), f64::from(out_rate));
        Self { stream, in_rate, out_rate, nyquist, frames, margin }
    }

    /// The settled part of the output for a sine of this frequency in fN, with its frames' numbers.
    fn sine(&mut self, frequency: f64) -> Vec<(usize, f64)> {
        let omega = 2.0 * PI * frequency * self.nyquist / self.in_rate;
        let input: Vec<f32> =
            (0..self.frames).map(|n| (AMPLITUDE * (omega * n as f64).cos()) as f32).collect();
        let output = convert(&mut self.stream, &input);
        let settled = self.margin..output.len() - self.margin;
        settled.map(|k| (k, f64::from(output[k]))).collect()
    }

    /// Power of everything in the output, for what should be stopped.
    fn leakage(&mut self, frequency: f64) -> f64 {
        let output = self.sine(frequency);
        level(output.iter().map(|(_, y)| y * y).sum::<f64>() / output.len() as f64)
    }

    /// Power of the output's difference to the same sine at the output's rate: level, phase and all.
    fn deviation(&mut self, frequency: f64) -> f64 {
        let omega = 2.0 * PI * frequency * self.nyquist / self.out_rate;
        let output = self.sine(frequency);
        let error = |(k, y): &(usize, f64)| (y - AMPLITUDE * (omega * *k as f64).cos()).powi(2);
        level(output.iter().map(error).sum::<f64>() / output.len() as f64)
    }

    /// Power of the best-fitting sine of that frequency, and of what remains without it.
    fn gain_and_residue(&mut self, frequency: f64) -> (f64, f64) {
        let omega = 2.0 * PI * frequency * self.nyquist / self.out_rate;
        let (gain, residue) = fit(&self.sine(frequency), omega);
        (level(gain), level(residue))
    }

    /// Where the response crosses -3 dB, in fN.
    fn corner(&mut self) -> f64 {
        let (mut low, mut high) = (0.7, 0.9999);
        for _ in 0..10 {
            let middle = (low + high) / 2.0;
            if self.gain_and_residue(middle).0 > -3.0 { low = middle } else { high = middle }
        }
        low
    }
}

/// Decibels relative to the sine that went in.
fn level(power: f64) -> f64 {
    decibels(power / (AMPLITUDE * AMPLITUDE / 2.0))
}

/// Least squares: power of the sine of that angular frequency, and of the rest.
fn fit(output: &[(usize, f64)], omega: f64) -> (f64, f64) {
    let (mut ss, mut cc, mut sc, mut ys, mut yc, mut yy) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for &(k, y) in output {
        let (s, c) = (omega * k as f64).sin_cos();
        ss += s * s;
        cc += c * c;
        sc += s * c;
        ys += y * s;
        yc += y * c;
        yy += y * y;
    }
    let determinant = ss * cc - sc * sc;
    let a = (ys * cc - yc * sc) / determinant;
    let b = (yc * ss - ys * sc) / determinant;
    let error = |&(k, y): &(usize, f64)| {
        let (s, c) = (omega * k as f64).sin_cos();
        (y - a * s - b * c).powi(2)
    };
    let residue: f64 = output.iter().map(error).sum();
    (yy / output.len() as f64, residue / output.len() as f64)
}

/// What each profile promises, in dB.
fn promised(quality: Quality) -> f64 {
    match quality {
        Hq => -120.0,
        Voice => -98.0,
        LowLatency => -80.0,
    }
}

#[test]
fn what_lies_beyond_the_stop_edge_is_rejected() {
    for (in_rate, out_rate) in RATIOS.into_iter().filter(|(from, to)| from > to) {
        for quality in QUALITIES {
            let mut bench = Bench::new(in_rate, out_rate, quality);
            let top = 0.999 * f64::from(in_rate) / f64::from(out_rate);
            let near = [1.0, 1.002, 1.006, 1.012, 1.02].map(|f| f * quality.stop());
            let far = [0.1, 0.23, 0.37, 0.55, 0.71, 0.9, 1.0]
                .map(|part| quality.stop() + part * (top - quality.stop()));
            for frequency in
                near.into_iter().chain(far).filter(|f| (quality.stop()..=top).contains(f))
            {
                let leak = bench.leakage(frequency);
                // Designed for -133 dB; rounding in f32 costs up to 4 dB where the sine's period is a few frames.
                let limit = if quality == Hq { -128.0 } else { promised(quality) };
                assert!(leak < limit, "{in_rate} {out_rate} {quality:?} {frequency} fN: {leak} dB");
            }
        }
    }
}

#[test]
fn pass_band_sines_come_out_as_themselves() {
    for (in_rate, out_rate) in RATIOS {
        for quality in QUALITIES {
            let mut bench = Bench::new(in_rate, out_rate, quality);
            for part in [0.04, 0.31, 0.72, 0.97] {
                let off = bench.deviation(part * quality.pass());
                let limit = promised(quality);
                assert!(off < limit, "{in_rate} {out_rate} {quality:?} {part}: {off} dB");
            }
        }
    }
}

#[test]
fn images_and_aliases_of_the_transition_band_stay_below_the_floor() {
    // In "hq" the transition ends at fN, so its images lie in the stop band too.
    for (in_rate, out_rate) in RATIOS {
        let mut bench = Bench::new(in_rate, out_rate, Hq);
        for frequency in [0.93, 0.96, 0.985, 0.995] {
            let (_, residue) = bench.gain_and_residue(frequency);
            assert!(residue < -130.0, "{in_rate} {out_rate} {frequency} fN: {residue} dB");
        }
    }
}

#[test]
fn the_corner_is_where_the_profile_says() {
    for (in_rate, out_rate) in
        [(48_000, 8_000), (8_000, 16_000), (44_100, 48_000), (44_100, 16_000)]
    {
        for (quality, at_least) in [(Hq, 0.945), (Voice, 0.98), (LowLatency, 0.95)] {
            let corner = Bench::new(in_rate, out_rate, quality).corner();
            assert!(corner >= at_least, "{in_rate} {out_rate} {quality:?}: {corner} fN");
        }
    }
}

#[test]
fn int16_distortion_and_noise() {
    for (in_rate, out_rate) in
        [(48_000, 8_000), (44_100, 16_000), (8_000, 16_000), (16_000, 48_000)]
    {
        let mut stream = resampler(in_rate, out_rate, 1, Hq);
        let frequency = 997.0;
        let angle = 2.0 * PI * frequency / f64::from(in_rate);
        let input: Vec<i16> = (0..in_rate)
            .map(|n| (0.99 * 32767.0 * (angle * f64::from(n)).sin()).round() as i16)
            .collect();
        let output: Vec<(usize, f64)> = convert(&mut stream, &input)
            .into_iter()
            .enumerate()
            .map(|(k, y)| (k, f64::from(y)))
            .collect();
        let settled = &output[out_rate as usize / 10..output.len() - out_rate as usize / 10];
        let (signal, rest) = fit(settled, 2.0 * PI * frequency / f64::from(out_rate));
        let thd_n = decibels(rest / signal);
        assert!(thd_n <= -94.0, "{in_rate} {out_rate}: {thd_n} dB");
    }
}

/// I0 from its integral; the trapezoid rule converges geometrically for a periodic integrand.
fn bessel_i0(x: f64) -> f64 {
    let points = 64;
    (0..points)
        .map(|i| (x * (2.0 * PI * f64::from(i) / f64::from(points)).cos()).exp())
        .sum::<f64>()
        / f64::from(points)
}

/// Input frames to either side that the response spans: as fitted, or by Kaiser's formula.
fn half_width(in_rate: u32, out_rate: u32, quality: Quality) -> f64 {
    let bandwidth = (f64::from(out_rate) / f64::from(in_rate)).min(1.0);
    if quality == Hq {
        return HALF_WIDTH / bandwidth;
    }
    let transition = PI * bandwidth * (quality.stop() - quality.pass());
    (quality.rejection() - 7.95) / (2.285 * transition) / 2.0
}

/// The response at `t` input frames, not yet scaled to a gain of one.
fn response(t: f64, cutoff: f64, half_width: f64, quality: Quality) -> f64 {
    let sinc = if t == 0.0 { 1.0 } else { (PI * cutoff * t).sin() / (PI * cutoff * t) };
    if quality == Hq {
        let cosine = |(k, factor)| factor * (PI * k as f64 * t / half_width).cos();
        let sum = |factors: [f64; 16]| factors.into_iter().enumerate().map(cosine).sum::<f64>();
        return sinc * sum(SINC) + (PI * cutoff * t).cos() * sum(BUMP) / (cutoff * half_width);
    }
    let beta = 0.1102 * (quality.rejection() - 8.7);
    sinc * bessel_i0(beta * (1.0 - (t / half_width).powi(2)).sqrt())
}

/// Output frame `k` by definition: the sum over the input of the continuous response at the exact time.
fn oracle(
    input: &[f32],
    (in_rate, out_rate): (u32, u32),
    quality: Quality,
    half_width: f64,
    k: usize,
) -> f64 {
    let time = k as f64 * f64::from(in_rate) / f64::from(out_rate);
    let cutoff = (f64::from(out_rate) / f64::from(in_rate)).min(1.0)
        * (quality.pass() + quality.stop())
        / 2.0;
    let (mut sum, mut gain) = (0.0, 0.0);
    for n in (time - half_width).ceil() as i64..=(time + half_width).floor() as i64 {
        let t = time - n as f64;
        if t.abs() >= half_width {
            continue;
        }
        let weight = response(t, cutoff, half_width, quality);
        gain += weight;
        sum += weight * input.get(n as usize).map_or(0.0, |&x| f64::from(x));
    }
    sum / gain
}

#[test]
fn equals_direct_convolution_in_f64() {
    for (in_rate, out_rate) in RATIOS {
        for quality in QUALITIES {
            let mut stream = resampler(in_rate, out_rate, 1, quality);
            let half_width = half_width(in_rate, out_rate, quality);
            let input = as_float(&noise((2.5 * half_width) as usize + 40, 7));
            let output = convert(&mut stream, &input);
            // The start, the end, and some frames between.
            let some = (0..output.len()).step_by(output.len() / 12 + 1);
            for k in some.chain([1, 2, output.len() - 2, output.len() - 1]) {
                let exact = oracle(&input, (in_rate, out_rate), quality, half_width, k);
                let error = (f64::from(output[k]) - exact).abs();
                // A cascade of two adds the ripple of its wide stage, and what that one takes off the transition band.
                let limit =
                    if quality == Hq { 1.5e-6 } else { 5.0 * 10f64.powf(promised(quality) / 20.0) };
                assert!(error < limit, "{in_rate} {out_rate} {quality:?} frame {k}: {error}");
            }
        }
    }
}

#[test]
fn silence_stays_silent() {
    for (in_rate, out_rate) in RATIOS {
        for quality in QUALITIES {
            let mut stream = resampler(in_rate, out_rate, 1, quality);
            let frames = in_rate as usize / 20;
            assert!(convert(&mut stream, &vec![0i16; frames]).iter().all(|&y| y == 0));
            assert!(convert(&mut stream, &vec![0f32; frames]).iter().all(|&y| y == 0.0));
            // After sound, as soon as the window has left it.
            process(&mut stream, &noise(frames, 3));
            process(&mut stream, &vec![0i16; in_rate as usize / 5]);
            assert!(process(&mut stream, &vec![0f32; frames]).iter().all(|&y| y == 0.0));
        }
    }
}

#[test]
fn a_constant_stays_constant() {
    for (in_rate, out_rate) in RATIOS {
        for quality in QUALITIES {
            let mut stream = resampler(in_rate, out_rate, 1, quality);
            let frames = in_rate as usize / 5;
            for value in [i16::MAX, i16::MIN, 12_345, -1] {
                process(&mut stream, &vec![value; frames]);
                assert!(process(&mut stream, &vec![value; frames]).iter().all(|&y| y == value));
                stream.reset();
                let float = f32::from(value) / 32768.0;
                process(&mut stream, &vec![float; frames]);
                for y in process(&mut stream, &vec![float; frames]) {
                    assert!((y / float - 1.0).abs() < 1e-6, "{in_rate} {out_rate} {quality:?} {y}");
                }
                stream.reset();
            }
        }
    }
}

#[test]
fn a_ramp_stays_a_ramp() {
    for (in_rate, out_rate) in RATIOS {
        let mut stream = resampler(in_rate, out_rate, 1, Hq);
        let reach = 2.0 * stream.latency();
        let frames = (4.0 * reach * f64::from(in_rate)) as usize;
        let input: Vec<f32> = (0..frames).map(|n| n as f32 / frames as f32).collect();
        let output = convert(&mut stream, &input);
        let margin = (reach * f64::from(out_rate)) as usize;
        for (k, y) in output.iter().enumerate().take(output.len() - margin).skip(margin) {
            let time = k as f64 * f64::from(in_rate) / f64::from(out_rate);
            let error = (f64::from(*y) - time / frames as f64).abs();
            assert!(error < 2e-6, "{in_rate} {out_rate} frame {k}: {error}");
        }
    }
}

#[test]
fn an_impulse_comes_out_when_it_went_in() {
    for (in_rate, out_rate) in RATIOS {
        for quality in QUALITIES {
            let mut stream = resampler(in_rate, out_rate, 1, quality);
            let frames = in_rate as usize / 10;
            let at = frames / 2;
            let mut input = vec![0f32; frames];
            input[at] = 1.0;
            let output = convert(&mut stream, &input);
            let peak = (0..output.len()).max_by(|&i, &j| output[i].total_cmp(&output[j])).unwrap();
            let expected = at as f64 * f64::from(out_rate) / f64::from(in_rate);
            assert!((peak as f64 - expected).abs() <= 0.5, "{in_rate} {out_rate}: {peak}");
        }
    }
    // On the common grid the response is symmetric about its exact middle.
    let mut input = vec![0f32; 6_000];
    input[3_000] = 1.0;
    let output = convert(&mut resampler(48_000, 8_000, 1, Hq), &input);
    for distance in 1..=400 {
        assert!((output[500 - distance] - output[500 + distance]).abs() < 1e-8);
    }
}

#[test]
fn int16_saturates() {
    // A full-scale square wave overshoots at every edge.
    let input: Vec<i16> =
        (0..4_800).map(|n| if n / 48 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
    let output = convert(&mut resampler(48_000, 16_000, 1, Hq), &input);
    let settled = &output[400..1_200];
    assert!(settled.contains(&i16::MAX) && settled.contains(&i16::MIN));
    let float = convert(&mut resampler(48_000, 16_000, 1, Hq), &as_float(&input));
    for (y, f) in output.iter().zip(float) {
        assert!((f64::from(f) * 32768.0).clamp(-32768.0, 32767.0) - f64::from(*y) < 0.51);
    }
}

#[test]
fn equal_rates_copy() {
    for rate in [4_000, 8_000, 44_100, 47_999, 192_000] {
        let mut stream = resampler(rate, rate, 2, Hq);
        let input = noise(600, 5);
        assert_eq!(stream.latency(), 0.0);
        assert_eq!(process(&mut stream, &input), input);
        assert_eq!(stream.flush_frames(), 0);
        let odd = [f32::MIN_POSITIVE / 4.0, -0.0, f32::INFINITY, 1e30];
        assert_eq!(process(&mut stream, &odd).map_bits(), odd.to_vec().map_bits());
        assert_eq!(flush::<i16>(&mut stream), []);
    }
}

trait MapBits {
    fn map_bits(self) -> Vec<u32>;
}

impl MapBits for Vec<f32> {
    fn map_bits(self) -> Vec<u32> {
        self.into_iter().map(f32::to_bits).collect()
    }
}

#[test]
fn latency_is_what_is_fed_and_not_yet_emitted() {
    for (in_rate, out_rate) in RATIOS {
        for quality in QUALITIES {
            let mut stream = resampler(in_rate, out_rate, 1, quality);
            let latency = stream.latency();
            let (mut fed, mut emitted) = (0, 0);
            for _ in 0..3_000 {
                fed += 1;
                emitted += process(&mut stream, &[0i16]).len();
                let behind =
                    f64::from(fed) / f64::from(in_rate) - emitted as f64 / f64::from(out_rate);
                if emitted > 0 {
                    // An output frame is due at its time plus the latency: within a frame on each side.
                    assert!(behind <= latency + 1e-9, "{in_rate} {out_rate} {quality:?}");
                    // A cascade may also wait for a whole frame between its stages, which are at most twice as long.
                    assert!(behind > latency - 2.0 / f64::from(out_rate.min(in_rate)) - 1e-9);
                }
                assert_eq!(stream.latency(), latency);
            }
        }
    }
}

#[test]
fn latencies_of_the_profiles() {
    let milliseconds = |from, to, quality| 1e3 * resampler(from, to, 1, quality).latency();
    for (from, to, quality, most) in [
        (48_000, 8_000, Hq, 13.4),
        (48_000, 16_000, Hq, 6.7),
        (48_000, 8_000, Voice, 5.3),
        (48_000, 16_000, Voice, 2.5),
        (48_000, 8_000, LowLatency, 2.0),
        (8_000, 48_000, LowLatency, 2.0),
        (48_000, 16_000, LowLatency, 1.0),
    ] {
        let latency = milliseconds(from, to, quality);
        assert!(latency <= most, "{from} {to} {quality:?}: {latency} ms");
    }
}

#[test]
fn totals_round_halves_up() {
    assert_eq!(resampled_frames(0, 48_000, 8_000), 0);
    assert_eq!(resampled_frames(2, 48_000, 8_000), 0);
    assert_eq!(resampled_frames(3, 48_000, 8_000), 1);
    assert_eq!(resampled_frames(1, 8_000, 48_000), 6);
    assert_eq!(resampled_frames(441, 44_100, 16_000), 160);
    assert_eq!(resampled_frames(u64::MAX, 192_000, 4_000), 384_307_168_202_282_325);
    assert_eq!(resampled_frames(u64::MAX, 4_000, 192_000), u64::MAX);
    assert_eq!(resampled_frames(5, 0, 8_000), 0);
}

#[test]
fn empty_input_gives_empty_output() {
    for (in_rate, out_rate) in RATIOS {
        let mut stream = resampler(in_rate, out_rate, 2, Voice);
        assert_eq!(convert::<i16>(&mut stream, &[]), []);
        process(&mut stream, &noise(2_000, 1));
        assert_eq!(stream.process_into::<f32>(&[], &mut []), Ok(0));
    }
}

#[test]
fn refusals_leave_the_stream_untouched() {
    let input = noise(1_200, 9);
    let mut stream = resampler(48_000, 16_000, 2, Voice);
    let mut twin = resampler(48_000, 16_000, 2, Voice);
    let mut out = vec![7i16; 400];
    for chunk in input.chunks(240) {
        let needed = 2 * stream.output_frames(120);
        if needed > 0 {
            let short = &mut out[..needed - 1];
            let refused = Err(Error::OutputTooSmall { needed, got: needed - 1 });
            assert_eq!(stream.process_into(chunk, short), refused);
            assert!(short.iter().all(|&y| y == 7));
        }
        let partial = Err(Error::PartialFrame { len: 239, what: "samples", unit: 2 });
        assert_eq!(stream.process_into(&chunk[..239], &mut vec![0; 4_000]), partial);
        assert_eq!(process(&mut stream, chunk), process(&mut twin, chunk));
    }
    let needed = 2 * stream.flush_frames();
    let refused = Err(Error::OutputTooSmall { needed, got: 3 });
    assert_eq!(stream.flush_into(&mut out[..3]), refused);
    assert_eq!(flush::<i16>(&mut stream), flush::<i16>(&mut twin));
}

#[test]
fn a_roomy_output_keeps_its_rest() {
    let mut stream = resampler(48_000, 8_000, 1, LowLatency);
    let mut out = [77i16; 500];
    let frames = stream.process_into(&noise(960, 2), &mut out).unwrap();
    assert!(frames > 0 && out[frames..].iter().all(|&y| y == 77));
    let frames = stream.flush_into(&mut out).unwrap();
    assert!(out[frames..].iter().skip(160).all(|&y| y == 77));
}

#[test]
fn bad_parameters_are_refused() {
    for (in_rate, out_rate, channels, name) in [
        (3_999, 8_000, 1, "in_rate"),
        (0, 8_000, 1, "in_rate"),
        (8_000, 192_001, 1, "out_rate"),
        (8_000, u32::MAX, 1, "out_rate"),
        (8_000, 16_000, 0, "channels"),
        (8_000, 16_000, 65, "channels"),
    ] {
        let error = Resampler::new(in_rate, out_rate, channels, Hq).unwrap_err();
        assert!(matches!(error, Error::Parameter { what, .. } if what == name), "{error}");
    }
    for quality in QUALITIES {
        assert_eq!(quality.name().parse(), Ok(quality));
    }
    assert_eq!(LowLatency.name(), "low_latency");
    assert!(matches!("HQ".parse::<Quality>(), Err(Error::Parameter { what: "quality", .. })));
}

/// Zero times infinity is NaN: without care, a bad sample would spoil outputs by where the stream happened to be cut.
#[test]
fn what_is_not_finite_spoils_nothing_by_where_the_stream_is_cut() {
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 3e37, 1e30];
    for (in_rate, out_rate) in
        [(48_000, 8_000), (48_000, 16_000), (44_100, 16_000), (8_000, 48_000)]
    {
        for quality in [Hq, Voice, LowLatency] {
            let mut input = as_float(&noise(4_000, 7));
            for (place, sample) in input.iter_mut().enumerate().skip(11).step_by(397) {
                *sample = bad[place % bad.len()];
            }
            let mut stream = resampler(in_rate, out_rate, 1, quality);
            let whole = convert(&mut stream, &input).map_bits();
            for sizes in [vec![1], vec![7, 160, 3], vec![960]] {
                let pieces = convert_in_chunks(&mut stream, &input, &sizes);
                assert_eq!(pieces.map_bits(), whole, "{in_rate} -> {out_rate} {quality:?}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_does_not_panic_and_passes() {
    for (in_rate, out_rate) in [(48_000, 8_000), (8_000, 48_000), (44_100, 47_999)] {
        let mut stream = resampler(in_rate, out_rate, 1, Hq);
        let mut input = vec![0.25f32; 2 * in_rate as usize / 5];
        for (place, value) in [(50, f32::NAN), (60, f32::INFINITY), (61, f32::NEG_INFINITY)] {
            input[place] = value;
        }
        let output = convert(&mut stream, &input);
        let settled = &output[output.len() / 2..output.len() * 3 / 4];
        assert!(settled.iter().all(|y| (y - 0.25).abs() < 1e-6));
        // Mixed with int16 calls, NaN is written as zero and infinity saturates; neither panics.
        process(&mut stream, &input[..100]);
        process(&mut stream, &vec![1i16; in_rate as usize / 5]);
        stream.reset();
        assert!(convert(&mut stream, &[0i16; 400]).iter().all(|&y| y == 0));
        process(&mut stream, &vec![f32::MAX; 4_000]);
        process(&mut stream, &vec![1i16; 4_000]);
    }
}

#[test]
fn a_resampler_can_move_to_another_thread() {
    fn is_send<T: Send + Debug>() {}
    is_send::<Resampler>();
}

#[test]
fn many_streams_of_many_ratios() {
    // More filters than the cache keeps: the early ones are designed again, and equal.
    let input = noise(300, 4);
    let rates: Vec<u32> = (0..60).map(|i| 16_001 + 2 * i).collect();
    let run = |rate: &u32| convert(&mut resampler(*rate, 16_000, 1, LowLatency), &input);
    let first: Vec<Vec<i16>> = rates.iter().map(run).collect();
    let again: Vec<Vec<i16>> = rates.iter().map(run).collect();
    assert_eq!(first, again);
}

fn rate() -> impl Strategy<Value = u32> {
    let usual = prop::sample::select(vec![
        4_000, 8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000,
    ]);
    prop_oneof![3 => usual, 1 => 4_000u32..=192_000]
}

fn quality() -> impl Strategy<Value = Quality> {
    prop::sample::select(QUALITIES.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_chunking_gives_the_same_samples(
        in_rate in rate(),
        out_rate in rate(),
        quality in quality(),
        channels in 1usize..=4,
        frames in 0usize..6_000,
        sizes in prop::collection::vec(prop_oneof![1usize..40, 1usize..3_000], 1..8),
        seed in any::<u64>(),
    ) {
        let input = noise(frames * channels, seed);
        let float = as_float(&input);
        let mut stream = resampler(in_rate, out_rate, channels, quality);
        let whole = convert(&mut stream, &input);
        let whole_float = convert(&mut stream, &float);
        prop_assert_eq!(
            whole.len() as u64,
            resampled_frames(frames as u64, in_rate, out_rate) * channels as u64
        );
        prop_assert_eq!(&convert_in_chunks(&mut stream, &input, &sizes), &whole);
        let pieces = convert_in_chunks(&mut stream, &float, &sizes);
        prop_assert_eq!(pieces.map_bits(), whole_float.clone().map_bits());
        for (y, f) in whole.iter().zip(whole_float) {
            let exact = (f64::from(f) * 32768.0).clamp(-32768.0, 32767.0);
            prop_assert!((f64::from(*y) - exact).abs() <= 0.5, "{} {}", y, exact);
        }
    }

    #[test]
    fn lengths_are_exact(
        in_rate in rate(),
        out_rate in rate(),
        sizes in prop::collection::vec(0usize..2_000, 0..6),
    ) {
        let mut stream = resampler(in_rate, out_rate, 1, LowLatency);
        let (mut fed, mut emitted) = (0, 0);
        for size in sizes {
            fed += size as u64;
            emitted += process(&mut stream, &vec![1i16; size]).len() as u64;
            prop_assert!(emitted <= resampled_frames(fed, in_rate, out_rate));
        }
        emitted += flush::<i16>(&mut stream).len() as u64;
        prop_assert_eq!(emitted, resampled_frames(fed, in_rate, out_rate));
    }

    #[test]
    fn channels_do_not_touch_each_other(
        in_rate in rate(),
        out_rate in rate(),
        quality in quality(),
        channels in 2usize..=8,
        frames in 0usize..1_500,
        seed in any::<u64>(),
    ) {
        let input = noise(frames * channels, seed);
        let together = convert(&mut resampler(in_rate, out_rate, channels, quality), &input);
        let mut mono = resampler(in_rate, out_rate, 1, quality);
        for channel in 0..channels {
            let alone: Vec<i16> = input.iter().skip(channel).step_by(channels).copied().collect();
            let expected: Vec<i16> =
                together.iter().skip(channel).step_by(channels).copied().collect();
            prop_assert_eq!(convert(&mut mono, &alone), expected);
        }
    }

    #[test]
    fn flush_and_reset_start_anew(
        in_rate in rate(),
        out_rate in rate(),
        quality in quality(),
        before in 0usize..4_000,
        frames in 0usize..3_000,
    ) {
        let input = noise(frames, 21);
        let fresh = convert(&mut resampler(in_rate, out_rate, 1, quality), &input);
        let mut used = resampler(in_rate, out_rate, 1, quality);
        process(&mut used, &noise(before, 22));
        used.reset();
        prop_assert_eq!(used.flush_frames(), 0);
        prop_assert_eq!(&convert(&mut used, &input), &fresh);
        process(&mut used, &noise(before, 23));
        flush::<i16>(&mut used);
        prop_assert_eq!(&convert(&mut used, &input), &fresh);
    }
}
