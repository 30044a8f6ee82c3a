//! The incremental WAV reader: every layout, cut at every byte.

use proptest::prelude::*;
use voicecore::container::WavReader;
use voicecore::{AudioFormat, Container, Encoding, Error};

fn format(encoding: Encoding, sample_rate: u32, channels: usize) -> AudioFormat {
    AudioFormat::new(encoding, sample_rate, channels, Container::Raw).unwrap()
}

fn speech() -> AudioFormat {
    format(Encoding::PcmS16le, 16_000, 1)
}

/// What came out, the format, and how it ended.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    audio: Vec<u8>,
    format: Option<AudioFormat>,
    end: Result<(), Error>,
}

fn read<'c>(assumed: Option<AudioFormat>, chunks: impl IntoIterator<Item = &'c [u8]>) -> Outcome {
    let mut reader = WavReader::new(assumed);
    let mut audio = Vec::new();
    let mut end = Ok(());
    for chunk in chunks {
        end = reader.feed(chunk, &mut audio);
        if end.is_err() {
            break;
        }
    }
    let finished = reader.finish(&mut audio);
    assert!(end.is_ok() || finished == end, "an error must stay: {end:?} then {finished:?}");
    Outcome { audio, format: reader.format(), end: finished }
}

/// Reads in one piece, in every two pieces, byte by byte; all must agree.
fn read_all_ways(assumed: Option<AudioFormat>, stream: &[u8]) -> Outcome {
    let whole = read(assumed, [stream]);
    for cut in 0..=stream.len() {
        let (head, tail) = stream.split_at(cut);
        assert_eq!(read(assumed, [head, tail]), whole, "cut at {cut} of {}", stream.len());
    }
    assert_eq!(read(assumed, stream.chunks(1)), whole, "byte by byte");
    whole
}

#[track_caller]
fn gives(stream: &[u8], audio: &[u8]) {
    for assumed in [None, Some(format(Encoding::Mulaw, 8_000, 2))] {
        let outcome = read_all_ways(assumed, stream);
        assert_eq!(outcome.end, Ok(()));
        assert_eq!(outcome.format, Some(speech()));
        assert_eq!(outcome.audio, audio);
    }
}

#[track_caller]
fn fails(stream: &[u8]) -> Error {
    read_all_ways(None, stream).end.unwrap_err()
}

/// A WAV file in the making.
#[derive(Debug, Clone)]
struct Wav(Vec<u8>);

impl Wav {
    fn new() -> Self {
        Self(b"RIFF\0\0\0\0WAVE".to_vec())
    }

    fn chunk(self, id: &[u8; 4], content: &[u8]) -> Self {
        let size = content.len() as u32;
        let padding = vec![0; content.len() % 2];
        self.sized(id, size, &[content, &padding].concat())
    }

    /// A chunk whose size says anything.
    fn sized(mut self, id: &[u8; 4], size: u32, content: &[u8]) -> Self {
        self.0.extend_from_slice(id);
        self.0.extend_from_slice(&size.to_le_bytes());
        self.0.extend_from_slice(content);
        self
    }

    fn fmt(self) -> Self {
        self.chunk(b"fmt ", &fmt(1, 16, speech()))
    }

    fn bytes(self, more: &[u8]) -> Vec<u8> {
        [self.0, more.to_vec()].concat()
    }
}

fn fmt(tag: u16, bits: u16, format: AudioFormat) -> Vec<u8> {
    let block = format.channels as u16 * bits.div_ceil(8);
    let mut fmt = Vec::new();
    fmt.extend(tag.to_le_bytes());
    fmt.extend((format.channels as u16).to_le_bytes());
    fmt.extend(format.sample_rate.to_le_bytes());
    fmt.extend((format.sample_rate * u32::from(block)).to_le_bytes());
    fmt.extend(block.to_le_bytes());
    fmt.extend(bits.to_le_bytes());
    fmt
}

fn extensible(tag: u16, bits: u16, format: AudioFormat) -> Vec<u8> {
    let mut fmt = fmt(0xfffe, bits, format);
    fmt.extend(22_u16.to_le_bytes());
    fmt.extend(bits.to_le_bytes());
    fmt.extend(3_u32.to_le_bytes());
    fmt.extend(tag.to_le_bytes());
    fmt.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
    fmt
}

/// Audio full of false starts: "RIFF" without "WAVE", ids of chunks, parts of both.
fn tricky() -> Vec<u8> {
    b"\x01\x02RIFFRIFFabcdWAVRRIFF1234WAVXLISTdata\x04\0fmt RIFRIRIFFfact\0\0\x7f".to_vec()
}

