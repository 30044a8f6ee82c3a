//! The WAV reader: any cut gives the same audio, format and fault; it holds no more than it was given;
//! an honest file gives its audio.

use super::{Control, cut};
use voicecore::container::WavReader;
use voicecore::container::wav::HELD_MAX;
use voicecore::{AudioFormat, Container, Encoding, Error};

#[derive(Debug, PartialEq)]
struct Outcome {
    audio: Vec<u8>,
    format: Option<AudioFormat>,
    end: Result<(), Error>,
}

fn read<'c>(reader: &mut WavReader, chunks: impl IntoIterator<Item = &'c [u8]>) -> Outcome {
    let (mut audio, mut end) = (Vec::new(), Ok(()));
    for chunk in chunks {
        end = reader.feed(chunk, &mut audio);
        assert!(reader.held_bytes() <= HELD_MAX);
        if end.is_err() {
            break;
        }
    }
    let finished = reader.finish(&mut audio);
    assert!(end.is_ok() || finished == end, "a fault must stay: {end:?} then {finished:?}");
    Outcome { audio, format: reader.format(), end: finished }
}

fn assumed() -> AudioFormat {
    AudioFormat::new(Encoding::PcmS16le, 16_000, 1, Container::Raw).unwrap()
}

/// Bytes: what to assume and whether a header stands before the rest, lengths of chunks, stream.
pub fn check(data: &[u8]) {
    let mut control = Control(data);
    let kind = control.byte();
    let lens = control.lens();
    let rest = control.rest();
    let stream = match kind & 6 {
        2 => [b"RIFF\0\0\0\0WAVE", rest].concat(),
        4 => honest(rest, 0xffff_ffff),
        6 => honest(rest, rest.len() as u32),
        _ => rest.to_vec(),
    };
    let mut reader = WavReader::new((kind & 1 != 0).then(assumed));
    let whole = read(&mut reader, [&stream[..]]);
    assert!(whole.audio.len() <= stream.len(), "more audio than bytes");
    reader.reset();
    assert_eq!(read(&mut reader, cut(&stream, &lens)), whole, "cut by {lens:?}, after a reset");
    let mut reader = WavReader::new((kind & 1 != 0).then(assumed));
    assert_eq!(read(&mut reader, stream.chunks(1)), whole, "byte by byte");
    if kind & 4 != 0 && !rest.windows(4).any(|four| four == b"RIFF") {
        let header = stream.len() - rest.len();
        let tail = (1..4).rev().find(|&len| rest.ends_with(&b"RIFF"[..len]));
        assert_eq!(whole.format, Some(assumed()));
        assert_eq!((&whole.audio[..], whole.end), (&stream[header..], Ok(())), "{tail:?}");
    }
}

fn honest(audio: &[u8], size: u32) -> Vec<u8> {
    let mut stream =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data"
            .to_vec();
    stream.extend(size.to_le_bytes());
    stream.extend(audio);
    stream
}
