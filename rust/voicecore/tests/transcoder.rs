//! The transcoder against the single kernels, joined by hand; and any cut of a stream against the whole.

use ::base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use voicecore::resample::{Quality, Resampler, resampled_frames};
use voicecore::transcoder::{Samples, Transcoder};
use voicecore::{AudioFormat, Container, Encoding, Error, Result, downmix, g711};

use Encoding::{Alaw, Mulaw, PcmF32le, PcmS16le, PcmS24le, PcmS32le};

fn raw(encoding: Encoding, sample_rate: u32, channels: usize) -> AudioFormat {
    AudioFormat::new(encoding, sample_rate, channels, Container::Raw).unwrap()
}

fn wav(format: AudioFormat) -> AudioFormat {
    AudioFormat { container: Container::Wav, ..format }
}

/// Samples of any target, bit by bit.
#[derive(Debug, Clone, PartialEq)]
enum Audio {
    I16(Vec<i16>),
    F32(Vec<u32>),
    U8(Vec<u8>),
}

impl Audio {
    fn empty(encoding: Encoding) -> Self {
        match encoding {
            PcmS16le => Self::I16(vec![]),
            PcmF32le => Self::F32(vec![]),
            _ => Self::U8(vec![]),
        }
    }

    /// Appends what `call` writes into room for `room` samples; `call` returns frames.
    fn take(
        &mut self,
        room: usize,
        channels: usize,
        call: impl FnOnce(Samples<'_>) -> Result<usize>,
    ) -> Result<()> {
        match self {
            Self::I16(all) => {
                let mut out = vec![0; room];
                let frames = call(Samples::I16(&mut out))?;
                all.extend_from_slice(&out[..frames * channels]);
            }
            Self::F32(all) => {
                let mut out = vec![0.0; room];
                let frames = call(Samples::F32(&mut out))?;
                all.extend(out[..frames * channels].iter().map(|sample| sample.to_bits()));
            }
            Self::U8(all) => {
                let mut out = vec![0; room];
                let frames = call(Samples::U8(&mut out))?;
                all.extend_from_slice(&out[..frames * channels]);
            }
        }
        Ok(())
    }

    fn len(&self) -> usize {
        match self {
            Self::I16(all) => all.len(),
            Self::F32(all) => all.len(),
            Self::U8(all) => all.len(),
        }
    }
}

/// Everything that a stream gives, up to its fault if it has one.
fn run<'c>(
    transcoder: &mut Transcoder,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> (Audio, Result<()>) {
    let target = transcoder.target();
    let mut audio = Audio::empty(target.encoding);
    for chunk in chunks {
        let room = transcoder.output_frames_max(chunk.len()) * target.channels;
        let result = audio.take(room, target.channels, |out| transcoder.process_into(chunk, out));
        if result.is_err() {
            return (audio, result);
        }
    }
    let room = transcoder.flush_frames_max() * target.channels;
    let result = audio.take(room, target.channels, |out| transcoder.flush_into(out));
    (audio, result)
}

fn run_ok(source: AudioFormat, target: AudioFormat, stream: &[u8]) -> Audio {
    let mut transcoder = Transcoder::new(source, target, Quality::LowLatency).unwrap();
    let (audio, end) = run(&mut transcoder, [stream]);
    end.unwrap();
    audio
}

// The same by hand.

fn decode(encoding: Encoding, bytes: &[u8]) -> Vec<i16> {
    let mut ints = vec![0; bytes.len()];
    match encoding {
        PcmS16le => {
            return bytes.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
        }
        Mulaw => g711::decode_mulaw_into(bytes, &mut ints).unwrap(),
        Alaw => g711::decode_alaw_into(bytes, &mut ints).unwrap(),
        _ => panic!("not an encoding of int16"),
    };
    ints
}

fn decode_float(encoding: Encoding, bytes: &[u8]) -> Vec<f32> {
    if encoding == PcmF32le {
        return bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
    }
    decode(encoding, bytes).into_iter().map(|int| f32::from(int) / 32768.0).collect()
}

fn encode(encoding: Encoding, ints: Vec<i16>) -> Audio {
    let mut codes = vec![0; ints.len()];
    match encoding {
        Mulaw => g711::encode_mulaw_into(&ints, &mut codes).unwrap(),
        Alaw => g711::encode_alaw_into(&ints, &mut codes).unwrap(),
        PcmS16le => return Audio::I16(ints),
        _ => panic!("not an encoding of int16"),
    };
    Audio::U8(codes)
}

fn encode_float(encoding: Encoding, floats: Vec<f32>) -> Audio {
    if encoding == PcmF32le {
        return Audio::F32(floats.into_iter().map(f32::to_bits).collect());
    }
    let round = |float: f32| (f64::from(float) * 32768.0).round_ties_even();
    encode(encoding, floats.into_iter().map(|float| round(float) as i16).collect())
}

fn resample<S: voicecore::resample::Sample + Default>(
    samples: Vec<S>,
    source: AudioFormat,
    target: AudioFormat,
) -> Vec<S> {
    let channels = source.channels.min(target.channels);
    let (from, to) = (source.sample_rate, target.sample_rate);
    let mut resampler = Resampler::new(from, to, channels, Quality::LowLatency).unwrap();
    let mut out = vec![S::default(); resampler.output_frames(samples.len() / channels) * channels];
    resampler.process_into(&samples, &mut out).unwrap();
    let mut tail = vec![S::default(); resampler.flush_frames() * channels];
    resampler.flush_into(&mut tail).unwrap();
    out.extend(tail);
    out
}

fn by_hand(source: AudioFormat, target: AudioFormat, bytes: &[u8]) -> Audio {
    let bytes = &bytes[..bytes.len() / source.frame_bytes() * source.frame_bytes()];
    let (many, few) = (source.channels.max(target.channels), source.channels.min(target.channels));
    if source.encoding == PcmF32le || target.encoding == PcmF32le {
        let mut floats = decode_float(source.encoding, bytes);
        if source.channels > few {
            let mut mono = vec![0.0; floats.len() / many];
            downmix::downmix_f32_into(&floats, many, &mut mono).unwrap();
            floats = mono;
        }
        floats = resample(floats, source, target);
        if target.channels > few {
            let mut wide = vec![0.0; floats.len() * many];
            downmix::upmix_f32_into(&floats, many, &mut wide).unwrap();
            floats = wide;
        }
        return encode_float(target.encoding, floats);
    }
    let mut ints = decode(source.encoding, bytes);
    if source.channels > few {
        let mut mono = vec![0; ints.len() / many];
        downmix::downmix_i16_into(&ints, many, &mut mono).unwrap();
        ints = mono;
    }
    ints = resample(ints, source, target);
    if target.channels > few {
        let mut wide = vec![0; ints.len() * many];
        downmix::upmix_i16_into(&ints, many, &mut wide).unwrap();
        ints = wide;
    }
    encode(target.encoding, ints)
}

/// Bytes of `frames` frames: noise, of finite floats if they are floats.
fn noise(format: AudioFormat, frames: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..frames * format.channels)
        .flat_map(|_| match format.encoding {
            PcmF32le => (next() as i32 as f32 / 1.9e9).to_le_bytes().to_vec(),
            PcmS16le => (next() as i16).to_le_bytes().to_vec(),
            _ => vec![next() as u8],
        })
        .collect()
}