/// A header with a size that is right.
fn chunk_of(audio: &[u8]) -> Vec<u8> {
    Wav::new().fmt().chunk(b"data", audio).0
}

#[test]
fn plain_44_byte_header() {
    let stream = chunk_of(&tricky());
    assert_eq!(&stream[36..40], b"data");
    gives(&stream, &tricky());
}

#[test]
fn sizes_that_say_nothing() {
    let audio = tricky();
    let len = audio.len() as u32;
    let sizes = [0, 1, 2, 3, 7, len - 1, len, len + 1, len.swap_bytes(), 0x0100, 0x7fff_ffff];
    for size in sizes.into_iter().chain([0x7fff_f000, 0x8000_0000, u32::MAX - 8, u32::MAX]) {
        gives(&Wav::new().fmt().sized(b"data", size, &audio).0, &audio);
    }
    let mut riff_size = chunk_of(&audio);
    riff_size[4..8].fill(0xff);
    gives(&riff_size, &audio);
}

#[test]
fn header_alone() {
    for size in [0, 1, 100, u32::MAX] {
        gives(&Wav::new().fmt().sized(b"data", size, b"").0, b"");
        let twice = Wav::new().fmt().sized(b"data", size, b"").0.repeat(2);
        gives(&twice, b"");
        gives(&[twice, tricky()].concat(), &tricky());
    }
}

#[test]
fn header_per_chunk() {
    let (first, second) = (tricky(), b"second".to_vec());
    for sizes in [[0, 0], [u32::MAX, u32::MAX], [first.len() as u32, 6], [8, 3], [0x7fff_ffff, 0]] {
        let stream = [(sizes[0], &first), (sizes[1], &second)]
            .map(|(size, audio)| Wav::new().fmt().sized(b"data", size, audio).0)
            .concat();
        gives(&stream, &[first.clone(), second.clone()].concat());
    }
}

#[test]
fn chunks_before_the_audio() {
    let audio = tricky();
    let list = b"INFOISFT\x0e\0\0\0Lavf60.16.100\0";
    let before = Wav::new()
        .chunk(b"JUNK", &[0; 28])
        .fmt()
        .chunk(b"fact", &[1, 0, 0, 0])
        .chunk(b"LIST", list)
        .chunk(b"odd!", b"odd")
        .chunk(b"none", b"");
    gives(&before.clone().chunk(b"data", &audio).0, &audio);
    gives(&before.sized(b"bad ", 3, b"odd").chunk(b"data", &audio).0, &audio);
}

#[test]
fn chunks_after_the_audio() {
    let audio = tricky();
    for id in [b"LIST", b"id3 ", b"ID3 ", b"fact", b"bext", b"JUNK", b"cue ", b"smpl", b"PEAK"] {
        let file = Wav::new().fmt().chunk(b"data", &audio).chunk(id, b"not audio at all");
        gives(&file.0, &audio);
        // The next header, another chunk, and audio go on behind it.
        gives(&[file.0.clone(), chunk_of(b"next")].concat(), &[&audio[..], b"next"].concat());
        gives(&file.clone().chunk(b"junk", b"odd").0, &audio);
        gives(&file.clone().bytes(b"more"), &[&audio[..], b"more"].concat());
        // Cut off within the chunk: it was no audio, so nothing is lost.
        gives(&file.clone().bytes(b"LIST\x01"), &audio);
        gives(&file.bytes(b"LIST\xff\xff\xff\xffabc"), &audio);
    }
}

#[test]
fn padding_of_odd_audio() {
    let mulaw = format(Encoding::Mulaw, 8_000, 1);
    let header = Wav::new().chunk(b"fmt ", &fmt(7, 8, mulaw));
    for (after, tail) in [
        (vec![0], &b""[..]),
        (vec![], b""),
        (Wav(vec![0]).chunk(b"LIST", b"abcd").0, b""),
        (Wav(vec![]).chunk(b"LIST", b"abcd").0, b""),
        ([vec![0], header.clone().chunk(b"data", b"xy").0].concat(), b"xy"),
        (header.clone().chunk(b"data", b"xy").0, b"xy"),
        (b"\0more".to_vec(), b"\0more"),
        (b"\0LI".to_vec(), b"\0LI"),
        (b"more".to_vec(), b"more"),
    ] {
        let stream = header.clone().sized(b"data", 3, b"abc").bytes(&after);
        let outcome = read_all_ways(None, &stream);
        assert_eq!(outcome.end, Ok(()));
        assert_eq!(outcome.audio, [b"abc", tail].concat(), "{after:?}");
    }
}

