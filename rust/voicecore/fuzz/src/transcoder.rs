//! The transcoder: any cut, bytes or base64, gives the same samples and the same fault; the promised room
//! suffices; equal formats copy; the levels agree as far as the kernels inside do.

use super::{Control, at_each_level, bits, cut, resampled};
use ::base64::{Engine, engine::general_purpose::STANDARD};
use voicecore::resample::Quality;
use voicecore::transcoder::{Samples, Transcoder};
use voicecore::{AudioFormat, Container, Encoding, Error, Result};

const BYTES_MAX: usize = 2_048;
const ENCODINGS: [Encoding; 4] =
    [Encoding::PcmS16le, Encoding::Mulaw, Encoding::Alaw, Encoding::PcmF32le];

/// Samples of any target, bit by bit.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Audio {
    I16(Vec<i16>),
    F32(Vec<u32>),
    U8(Vec<u8>),
}

impl Audio {
    fn empty(encoding: Encoding) -> Self {
        match encoding {
            Encoding::PcmS16le => Self::I16(vec![]),
            Encoding::PcmF32le => Self::F32(vec![]),
            _ => Self::U8(vec![]),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::I16(all) => all.len(),
            Self::F32(all) => all.len(),
            Self::U8(all) => all.len(),
        }
    }

    /// Appends what `call` writes into room for `frames`; `call` returns frames.
    fn take(
        &mut self,
        frames: usize,
        channels: usize,
        call: impl FnOnce(Samples<'_>) -> Result<usize>,
    ) -> Result<()> {
        let room = frames * channels;
        match self {
            Self::I16(all) => {
                let mut out = vec![0; room];
                let written = call(Samples::I16(&mut out))? * channels;
                all.extend_from_slice(&out[..written]);
            }
            Self::F32(all) => {
                let mut out = vec![0.0; room];
                let written = call(Samples::F32(&mut out))? * channels;
                all.extend(out[..written].iter().copied().map(bits));
            }
            Self::U8(all) => {
                let mut out = vec![0; room];
                let written = call(Samples::U8(&mut out))? * channels;
                all.extend_from_slice(&out[..written]);
            }
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    pub audio: Audio,
    pub end: Result<()>,
    pub source: AudioFormat,
}

/// Everything that a stream gives, up to its fault if it has one.
pub(super) fn run<'c>(
    transcoder: &mut Transcoder,
    chunks: impl IntoIterator<Item = &'c [u8]>,
    base64: bool,
) -> Outcome {
    let target = transcoder.target();
    let mut audio = Audio::empty(target.encoding);
    let mut fault = Ok(());
    for chunk in chunks {
        let frames = transcoder.output_frames_of(chunk);
        fault = audio.take(frames, target.channels, |out| match base64 {
            true => transcoder.process_base64_into(STANDARD.encode(chunk).as_bytes(), out),
            false => transcoder.process_into(chunk, out),
        });
        if fault.is_err() {
            break;
        }
    }
    let source = transcoder.source();
    let frames = transcoder.flush_frames_max();
    let end = audio.take(frames, target.channels, |out| transcoder.flush_into(out));
    assert!(fault.is_ok() || end == fault, "a fault must stay: {fault:?} then {end:?}");
    assert!(!matches!(end, Err(Error::OutputTooSmall { .. })), "room: {end:?}");
    Outcome { audio, end, source }
}

fn format(control: &mut Control<'_>, container: Container) -> AudioFormat {
    let (encoding, rate) = (control.pick(&ENCODINGS), control.rate());
    let channels = control.pick(&[1, 2, 1, 2, 3, 1, 8, 64]);
    AudioFormat::new(encoding, rate, channels, container).unwrap()
}

/// Bytes: source, target, flags and quality, lengths of chunks, stream.
pub fn check(data: &[u8]) {
    let mut control = Control(data);
    let flags = control.byte();
    let container = if flags & 1 == 0 { Container::Raw } else { Container::Wav };
    let source = format(&mut control, container);
    let mut target = format(&mut control, Container::Raw);
    if flags & 2 != 0 {
        target.sample_rate = source.sample_rate;
    }
    if flags & 4 != 0 {
        target.channels = source.channels;
    }
    let quality =
        [Quality::LowLatency, Quality::Voice, Quality::Hq, Quality::Voice][usize::from(flags >> 6)];
    let lens = control.lens();
    let rest = control.rest();
    let stream = &rest[..rest.len().min(BYTES_MAX)];
    let joined =
        [source.channels, target.channels].contains(&1) || source.channels == target.channels;
    let new = || Transcoder::new(source, target, quality);
    assert_eq!(new().is_ok(), joined);
    if !joined {
        return;
    }
    let results = at_each_level(|| {
        let mut transcoder = new().unwrap();
        let whole = run(&mut transcoder, [stream], false);
        // The same object again, and one that is new.
        transcoder.reset();
        let parts = run(&mut transcoder, cut(stream, &lens), flags & 8 != 0);
        assert_eq!(parts, whole, "{source:?} to {target:?}: cut by {lens:?}, after a reset");
        let parts = run(&mut new().unwrap(), cut(stream, &lens), flags & 8 == 0);
        assert_eq!(parts, whole, "{source:?} to {target:?}: cut by {lens:?}");
        whole
    });
    for pair in results.windows(2) {
        assert_eq!((&pair[0].end, pair[0].source), (&pair[1].end, pair[1].source));
        assert_eq!(pair[0].audio.len(), pair[1].audio.len());
    }
    let source = results[0].source;
    let vectors = if source.sample_rate == target.sample_rate { 0 } else { 1 };
    for pair in results.get(vectors..).unwrap_or_default().windows(2) {
        assert_eq!(pair[0], pair[1], "levels differ");
    }
    if container == Container::Raw {
        by_definition(source, target, stream, &results[0]);
    }
}

/// What is known without the kernels: the length, and that equal formats copy.
fn by_definition(source: AudioFormat, target: AudioFormat, stream: &[u8], outcome: &Outcome) {
    assert_eq!(outcome.end, Ok(()));
    let frames = stream.len() / source.frame_bytes();
    let total = resampled(frames, source.sample_rate, target.sample_rate);
    assert_eq!(outcome.audio.len(), total * target.channels);
    if source == target {
        let stream = &stream[..frames * source.frame_bytes()];
        let copy = match source.encoding {
            Encoding::PcmS16le => Audio::I16(super::ints(stream)),
            Encoding::PcmF32le => Audio::F32(super::floats(stream).into_iter().map(bits).collect()),
            _ => Audio::U8(stream.to_vec()),
        };
        assert_eq!(outcome.audio, copy);
    }
}