const ENCODINGS: [Encoding; 4] = [PcmS16le, PcmF32le, Mulaw, Alaw];

#[test]
fn the_result_is_that_of_the_kernels() {
    for from in ENCODINGS {
        for to in ENCODINGS {
            for (in_channels, out_channels) in [(1, 1), (2, 1), (1, 3), (2, 2), (6, 1)] {
                for (in_rate, out_rate) in
                    [(8_000, 8_000), (16_000, 8_000), (8_000, 48_000), (44_100, 16_000)]
                {
                    let source = raw(from, in_rate, in_channels);
                    let target = raw(to, out_rate, out_channels);
                    let bytes = noise(source, 700);
                    if source == target {
                        continue; // A copy: below.
                    }
                    let audio = run_ok(source, target, &bytes);
                    assert!(audio == by_hand(source, target, &bytes), "{source} to {target}");
                    let frames = resampled_frames(700, in_rate, out_rate) as usize;
                    assert_eq!(audio.len(), frames * out_channels);
                }
            }
        }
    }
}

#[test]
fn equal_formats_copy_every_bit() {
    let bytes: Vec<u8> = (0..=u8::MAX).chain(0..=u8::MAX).rev().collect();
    let floats: Vec<u8> = [f32::NAN, -0.0, f32::INFINITY, 2.0, f32::from_bits(1)]
        .iter()
        .flat_map(|float| float.to_le_bytes())
        .collect();
    for channels in [1, 2, 64] {
        for encoding in [Mulaw, Alaw] {
            let format = raw(encoding, 8_000, channels);
            assert_eq!(run_ok(format, format, &bytes), Audio::U8(bytes.clone()));
        }
        let format = raw(PcmS16le, 8_000, channels);
        assert_eq!(run_ok(format, format, &bytes), Audio::I16(decode(PcmS16le, &bytes)));
    }
    let format = raw(PcmF32le, 8_000, 1);
    let bits = floats.as_chunks().0.iter().map(|&four| u32::from_le_bytes(four)).collect();
    assert_eq!(run_ok(format, format, &floats), Audio::F32(bits));
}