#[test]
fn every_fmt() {
    let audio = tricky();
    for (encoding, tag, bits) in [
        (Encoding::PcmS16le, 1, 16),
        (Encoding::PcmF32le, 3, 32),
        (Encoding::Alaw, 6, 8),
        (Encoding::Mulaw, 7, 8),
    ] {
        let wanted = format(encoding, 22_050, 2);
        let plain = fmt(tag, bits, wanted);
        let sized = |len: usize| plain.iter().copied().chain([0; 24]).take(len).collect::<Vec<_>>();
        for fmt in [sized(16), sized(17), sized(18), sized(40), extensible(tag, bits, wanted)] {
            let outcome =
                read_all_ways(None, &Wav::new().chunk(b"fmt ", &fmt).chunk(b"data", &audio).0);
            assert_eq!((outcome.end, outcome.format), (Ok(()), Some(wanted)));
            assert_eq!(outcome.audio, audio);
        }
    }
}

#[test]
fn deepdub_header_of_68_bytes_with_a_big_endian_size() {
    let header = Wav::new().chunk(b"fmt ", &extensible(1, 16, speech()));
    let audio = tricky();
    let stream = header.sized(b"data", (audio.len() as u32).swap_bytes(), &audio).0;
    assert_eq!(stream.len(), 68 + audio.len());
    gives(&stream, &audio);
    gives(&stream.repeat(3), &audio.repeat(3));
}

