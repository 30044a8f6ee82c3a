//! MP3 and Opus in Ogg through the transcoder: any cut gives the same samples, fault and counts; the room
//! that is promised for a chunk is what it takes; samples are finite; what comes is bounded by what went in.

use super::transcoder::{Audio, run};
use super::{Control, cut};
use voicecore::resample::Quality;
use voicecore::transcoder::{Samples, Transcoder};
use voicecore::{AudioFormat, Container, Encoding};

const BYTES_MAX: usize = 8_192;
/// Frames at 48 kHz for one byte: a packet of 120 ms in two bytes and one that laces it.
const FRAMES_PER_BYTE: usize = 1_920;
/// A hole that is made up for, per page of 27 bytes.
const GAP: usize = 5_760;

/// Bytes: target, quality, lengths of chunks, stream.
pub fn mp3(data: &[u8]) {
    check(data, Encoding::Mp3, Container::Raw, |_, stream| stream);
}

/// Bytes: target, quality, whether checksums are put right, lengths of chunks, stream.
pub fn ogg(data: &[u8]) {
    check(data, Encoding::Opus, Container::Ogg, |kind, mut stream| {
        if kind & 0x10 != 0 {
            put_checksums_right(&mut stream);
        }
        stream
    });
}

fn check(
    data: &[u8],
    encoding: Encoding,
    container: Container,
    prepare: impl Fn(u8, Vec<u8>) -> Vec<u8>,
) {
    let mut control = Control(data);
    let kind = control.byte();
    let source = AudioFormat::new(encoding, 24_000, 1 + usize::from(kind & 1), container).unwrap();
    let encoding = control.pick(&[Encoding::PcmF32le, Encoding::PcmS16le, Encoding::Mulaw]);
    let channels = 1 + usize::from(kind >> 1 & 1);
    let rate = control.pick(&[48_000, 16_000, 8_000, 24_000, 22_050, 44_100]);
    let target = AudioFormat::new(encoding, rate, channels, Container::Raw).unwrap();
    let quality = [Quality::LowLatency, Quality::Voice][usize::from(kind >> 2 & 1)];
    let lens = control.lens();
    let rest = control.rest();
    let stream = prepare(kind, rest[..rest.len().min(BYTES_MAX)].to_vec());
    super::at_one_level(|| {
        any_cut(Transcoder::new(source, target, quality).unwrap(), &stream, &lens, kind & 8 != 0);
        refuses_too_little(Transcoder::new(source, target, quality).unwrap(), &stream);
    });
}

fn any_cut(mut transcoder: Transcoder, stream: &[u8], lens: &[usize], base64: bool) {
    let target = transcoder.target();
    let whole = run(&mut transcoder, [stream], false);
    let counts = counts_of(&transcoder);
    if let Audio::F32(samples) = &whole.audio {
        assert!(samples.iter().all(|&bits| f32::from_bits(bits).is_finite()));
    }
    let most = stream.len() * FRAMES_PER_BYTE + stream.len() / 27 * GAP;
    assert!(
        whole.audio.len() / target.channels <= most * target.sample_rate as usize / 8_000 + 1,
        "more than there was"
    );
    assert!(counts.0 + counts.1 <= stream.len() as u64, "more skipped than came: {counts:?}");

    transcoder.reset();
    let parts = run(&mut transcoder, cut(stream, lens), base64);
    let (got, expected) = ((parts.audio.len(), &parts.end), (whole.audio.len(), &whole.end));
    assert_eq!(got, expected, "{target:?}: cut by {lens:?}, after a reset");
    assert!(parts == whole, "{target:?}: cut by {lens:?}, after a reset: other samples");
    let twice = counts_of(&transcoder);
    assert_eq!(twice, (2 * counts.0, 2 * counts.1, 2 * counts.2), "{target:?}: cut by {lens:?}");
}

fn counts_of(transcoder: &Transcoder) -> (u64, u64, u64) {
    (transcoder.skipped_bytes(), transcoder.dangling_bytes(), transcoder.concealed_frames())
}

/// A buffer that is one sample short consumes nothing.
fn refuses_too_little(mut transcoder: Transcoder, stream: &[u8]) {
    if transcoder.target().encoding != Encoding::PcmS16le {
        return;
    }
    let room = transcoder.output_frames_of(stream) * transcoder.target().channels;
    let mut out = vec![0; room];
    let Ok(frames) = transcoder.process_into(stream, Samples::I16(&mut out)) else { return };
    let written = frames * transcoder.target().channels;
    let kept = out[..written].to_vec();
    transcoder.reset();
    if let Some(less) = written.checked_sub(1) {
        transcoder.process_into(stream, Samples::I16(&mut out[..less])).unwrap_err();
    }
    let again = transcoder.process_into(stream, Samples::I16(&mut out)).unwrap();
    assert_eq!((again, &out[..written]), (frames, &kept[..]), "something was consumed");
}

/// So that a change of any byte does not only make a page that is none.
fn put_checksums_right(stream: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = stream.get_mut(at..)
        && rest.len() >= 27
    {
        if !rest.starts_with(b"OggS") {
            at += 1;
            continue;
        }
        let start = 27 + usize::from(rest[26]);
        let laces = rest.get(27..start).unwrap_or_default();
        let len = start + laces.iter().map(|&lace| usize::from(lace)).sum::<usize>();
        if let Some(page) = rest.get_mut(..len) {
            page[22..26].fill(0);
            let sum = checksum(page).to_le_bytes();
            page[22..26].copy_from_slice(&sum);
            at += len;
        } else {
            at += 4;
        }
    }
}

/// By the definition, bit by bit.
fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}
