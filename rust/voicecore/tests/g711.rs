//! G.711 against an oracle that shares nothing with the kernels: the decision and output values of
//! Recommendation G.711's tables 1a to 2b, and a search for the interval that holds the sample.

use voicecore::Error;
use voicecore::g711::{
    decode_alaw_into, decode_mulaw_into, encode_alaw_into, encode_mulaw_into, scalar,
};

const ALL: std::ops::RangeInclusive<i16> = i16::MIN..=i16::MAX;

/// One side of a law on the 16-bit scale: where each of the 128 intervals starts and what it decodes to.
struct Law {
    starts: [i32; 128],
    values: [i32; 128],
}

impl Law {
    /// Mu-law: sixteen intervals per segment, each segment's twice as wide; the very first interval is
    /// half as wide as its neighbours and decodes to zero. Table 2 is on the 14-bit scale: times 4.
    fn mu() -> Self {
        let (mut starts, mut values) = ([0; 128], [0; 128]);
        let mut edge = 0;
        for interval in 0..128 {
            let width = if interval == 0 { 1 } else { 2 << (interval / 16) };
            starts[interval] = 4 * edge;
            values[interval] = if interval == 0 { 0 } else { 4 * edge + 2 * width };
            edge += width;
        }
        assert_eq!(edge, 8159, "the virtual decision value of table 2");
        Self { starts, values }
    }

    /// A-law: segments 1 and 2 share a width (the tables' first 32 intervals). Table 1 is on the 13-bit
    /// scale of 4096 steps, that is 12 bits of magnitude: times 8.
    fn a() -> Self {
        let (mut starts, mut values) = ([0; 128], [0; 128]);
        let mut edge = 0;
        for interval in 0..128 {
            let width = 2 << (interval / 16usize).saturating_sub(1);
            starts[interval] = 8 * edge;
            values[interval] = 8 * edge + 4 * width;
            edge += width;
        }
        assert_eq!(edge, 4096, "the virtual decision value of table 1");
        Self { starts, values }
    }

    /// Interval of a magnitude: the last one that starts at or below it.
    fn interval(&self, magnitude: i32) -> u8 {
        (self.starts.partition_point(|&start| start <= magnitude) - 1) as u8
    }
}

/// Negative samples mirror the positive ones about -1/2: intervals are closed on the side of zero.
fn magnitude(sample: i16) -> i32 {
    if sample < 0 { -i32::from(sample) - 1 } else { i32::from(sample) }
}

fn oracle_mulaw(law: &Law, sample: i16) -> u8 {
    let sign = if sample < 0 { 0x00 } else { 0x80 };
    sign | (0x7F - law.interval(magnitude(sample)))
}

fn oracle_alaw(law: &Law, sample: i16) -> u8 {
    let sign = if sample < 0 { 0x00 } else { 0x80 };
    (sign | law.interval(magnitude(sample))) ^ 0x55
}

fn mulaw(pcm: &[i16]) -> Vec<u8> {
    let mut out = vec![0; pcm.len()];
    assert_eq!(encode_mulaw_into(pcm, &mut out), Ok(pcm.len()));
    out
}

fn alaw(pcm: &[i16]) -> Vec<u8> {
    let mut out = vec![0; pcm.len()];
    assert_eq!(encode_alaw_into(pcm, &mut out), Ok(pcm.len()));
    out
}

fn from_mulaw(data: &[u8]) -> Vec<i16> {
    let mut out = vec![0; data.len()];
    assert_eq!(decode_mulaw_into(data, &mut out), Ok(data.len()));
    out
}

fn from_alaw(data: &[u8]) -> Vec<i16> {
    let mut out = vec![0; data.len()];
    assert_eq!(decode_alaw_into(data, &mut out), Ok(data.len()));
    out
}

fn all_codes() -> Vec<u8> {
    (0..=255).collect()
}