#[test]
fn float_to_int_rounds_saturates_and_has_no_nan() {
    let step = 1.0 / 32768.0;
    let cases = [
        (0.0, 0),
        (1.0, 32767),
        (-1.0, -32768),
        (1e9, 32767),
        (-1e9, -32768),
        (f32::NAN, 0),
        (f32::INFINITY, 32767),
        (f32::NEG_INFINITY, -32768),
        (0.5 * step, 0),
        (1.5 * step, 2),
        (0.6 * step, 1),
        (-0.6 * step, -1),
        (32766.4 * step, 32766),
        (-0.5, -16384),
    ];
    let bytes: Vec<u8> = cases.iter().flat_map(|(float, _)| f32::to_le_bytes(*float)).collect();
    let ints = cases.iter().map(|&(_, int)| int).collect();
    let audio = run_ok(raw(PcmF32le, 8_000, 1), raw(PcmS16le, 8_000, 1), &bytes);
    assert_eq!(audio, Audio::I16(ints));
}

#[test]
fn float_to_int_is_to_nearest_with_ties_to_even() {
    let floats: Vec<f32> = (-140_000..140_000).map(|fourth| fourth as f32 / 131_072.0).collect();
    let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
    let ints = floats.iter().map(|float| (float * 32_768.0).round_ties_even() as i16).collect();
    let audio = run_ok(raw(PcmF32le, 8_000, 1), raw(PcmS16le, 8_000, 1), &bytes);
    assert_eq!(audio, Audio::I16(ints));
}

#[test]
fn bytes_need_not_be_aligned_for_their_samples() {
    for encoding in [PcmS16le, PcmF32le] {
        let (source, target) = (raw(encoding, 16_000, 2), raw(Mulaw, 8_000, 1));
        let bytes = noise(source, 300);
        let aligned = run_ok(source, target, &bytes);
        for shift in 1..4 {
            let moved = [&bytes[..shift], &bytes].concat();
            assert!(run_ok(source, target, &moved[shift..]) == aligned, "{source} at {shift}");
        }
    }
}

#[test]
fn int_to_float_and_back_is_exact() {
    let (ints, floats) = (raw(PcmS16le, 8_000, 1), raw(PcmF32le, 8_000, 1));
    let bytes: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
    let Audio::F32(bits) = run_ok(ints, floats, &bytes) else { panic!() };
    let back: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    assert_eq!(run_ok(floats, ints, &back), Audio::I16((i16::MIN..=i16::MAX).collect()));
}

#[test]
fn what_cannot_be_joined_is_refused_at_the_construction() {
    let mono = raw(PcmS16le, 8_000, 1);
    for (from, to) in [(2, 3), (6, 2), (64, 63)] {
        let (source, target) = (raw(PcmS16le, 8_000, from), raw(PcmS16le, 8_000, to));
        let error = Transcoder::new(source, target, Quality::Hq).unwrap_err();
        assert!(matches!(error, Error::Unsupported { what: "channels", .. }), "{error:?}");
    }
    assert!(matches!(
        Transcoder::new(mono, wav(mono), Quality::Hq),
        Err(Error::Unsupported { .. })
    ));
    let slow = AudioFormat { sample_rate: 3_999, ..mono };
    assert!(matches!(Transcoder::new(slow, mono, Quality::Hq), Err(Error::Parameter { .. })));
}

