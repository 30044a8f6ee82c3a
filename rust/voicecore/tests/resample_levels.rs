//! The resampler at every instruction set: AVX2 and AVX-512 give the same bits, the portable loops the same within
//! a stated bound. One test: the level is the process's.

use voicecore::resample::{Quality, Resampler};
use voicecore::simd::{self, Level};

/// How far fused and separate rounding may lie apart, for input of full scale 1.
const BOUND: f32 = 1e-6;

const RATIOS: [(u32, u32); 12] = [
    (48_000, 8_000),
    (48_000, 16_000),
    (44_100, 16_000),
    (24_000, 8_000),
    (22_050, 8_000),
    (8_000, 16_000),
    (16_000, 48_000),
    (16_000, 24_000),
    (44_100, 48_000),
    (44_100, 47_999),
    (192_000, 4_000),
    (4_000, 192_000),
];

fn noise(count: usize) -> Vec<i16> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as i16
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// A whole stream, in chunks that fit no vector.
fn convert<S: voicecore::resample::Sample + Default>(
    (from, to): (u32, u32),
    quality: Quality,
    input: &[S],
) -> Vec<S> {
    let mut stream = Resampler::new(from, to, 2, quality).unwrap();
    let mut out = Vec::new();
    for chunk in input.chunks(2 * 211) {
        let mut part = vec![S::default(); 2 * stream.output_frames(chunk.len() / 2)];
        stream.process_into(chunk, &mut part).unwrap();
        out.extend(part);
    }
    let mut tail = vec![S::default(); 2 * stream.flush_frames()];
    stream.flush_into(&mut tail).unwrap();
    out.extend(tail);
    out
}

#[test]
fn levels_agree() {
    let input = noise(2 * 3_001);
    let float: Vec<f32> = input.iter().map(|&x| f32::from(x) / 32_768.0).collect();
    for ratio in RATIOS {
        for quality in [Quality::Hq, Quality::Voice, Quality::LowLatency] {
            let results: Vec<(Vec<f32>, Vec<i16>)> = Level::ALL
                .into_iter()
                .filter(|level| *level <= simd::available())
                .map(|level| {
                    simd::force_level(Some(level));
                    (convert(ratio, quality, &float), convert(ratio, quality, &input))
                })
                .collect();
            simd::force_level(None);
            let portable = &results[0];
            for other in &results[1..] {
                let far = |(a, b): (&f32, &f32)| (a - b).abs();
                let most = portable.0.iter().zip(&other.0).map(far).fold(0.0, f32::max);
                assert!(most < BOUND, "{ratio:?} {quality:?}: {most}");
                let steps = portable.1.iter().zip(&other.1).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(steps <= Some(1), "{ratio:?} {quality:?}: {steps:?} steps of int16");
            }
            if let [_, avx2, avx512] = &results[..] {
                let bits = |x: &[f32]| x.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&avx2.0), bits(&avx512.0), "{ratio:?} {quality:?}");
                assert_eq!(avx2.1, avx512.1);
            }
        }
    }
}