#[test]
fn unsupported_samples_are_named() {
    let wanted = speech();
    let file = |fmt: &[u8]| Wav::new().chunk(b"fmt ", fmt).chunk(b"data", b"abcd").0;
    let mut strange_guid = extensible(1, 16, wanted);
    strange_guid[39] = 0;
    for (fmt, named) in [
        (fmt(1, 8, wanted), "8-bit PCM"),
        (fmt(1, 20, wanted), "20-bit PCM"),
        (extensible(1, 12, wanted), "12-bit PCM"),
        (fmt(3, 64, wanted), "64-bit float"),
        (fmt(7, 16, wanted), "16-bit mu-law"),
        (fmt(2, 4, wanted), "format tag 0x0002"),
        (fmt(0xfffe, 16, wanted), "without a sub-format"),
        (extensible(0xfffe, 16, wanted), "GUID feff"),
        (strange_guid, "GUID 0100"),
    ] {
        let error = fails(&file(&fmt));
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn relatives_of_riff_are_named() {
    for magic in ["RIFX", "RF64", "BW64"] {
        let error = fails(&[magic.as_bytes(), b"\0\0\0\0WAVEfmt "].concat());
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(magic));
    }
}

#[test]
fn broken_headers() {
    for (stream, offset, reason) in [
        (b"RIFF\0\0\0\0AVI LIST".to_vec(), 8, "\"WAVE\", got \"AVI \""),
        (b"OggS\0\x02\0\0\0\0".to_vec(), 0, "\"RIFF\", got \"OggS\""),
        (Wav::new().bytes(b"\x01\x02\x03\x04\0\0\0\0"), 12, "a chunk id, got \"\\x01"),
        (Wav::new().chunk(b"data", b"abcd").0, 12, "fmt chunk before data"),
        (Wav::new().chunk(b"fmt ", &[0; 14]).0, 12, "at least 16 bytes, got 14"),
    ] {
        match fails(&stream) {
            Error::Container { offset: at, reason: why, .. } => {
                assert_eq!(at, offset);
                assert!(why.contains(reason), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    // The format of one header does not stand in for that of the next.
    let second = Wav::new().chunk(b"data", b"efgh").0;
    let error = fails(&[chunk_of(b"abcd"), second].concat());
    assert!(error.to_string().contains("fmt chunk before data"), "{error}");
    for wrong in [(0, 1), (1, 0), (3_999, 1), (192_001, 1), (16_000, 65)] {
        let (sample_rate, channels) = wrong;
        let fmt = fmt(1, 16, AudioFormat { sample_rate, channels, ..speech() });
        let error = fails(&Wav::new().chunk(b"fmt ", &fmt).0);
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
    }
}

#[test]
fn a_stream_cut_inside_a_header_fails() {
    let header = Wav::new().chunk(b"LIST", b"abcd").fmt().sized(b"data", 4, b"").0;
    for cut in 1..header.len() {
        let error = fails(&header[..cut]);
        assert!(matches!(error, Error::Container { .. }), "{cut}: {error:?}");
        // A second header: up to "RIF" it may as well be audio.
        let stream = [&header[..], b"abcdefgh", &header[..cut]].concat();
        let outcome = read_all_ways(None, &stream);
        assert_eq!(outcome.end.is_err(), cut >= 4, "{cut}");
        let audio = if cut >= 4 { &b"abcdefgh"[..] } else { &stream[header.len()..] };
        assert_eq!(outcome.audio, audio, "{cut}");
    }
}

#[test]
fn an_empty_stream_is_no_error() {
    for assumed in [None, Some(speech())] {
        let outcome = read_all_ways(assumed, b"");
        assert_eq!(outcome, Outcome { audio: vec![], format: None, end: Ok(()) });
    }
}

#[test]
fn headerless_bytes_are_taken_for_the_assumed_format() {
    for stream in [tricky(), b"R".to_vec(), b"RIF".to_vec(), vec![0; 5]] {
        let outcome = read_all_ways(Some(speech()), &stream);
        assert_eq!(outcome, Outcome { audio: stream, format: Some(speech()), end: Ok(()) });
    }
    // A header may still come, of the same format.
    let stream = [&b"bare"[..], &chunk_of(b"more")].concat();
    let outcome = read_all_ways(Some(speech()), &stream);
    assert_eq!((outcome.end, &outcome.audio[..]), (Ok(()), &b"baremore"[..]));
}

#[test]
fn another_format_midway_is_an_error() {
    let other = AudioFormat { sample_rate: 8_000, ..speech() };
    let second = Wav::new().chunk(b"fmt ", &fmt(1, 16, other)).chunk(b"data", b"efgh").0;
    let outcome = read_all_ways(None, &[chunk_of(b"abcd"), second].concat());
    assert_eq!(outcome.audio, b"abcd");
    let Err(Error::FormatChanged { expected, got }) = outcome.end else { panic!("{outcome:?}") };
    assert_eq!((&expected[..], &got[..]), ("pcm_s16le 16000 Hz 1 ch", "pcm_s16le 8000 Hz 1 ch"));
}

#[test]
fn a_huge_chunk_needs_no_memory() {
    let mut reader = WavReader::new(None);
    let mut audio = Vec::new();
    let size = 3_000_000_000_u32;
    let block = vec![b'R'; 1_000_000];
    reader.feed(&Wav::new().sized(b"LIST", size, b"").0, &mut audio).unwrap();
    for _ in 0..size / 1_000_000 {
        reader.feed(&block, &mut audio).unwrap();
    }
    reader.feed(&Wav(vec![]).fmt().chunk(b"data", b"abcd").0, &mut audio).unwrap();
    assert_eq!((reader.finish(&mut audio), &audio[..]), (Ok(()), &b"abcd"[..]));
}

#[test]
fn reset_begins_a_new_stream() {
    let mut reader = WavReader::new(None);
    let mut audio = Vec::new();
    assert!(reader.feed(b"nonsense", &mut audio).is_err());
    assert!(reader.feed(&chunk_of(b"abcd"), &mut audio).is_err());
    reader.reset();
    reader.feed(&chunk_of(b"abcd"), &mut audio).unwrap();
    assert_eq!((audio, reader.format()), (b"abcd".to_vec(), Some(speech())));
}

/// Cuts `stream` into pieces of the given lengths, over and over.
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

/// Streams made of things that look like WAV.
fn wavish() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(Wav::new().fmt().sized(b"data", 0, b"").0),
        any::<u8>().prop_map(|size| Wav::new().fmt().sized(b"data", size.into(), b"").0),
        Just(Wav::new().chunk(b"fmt ", &extensible(1, 16, speech())).sized(b"data", 9, b"").0),
        (any::<u8>()).prop_map(|size| Wav(vec![]).sized(b"LIST", size.into(), b"").0),
        Just(b"RIFF".to_vec()),
        Just(b"RIFF\0\0\0\0WAVE".to_vec()),
        Just(b"LIST".to_vec()),
        Just(tricky()),
        Just(vec![0]),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn lens() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![0..4_usize, 0..80_usize], 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_cut_of_wavish_streams_is_the_same(
        stream in wavish(), lens in lens(), assumed in any::<bool>()
    ) {
        let assumed = assumed.then(speech);
        let whole = read(assumed, [&stream[..]]);
        prop_assert!(whole.audio.len() <= stream.len());
        prop_assert_eq!(read(assumed, cut(&stream, &lens)), whole);
    }

    #[test]
    fn any_cut_of_garbage_is_the_same(
        stream in proptest::collection::vec(any::<u8>(), 0..300), lens in lens(),
        riff in any::<bool>()
    ) {
        let stream = if riff { Wav::new().bytes(&stream) } else { stream };
        let whole = read(Some(speech()), [&stream[..]]);
        prop_assert_eq!(read(Some(speech()), cut(&stream, &lens)), whole);
    }
}