#[test]
fn the_wrong_type_of_output_is_refused() {
    let mono = raw(PcmS16le, 8_000, 1);
    let mut transcoder = Transcoder::new(mono, mono, Quality::Hq).unwrap();
    let error = transcoder.process_into(&[0; 4], Samples::U8(&mut [0; 9])).unwrap_err();
    assert!(matches!(error, Error::Parameter { what: "out", .. }), "{error:?}");
    let error = transcoder.flush_into(Samples::F32(&mut [0.0; 9])).unwrap_err();
    assert!(matches!(error, Error::Parameter { what: "out", .. }), "{error:?}");
    assert_eq!(transcoder.process_into(&[0; 4], Samples::I16(&mut [0; 9])), Ok(2));
}

#[test]
fn a_small_output_consumes_nothing_and_names_what_it_takes() {
    let (source, target) = (raw(Mulaw, 8_000, 1), raw(PcmS16le, 48_000, 2));
    for (source, stream) in [
        (source, noise(source, 500)),
        (wav(source), [header(source, 0), noise(source, 500)].concat()),
    ] {
        let whole = run_ok(source, target, &stream);
        let mut transcoder = Transcoder::new(source, target, Quality::LowLatency).unwrap();
        let mut audio = Audio::empty(PcmS16le);
        for chunk in stream.chunks(111) {
            let mut call = |room| audio.take(room, 2, |out| transcoder.process_into(chunk, out));
            // Only the calls that would write something can find the output too small.
            match call(0) {
                Ok(()) => continue,
                Err(Error::OutputTooSmall { needed, got: 0 }) => {
                    let got = needed - 1;
                    assert_eq!(call(got), Err(Error::OutputTooSmall { needed, got }));
                    assert_eq!(call(needed), Ok(()));
                }
                other => panic!("{other:?}"),
            }
        }
        let mut flush = |room| audio.take(room, 2, |out| transcoder.flush_into(out));
        let Err(Error::OutputTooSmall { needed, got: 0 }) = flush(0) else { panic!() };
        assert!(matches!(flush(needed - 1), Err(Error::OutputTooSmall { .. })));
        assert_eq!(flush(needed), Ok(()));
        assert!(audio == whole);
    }
}

#[test]
fn base64_is_the_same_as_its_bytes() {
    let (source, target) = (raw(PcmS16le, 16_000, 1), raw(PcmS16le, 8_000, 1));
    let bytes = noise(source, 500);
    let mut transcoder = Transcoder::new(source, target, Quality::LowLatency).unwrap();
    let mut audio = Audio::empty(PcmS16le);
    for chunk in bytes.chunks(77) {
        let text = STANDARD.encode(chunk);
        let room = transcoder.output_frames_max(chunk.len());
        let damaged = format!("{text}*");
        let error = transcoder.process_base64_into(damaged.as_bytes(), Samples::I16(&mut [0; 99]));
        assert!(matches!(error, Err(Error::Base64 { .. })), "{error:?}");
        let mut call =
            |room| audio.take(room, 1, |out| transcoder.process_base64_into(text.as_bytes(), out));
        assert!(matches!(call(0), Ok(()) | Err(Error::OutputTooSmall { .. })) || room == 0);
        if room > 0 {
            call(room).unwrap();
        }
    }
    let room = transcoder.flush_frames_max();
    audio.take(room, 1, |out| transcoder.flush_into(out)).unwrap();
    assert!(audio == run_ok(source, target, &bytes));
}

/// 24 and 32 bits go through float32, bare or as a header says.
#[test]
fn wide_integers() {
    let ints = [0, 1, -1, 0x1234_5678, -0x1234_5678, i32::MAX, i32::MIN, 0x7fff_8000, 0x8000];
    for (encoding, cut) in [(PcmS24le, 1), (PcmS32le, 0)] {
        let bytes: Vec<u8> =
            ints.iter().flat_map(|int| int.to_le_bytes()[cut..].to_vec()).collect();
        let source = raw(encoding, 16_000, 1);
        let expected = ints.map(|int| {
            let known = int >> (8 * cut) << (8 * cut);
            (f64::from(known) / f64::from(1u32 << 31)) as f32
        });
        let floats = run_ok(source, raw(PcmF32le, 16_000, 1), &bytes);
        assert_eq!(floats, Audio::F32(expected.map(f32::to_bits).to_vec()));
        let rounded = expected.map(|float| {
            (f64::from(float) * 32768.0).round_ties_even().clamp(-32768.0, 32767.0) as i16
        });
        let headed = [&header(source, bytes.len() as u32)[..], &bytes].concat();
        let declared = wav(raw(PcmS16le, 8_000, 1));
        assert_eq!(
            run_ok(declared, raw(PcmS16le, 16_000, 1), &headed),
            Audio::I16(rounded.to_vec())
        );
    }
}