#[test]
fn encoders_match_the_tables_on_all_inputs() {
    let (mu, a) = (Law::mu(), Law::a());
    let samples: Vec<i16> = ALL.collect();
    for ((&sample, mu_code), a_code) in samples.iter().zip(mulaw(&samples)).zip(alaw(&samples)) {
        assert_eq!(mu_code, oracle_mulaw(&mu, sample), "mu-law of {sample}");
        assert_eq!(a_code, oracle_alaw(&a, sample), "A-law of {sample}");
    }
}

#[test]
fn encoders_match_the_scalar_specification_on_all_inputs() {
    let samples: Vec<i16> = ALL.collect();
    for ((&sample, mu_code), a_code) in samples.iter().zip(mulaw(&samples)).zip(alaw(&samples)) {
        assert_eq!(mu_code, scalar::encode_mulaw(sample), "mu-law of {sample}");
        assert_eq!(a_code, scalar::encode_alaw(sample), "A-law of {sample}");
    }
}

#[test]
fn decoders_match_the_tables_on_all_codes() {
    let (mu, a) = (Law::mu(), Law::a());
    let codes = all_codes();
    for ((code, from_mu), from_a) in (0..=255u8).zip(from_mulaw(&codes)).zip(from_alaw(&codes)) {
        let sign = if code & 0x80 == 0 { -1 } else { 1 };
        let mu_value = sign * mu.values[usize::from(!code & 0x7F)];
        let a_value = sign * a.values[usize::from((code ^ 0x55) & 0x7F)];
        assert_eq!(i32::from(from_mu), mu_value, "mu-law {code:#04x}");
        assert_eq!(i32::from(from_a), a_value, "A-law {code:#04x}");
        assert_eq!(from_mu, scalar::decode_mulaw(code));
        assert_eq!(from_a, scalar::decode_alaw(code));
    }
}

#[test]
fn published_mulaw_vectors() {
    // Table 2a/2b: the first and last code of each sign, segment starts, and G.191's folding of -1.
    let samples = [0, 3, 4, 32767, -1, -4, -5, -32768, 31612, 31611, 124, 123, -125, -124];
    let codes =
        [0xFF, 0xFF, 0xFE, 0x80, 0x7F, 0x7F, 0x7E, 0x00, 0x80, 0x81, 0xEF, 0xF0, 0x6F, 0x70];
    assert_eq!(mulaw(&samples), codes);
    let codes = [0xFF, 0x7F, 0x80, 0x00, 0xFE, 0x7E, 0xEF, 0xF0, 0x8F, 0x0F];
    let samples = [0, 0, 32124, -32124, 8, -8, 132, 120, 16764, -16764];
    assert_eq!(from_mulaw(&codes), samples);
}

#[test]
fn published_alaw_vectors() {
    let samples = [0, 15, 16, -1, -16, -17, 32767, -32768, 256, 255, 512, 511];
    let codes = [0xD5, 0xD5, 0xD4, 0x55, 0x55, 0x54, 0xAA, 0x2A, 0xC5, 0xDA, 0xF5, 0xCA];
    assert_eq!(alaw(&samples), codes);
    let codes = [0xD5, 0x55, 0xAA, 0x2A, 0xC5, 0xF5];
    assert_eq!(from_alaw(&codes), [8, -8, 32256, -32256, 264, 528]);
}

