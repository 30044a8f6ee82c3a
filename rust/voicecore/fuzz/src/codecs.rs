//! G.711, downmix and upmix: all levels give what the one-sample definitions give, at any alignment.

use super::{Control, at_any_level, bits, floats, ints};
use voicecore::downmix::{downmix_f32_into, downmix_i16_into, upmix_f32_into, upmix_i16_into};
use voicecore::g711::{self, scalar};

/// Bytes: samples to skip, channels, data.
pub fn check(data: &[u8]) {
    let mut control = Control(data);
    let (shift, channels) = (usize::from(control.byte() % 64), usize::from(control.byte() % 65));
    let data = control.rest();
    let (ints, floats) = (ints(data), floats(data));
    g711(data.get(shift..).unwrap_or_default(), ints.get(shift..).unwrap_or_default());
    // The usual number of channels, and any.
    for channels in [1, 2, channels] {
        mix_ints(ints.get(shift..).unwrap_or_default(), channels);
        mix_floats(floats.get(shift..).unwrap_or_default(), channels);
    }
}

fn g711(codes: &[u8], pcm: &[i16]) {
    type Encode = fn(&[i16], &mut [u8]) -> voicecore::Result<usize>;
    type Decode = fn(&[u8], &mut [i16]) -> voicecore::Result<usize>;
    type Encoder = (Encode, fn(i16) -> u8);
    type Decoder = (Decode, fn(u8) -> i16);
    let encoders: [Encoder; 2] = [
        (g711::encode_mulaw_into, scalar::encode_mulaw),
        (g711::encode_alaw_into, scalar::encode_alaw),
    ];
    let decoders: [Decoder; 2] = [
        (g711::decode_mulaw_into, scalar::decode_mulaw),
        (g711::decode_alaw_into, scalar::decode_alaw),
    ];
    for (kernel, one) in encoders {
        let out = at_any_level(|| {
            let mut out = vec![0; pcm.len()];
            assert_eq!(kernel(pcm, &mut out), Ok(pcm.len()));
            out
        });
        assert!(out.iter().zip(pcm).all(|(&code, &int)| code == one(int)), "encoding of {pcm:?}");
    }
    for (kernel, one) in decoders {
        let out = at_any_level(|| {
            let mut out = vec![0; codes.len()];
            assert_eq!(kernel(codes, &mut out), Ok(codes.len()));
            out
        });
        assert!(out.iter().zip(codes).all(|(&int, &code)| int == one(code)), "{codes:?}");
    }
}

fn mix_ints(samples: &[i16], channels: usize) {
    let mixed = at_any_level(|| {
        let mut out = vec![0; samples.len()];
        downmix_i16_into(samples, channels, &mut out).map(|frames| {
            out.truncate(frames);
            out
        })
    });
    assert_eq!(mixed.is_ok(), channels > 0 && samples.len().is_multiple_of(channels));
    if let Ok(mixed) = mixed {
        assert_eq!(mixed.len() * channels, samples.len());
        let mean = |frame: &[i16]| {
            let sum: i64 = frame.iter().map(|&sample| i64::from(sample)).sum();
            sum.div_euclid(frame.len() as i64)
        };
        let means = samples.chunks(channels.max(1)).map(mean);
        assert!(mixed.iter().map(|&sample| i64::from(sample)).eq(means), "{samples:?}");
    }
    let up = at_any_level(|| {
        let mut out = vec![0; samples.len() * channels];
        upmix_i16_into(samples, channels, &mut out).map(|_| out)
    });
    let copies = samples.iter().flat_map(|&sample| std::iter::repeat_n(sample, channels));
    assert!(up.map_or(channels == 0, |up| up.into_iter().eq(copies)));
}

fn mix_floats(samples: &[f32], channels: usize) {
    let mixed = at_any_level(|| {
        let mut out = vec![0.0; samples.len()];
        downmix_f32_into(samples, channels, &mut out)
            .map(|frames| out[..frames].iter().copied().map(bits).collect::<Vec<_>>())
    });
    assert_eq!(mixed.is_ok(), channels > 0 && samples.len().is_multiple_of(channels));
    for (frame, mixed) in samples.chunks(channels.max(1)).zip(mixed.unwrap_or_default()) {
        let mean = frame.iter().map(|&sample| f64::from(sample)).sum::<f64>() / frame.len() as f64;
        let (mixed, wanted) = (f32::from_bits(mixed), mean as f32);
        // Each of the few roundings to float32 is half a step at most; denormals have a fixed step.
        let near =
            (f64::from(mixed) - mean).abs() <= mean.abs() * 2e-7 + spread(frame) * 2e-7 + 1e-44;
        assert!(near || bits(mixed) == bits(wanted), "{frame:?}: {mixed} but {mean}");
    }
    let up = at_any_level(|| {
        let mut out = vec![0.0; samples.len() * channels];
        upmix_f32_into(samples, channels, &mut out)
            .map(|_| out.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    });
    let copies = samples.iter().flat_map(|&sample| std::iter::repeat_n(sample.to_bits(), channels));
    assert!(up.map_or(channels == 0, |up| up.into_iter().eq(copies)));
}

/// The largest finite magnitude.
fn spread(frame: &[f32]) -> f64 {
    let finite = frame.iter().filter(|sample| sample.is_finite());
    finite.fold(0.0, |most, &sample| f64::from(sample).abs().max(most))
}