#[test]
fn targets_that_are_sources_only() {
    for encoding in [PcmS24le, PcmS32le] {
        let target = raw(encoding, 8_000, 1);
        let error = Transcoder::new(raw(PcmS16le, 8_000, 1), target, Quality::Voice).unwrap_err();
        assert!(matches!(error, Error::Unsupported { what: "to this encoding", .. }), "{error}");
    }
}

#[test]
#[cfg(not(feature = "formats"))]
fn coded_sources_need_the_feature() {
    let mp3 = AudioFormat::new(Encoding::Mp3, 24_000, 1, Container::Raw).unwrap();
    let error = Transcoder::new(mp3, raw(PcmS16le, 24_000, 1), Quality::Voice).unwrap_err();
    assert!(error.to_string().contains("feature `formats`"), "{error}");
}

// WAV.

fn header(format: AudioFormat, size: u32) -> Vec<u8> {
    let (tag, width): (u16, u16) = match format.encoding {
        PcmS16le => (1, 2),
        PcmF32le => (3, 4),
        Alaw => (6, 1),
        Mulaw => (7, 1),
        PcmS24le => (1, 3),
        PcmS32le => (1, 4),
        other => panic!("{} is in no WAV", other.name()),
    };
    let block = width * format.channels as u16;
    [
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0",
        &tag.to_le_bytes()[..],
        &(format.channels as u16).to_le_bytes(),
        &format.sample_rate.to_le_bytes(),
        &(format.sample_rate * u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        &(width * 8).to_le_bytes(),
        b"data",
        &size.to_le_bytes(),
    ]
    .concat()
}

#[test]
fn a_header_is_the_truth_about_the_source() {
    let declared = wav(raw(PcmS16le, 48_000, 2));
    let target = raw(PcmS16le, 16_000, 1);
    let mut transcoder = Transcoder::new(declared, target, Quality::LowLatency).unwrap();
    for encoding in ENCODINGS {
        let actual = raw(encoding, 8_000, 1);
        let bytes = noise(actual, 300);
        let stream = [header(actual, u32::MAX), bytes.clone()].concat();
        assert_eq!(transcoder.source(), declared);
        let (head, tail) = stream.split_at(100);
        transcoder.process_into(head, Samples::I16(&mut [0; 9_999])).unwrap();
        assert_eq!(transcoder.source(), wav(actual));
        transcoder.process_into(tail, Samples::I16(&mut [0; 9_999])).unwrap();
        transcoder.reset();
        let (audio, end) = run(&mut transcoder, [&stream[..]]);
        assert_eq!(end, Ok(()));
        assert!(audio == by_hand(actual, target, &bytes), "{encoding:?}");
    }
    // And without a header, what was declared is.
    let bytes = noise(declared, 300);
    let (audio, end) = run(&mut transcoder, [&bytes[..]]);
    assert_eq!(end, Ok(()));
    assert!(audio == by_hand(declared, target, &bytes));
}

#[test]
fn a_header_that_cannot_be_joined_is_refused() {
    let (declared, target) = (wav(raw(PcmS16le, 8_000, 2)), raw(PcmS16le, 8_000, 2));
    let mut transcoder = Transcoder::new(declared, target, Quality::Hq).unwrap();
    let stream = header(raw(PcmS16le, 8_000, 3), 0);
    let error = transcoder.process_into(&stream, Samples::I16(&mut [0; 99])).unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: "channels", .. }), "{error:?}");
    assert_eq!(transcoder.flush_into(Samples::I16(&mut [0; 99])), Err(error));
    transcoder.reset();
    assert_eq!(transcoder.process_into(&[1; 8], Samples::I16(&mut [0; 99])), Ok(2));
}

