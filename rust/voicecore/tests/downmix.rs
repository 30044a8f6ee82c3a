//! Downmix and upmix: exhaustive on the grid that rounds, hand-checked elsewhere.

use proptest::prelude::*;
use voicecore::Error;
use voicecore::downmix::{downmix_f32_into, downmix_i16_into, upmix_f32_into, upmix_i16_into};

fn downmixed(frames: &[i16], channels: usize) -> Vec<i16> {
    let mut out = vec![0; frames.len() / channels];
    assert_eq!(downmix_i16_into(frames, channels, &mut out), Ok(out.len()));
    out
}

#[test]
fn stereo_is_the_floored_half_sum() {
    // audioop.tomono(x, 2, 0.5, 0.5) computes floor(0.5 * left + 0.5 * right) in double.
    let corners = [i16::MIN, i16::MIN + 1, -3, -2, -1, 0, 1, 2, 3, i16::MAX - 1, i16::MAX];
    for left in corners {
        let frames: Vec<i16> = (i16::MIN..=i16::MAX).flat_map(|right| [left, right]).collect();
        let expected: Vec<i16> = (i16::MIN..=i16::MAX)
            .map(|right| (0.5 * f64::from(left) + 0.5 * f64::from(right)).floor() as i16)
            .collect();
        assert_eq!(downmixed(&frames, 2), expected);
    }
}

#[test]
fn extremes_do_not_overflow() {
    for channels in [1, 2, 3, 5, 8, 64] {
        assert_eq!(downmixed(&vec![i16::MIN; channels * 3], channels), [i16::MIN; 3]);
        assert_eq!(downmixed(&vec![i16::MAX; channels * 3], channels), [i16::MAX; 3]);
    }
    let mut out = [0.0];
    assert_eq!(downmix_f32_into(&[f32::MAX, f32::MAX], 2, &mut out), Ok(1));
    assert_eq!(out, [f32::MAX]);
}

#[test]
fn floors_toward_minus_infinity() {
    assert_eq!(downmixed(&[-1, 0, 0, 1, 0, 0], 3), [-1, 0]);
    assert_eq!(downmixed(&[-1, -1, -1, 0, 1, 1, 1, 0], 4), [-1, 0]);
}

#[test]
fn float_mean() {
    let mut out = [0.0; 2];
    assert_eq!(downmix_f32_into(&[0.25, 0.75, -1.0, 1.0], 2, &mut out), Ok(2));
    assert_eq!(out, [0.5, 0.0]);
    assert_eq!(downmix_f32_into(&[1.0, 2.0, 6.0, 0.0, 0.0, -0.75], 3, &mut out), Ok(2));
    assert_eq!(out, [3.0, -0.25]);
}

#[test]
fn bad_calls_are_refused_and_write_nothing() {
    let mut out = [7; 4];
    assert_eq!(
        downmix_i16_into(&[1, 2, 3], 2, &mut out),
        Err(Error::PartialFrame { len: 3, what: "samples", unit: 2 })
    );
    assert_eq!(
        downmix_i16_into(&[1; 10], 2, &mut out),
        Err(Error::OutputTooSmall { needed: 5, got: 4 })
    );
    assert_eq!(
        upmix_i16_into(&[1; 3], 2, &mut out),
        Err(Error::OutputTooSmall { needed: 6, got: 4 })
    );
    for channels in [0, 65, usize::MAX] {
        assert!(matches!(
            downmix_i16_into(&[], channels, &mut out),
            Err(Error::Parameter { what: "channels", .. })
        ));
        assert!(matches!(
            upmix_f32_into(&[0.0], channels, &mut []),
            Err(Error::Parameter { what: "channels", .. })
        ));
    }
    assert_eq!(out, [7; 4]);
}

#[test]
fn empty_and_roomy() {
    assert_eq!(downmix_i16_into(&[], 2, &mut []), Ok(0));
    assert_eq!(upmix_f32_into(&[], 2, &mut []), Ok(0));
    let mut out = [9; 4];
    assert_eq!(downmix_i16_into(&[2, 4], 2, &mut out), Ok(1));
    assert_eq!(out, [3, 9, 9, 9]);
}

proptest! {
    #[test]
    fn any_channel_count_is_the_floored_mean(
        (channels, frames) in (1usize..=64).prop_flat_map(|channels| {
            let frames = prop::collection::vec(any::<i16>(), 0..=20 * channels);
            (Just(channels), frames)
        })
    ) {
        let whole = &frames[..frames.len() / channels * channels];
        let expected: Vec<i16> = whole
            .chunks(channels)
            .map(|f| {
                let sum: i64 = f.iter().map(|&x| i64::from(x)).sum();
                (sum as f64 / channels as f64).floor() as i16
            })
            .collect();
        prop_assert_eq!(downmixed(whole, channels), expected);
    }

    #[test]
    fn upmix_then_downmix_is_identity(
        mono in prop::collection::vec(any::<i16>(), 0..50),
        channels in 1usize..=64,
    ) {
        let mut wide = vec![0; mono.len() * channels];
        prop_assert_eq!(upmix_i16_into(&mono, channels, &mut wide), Ok(mono.len()));
        prop_assert!(wide.chunks(channels).zip(&mono).all(|(f, m)| f.iter().all(|x| x == m)));
        prop_assert_eq!(downmixed(&wide, channels), mono);
    }
}