#[test]
fn milliwatt_sequences_of_table_5_and_6() {
    // G.711 tables 5/G.711 (A-law) and 6/G.711 (mu-law): 1 kHz at 0 dBm0. Both are symmetric sines.
    let a = [0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4];
    let mu = [0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E];
    let a_samples = from_alaw(&a);
    let mu_samples = from_mulaw(&mu);
    for samples in [&a_samples, &mu_samples] {
        assert!(samples[..4].iter().zip(&samples[4..]).all(|(x, y)| *x == -*y));
        // 0 dBm0 is 3.14 dB (A) and 3.17 dB (mu) below full scale; a sine's peak to its 22.5 degree point.
        let ratio = f64::from(samples[5]) / f64::from(samples[4]);
        assert!((ratio - 1.0 - std::f64::consts::SQRT_2).abs() < 0.1, "{samples:?}");
    }
    // Level in dBm0: relative to a sine at the overload point, whose own level comes in hundredths of a dB.
    let dbm0 = |samples: &[i16], overload: i32, full_scale: f64| {
        let energy: f64 = samples.iter().map(|&x| f64::from(x).powi(2)).sum();
        let power = energy / samples.len() as f64 / (full_scale * full_scale / 2.0);
        10.0 * power.log10() + f64::from(overload) / 100.0
    };
    assert!(dbm0(&a_samples, 314, 32_768.0).abs() < 0.05);
    assert!(dbm0(&mu_samples, 317, 32_636.0).abs() < 0.05);
    assert_eq!(alaw(&a_samples), a);
    assert_eq!(mulaw(&mu_samples), mu);
}

#[test]
fn decode_then_encode_is_identity() {
    let codes = all_codes();
    assert_eq!(alaw(&from_alaw(&codes)), codes);
    // Mu-law has two zeros. Negative zero decodes to 0, which encodes as positive zero.
    let mut expected = codes.clone();
    expected[0x7F] = 0xFF;
    assert_eq!(mulaw(&from_mulaw(&codes)), expected);
}

#[test]
fn the_code_is_the_nearest_except_next_to_a_segment_edge() {
    let samples: Vec<i16> = ALL.collect();
    let mu = (mulaw(&samples), from_mulaw(&all_codes()), 132);
    let a = (alaw(&samples), from_alaw(&all_codes()), 0);
    for (codes, values, bias) in [mu, a] {
        for (&sample, &code) in samples.iter().zip(&codes) {
            let distance = |value: i16| (i32::from(sample) - i32::from(value)).abs();
            let own = distance(values[usize::from(code)]);
            let best = values.iter().map(|&value| distance(value)).min().unwrap();
            // Decision values at a segment's edge lie nearer to the finer side: by a quarter of the finer step.
            let biased = magnitude(sample) + bias;
            let step = 1 << (31 - biased.max(256).leading_zeros() - 4);
            assert!(own <= best + step / 2 + 1, "{sample} -> {code:#04x}: {own} > {best}");
            let in_first_step = biased & !(step - 1) == 1 << (31 - biased.max(1).leading_zeros());
            assert!(own <= best + 1 || in_first_step, "{sample} -> {code:#04x}");
        }
    }
}

#[test]
fn codes_are_monotonic() {
    let samples: Vec<i16> = ALL.collect();
    for decoded in [from_mulaw(&mulaw(&samples)), from_alaw(&alaw(&samples))] {
        assert!(decoded.is_sorted());
    }
}

#[test]
fn every_length_and_a_roomy_output() {
    let samples: Vec<i16> = (0..70).map(|i| i * 467 - 16000).collect();
    for len in 0..samples.len() {
        let mut out = [0xA7; 80];
        assert_eq!(encode_mulaw_into(&samples[..len], &mut out), Ok(len));
        assert!(samples[..len].iter().zip(&out).all(|(&x, &c)| c == scalar::encode_mulaw(x)));
        assert!(out[len..].iter().all(|&c| c == 0xA7), "the rest of out is left alone");
    }
}

#[test]
fn a_short_output_is_refused_and_left_alone() {
    let too_small = Err(Error::OutputTooSmall { needed: 3, got: 2 });
    let mut codes = [9; 2];
    assert_eq!(encode_mulaw_into(&[1, 2, 3], &mut codes), too_small);
    assert_eq!(encode_alaw_into(&[1, 2, 3], &mut codes), too_small);
    assert_eq!(codes, [9; 2]);
    let mut samples = [9; 2];
    assert_eq!(decode_mulaw_into(&[1, 2, 3], &mut samples), too_small);
    assert_eq!(decode_alaw_into(&[1, 2, 3], &mut samples), too_small);
    assert_eq!(samples, [9; 2]);
}