#[test]
fn partial_frames_are_dropped_and_counted_at_headers_and_at_the_flush() {
    let stereo = raw(PcmS16le, 8_000, 2);
    let mut transcoder = Transcoder::new(wav(stereo), stereo, Quality::Hq).unwrap();
    let stream = [&header(stereo, 0)[..], b"abcdefg", &header(stereo, 0), b"hijklm"].concat();
    for (round, size) in [(1, stream.len()), (2, 1), (3, 13)] {
        let (audio, end) = run(&mut transcoder, stream.chunks(size));
        assert_eq!(end, Ok(()));
        assert_eq!(audio, Audio::I16(decode(PcmS16le, b"abcdhijk")));
        assert_eq!(transcoder.dangling_bytes(), round * (3 + 2));
    }
    let mut transcoder = Transcoder::new(stereo, stereo, Quality::Hq).unwrap();
    let (audio, _) = run(&mut transcoder, [&b"abcde"[..]]);
    assert_eq!((audio, transcoder.dangling_bytes()), (Audio::I16(decode(PcmS16le, b"abcd")), 1));
}

#[test]
fn audio_before_a_fault_is_delivered_then_the_fault_stays() {
    let format = raw(PcmS16le, 8_000, 1);
    let mut transcoder = Transcoder::new(wav(format), format, Quality::Hq).unwrap();
    let other = header(raw(PcmS16le, 16_000, 1), 0);
    let stream = [&header(format, 0)[..], b"abcd", &other, b"efgh"].concat();
    let mut out = [0; 99];
    assert_eq!(transcoder.process_into(&stream, Samples::I16(&mut out)), Ok(2));
    for _ in 0..2 {
        let error = transcoder.process_into(b"", Samples::I16(&mut out)).unwrap_err();
        assert!(matches!(error, Error::FormatChanged { .. }), "{error:?}");
        assert_eq!(transcoder.flush_into(Samples::I16(&mut out)), Err(error));
    }
    transcoder.reset();
    assert_eq!(transcoder.flush_into(Samples::I16(&mut out)), Ok(0));
    // A stream that ends inside a header.
    assert_eq!(transcoder.process_into(&other[..30], Samples::I16(&mut out)), Ok(0));
    let error = transcoder.flush_into(Samples::I16(&mut out)).unwrap_err();
    assert!(matches!(error, Error::Container { offset: 20, .. }), "{error:?}");
    assert_eq!(transcoder.process_into(b"fmt ", Samples::I16(&mut out)), Err(error));
}

#[test]
fn a_flush_releases_what_was_held_back() {
    let format = raw(Mulaw, 8_000, 1);
    for (start, held) in [(vec![], "RIF"), (header(format, 0), "abRI"), (header(format, 2), "abL")]
    {
        let stream = [&start[..], held.as_bytes()].concat();
        assert_eq!(run_ok(wav(format), format, &stream), Audio::U8(held.as_bytes().to_vec()));
    }
}

#[test]
fn the_size_of_the_tail_is_exact_with_held_bytes_too() {
    let (source, target) = (raw(Mulaw, 48_000, 1), raw(Mulaw, 11_025, 1));
    for len in 2..64 {
        let stream = [&header(source, 0)[..], &vec![1; len], b"RI"].concat();
        let mut transcoder = Transcoder::new(wav(source), target, Quality::LowLatency).unwrap();
        transcoder.process_into(&stream, Samples::U8(&mut [0; 99])).unwrap();
        let needed = transcoder.flush_frames_max();
        let error = transcoder.flush_into(Samples::U8(&mut vec![0; needed - 1])).unwrap_err();
        assert_eq!(error, Error::OutputTooSmall { needed, got: needed - 1 });
        assert_eq!(transcoder.flush_into(Samples::U8(&mut vec![0; needed])), Ok(needed));
    }
}

#[test]
fn flushed_is_as_new() {
    let (source, target) = (raw(PcmS16le, 16_000, 1), raw(Mulaw, 8_000, 1));
    let mut transcoder = Transcoder::new(source, target, Quality::LowLatency).unwrap();
    let bytes = noise(source, 333);
    let first = run(&mut transcoder, [&bytes[..]]);
    assert_eq!(first, run(&mut transcoder, bytes.chunks(5)));
    assert!(transcoder.latency() > 0.0);
    transcoder.process_into(&bytes[..101], Samples::U8(&mut [0; 999])).unwrap();
    transcoder.reset();
    assert_eq!(first, run(&mut transcoder, [&bytes[..]]));
}

/// Pieces of the given lengths, over and over.
fn cut<'s>(mut stream: &'s [u8], lens: &[usize]) -> Vec<&'s [u8]> {
    let mut pieces = Vec::new();
    for &len in lens.iter().cycle() {
        if stream.is_empty() || lens.iter().all(|&len| len == 0) {
            break;
        }
        let (piece, rest) = stream.split_at(len.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces.push(stream);
    pieces
}

fn any_format(channels: impl Strategy<Value = usize>) -> impl Strategy<Value = AudioFormat> {
    let rate = proptest::sample::select(vec![8_000, 16_000, 22_050, 48_000]);
    let encoding = proptest::sample::select(ENCODINGS.to_vec());
    (encoding, rate, channels).prop_map(|(encoding, rate, channels)| raw(encoding, rate, channels))
}

fn pair() -> impl Strategy<Value = (AudioFormat, AudioFormat)> {
    prop_oneof![
        (any_format(Just(1)), any_format(1..4_usize)),
        (any_format(1..4_usize), any_format(Just(1))),
        (any_format(Just(2)), any_format(Just(2))),
    ]
}

fn lens() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![0..8_usize, 0..200_usize], 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_cut_of_a_raw_stream_gives_the_same(
        (source, target) in pair(), lens in lens(),
        bytes in proptest::collection::vec(any::<u8>(), 0..1500),
    ) {
        let mut transcoder = Transcoder::new(source, target, Quality::LowLatency).unwrap();
        let whole = run(&mut transcoder, [&bytes[..]]);
        prop_assert_eq!(&whole.1, &Ok(()));
        let frames = (bytes.len() / source.frame_bytes()) as u64;
        let expected = resampled_frames(frames, source.sample_rate, target.sample_rate) as usize;
        prop_assert_eq!(whole.0.len(), expected * target.channels);
        prop_assert!(run(&mut transcoder, cut(&bytes, &lens)) == whole);
    }

    #[test]
    fn any_cut_of_a_wav_stream_gives_the_same(
        (actual, target) in pair(), declared in any_format(Just(1)), lens in lens(),
        parts in proptest::collection::vec(
            (0..4_u8, proptest::collection::vec(any::<u8>(), 0..300)), 1..6),
    ) {
        let mut stream = Vec::new();
        let mut audio = Vec::new();
        for (index, (kind, bytes)) in parts.iter().enumerate() {
            let bytes = &bytes[..bytes.len() / actual.frame_bytes() * actual.frame_bytes()];
            let size = [0, u32::MAX, bytes.len() as u32, 0][usize::from(*kind)];
            if index == 0 || *kind != 3 {
                stream.extend(header(actual, size));
            }
            stream.extend(bytes);
            audio.extend(bytes);
        }
        let mut transcoder = Transcoder::new(wav(declared), target, Quality::LowLatency).unwrap();
        let whole = run(&mut transcoder, [&stream[..]]);
        prop_assert_eq!(&whole.1, &Ok(()));
        if actual != target {
            prop_assert!(whole.0 == by_hand(actual, target, &audio));
        }
        prop_assert!(run(&mut transcoder, cut(&stream, &lens)) == whole);
    }

    #[test]
    fn any_cut_of_garbage_gives_the_same(
        (declared, target) in pair(), lens in lens(), actual in any_format(1..3_usize),
        parts in proptest::collection::vec(prop_oneof![
            Just(b"RIFF".to_vec()), Just(b"RIFF\0\0\0\0WAVE".to_vec()), Just(b"LIST".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..99),
            Just(vec![]),
        ], 1..6),
    ) {
        let parts: Vec<u8> = parts
            .into_iter()
            .map(|part| if part.is_empty() { header(actual, 9) } else { part })
            .collect::<Vec<_>>()
            .concat();
        let mut transcoder = Transcoder::new(wav(declared), target, Quality::LowLatency).unwrap();
        let whole = run(&mut transcoder, [&parts[..]]);
        transcoder.reset();
        let pieces = run(&mut transcoder, cut(&parts, &lens));
        // A fault behind all audio of a call is raised at the next, so both ends are the same fault.
        prop_assert!(pieces == whole, "{:?} but {:?}", pieces.1, whole.1);
    }
}
