//! What the bytes of RIFF/WAVE mean: the start of a header, chunk ids, and the `fmt ` chunk.
//!
//! It must never know how much of a stream has arrived: it looks at slices. Source: Microsoft's
//! "Multimedia Programming Interface and Data Specifications 1.0" and `mmreg.h`; the list of chunks
//! that follow the audio is from files in the wild (ffmpeg, SoX, libsndfile, sound editors).

use crate::{AudioFormat, Container, Encoding, Error, Result};

/// Bytes of a chunk id.
pub(super) const ID: usize = 4;
/// Bytes of a chunk's id and size.
pub(super) const CHUNK_HEAD: usize = 8;
/// Bytes of `RIFF????WAVE`.
pub(super) const MASTER: usize = 12;
/// Bytes of a `fmt ` chunk that are looked at: all of WAVE_FORMAT_EXTENSIBLE.
pub(super) const FMT_MAX: usize = 40;
/// Bytes of the shortest `fmt ` chunk.
pub(super) const FMT_MIN: usize = 16;

/// Starts of a file that are RIFF/WAVE or its relatives (big-endian, 64-bit sizes).
pub(super) const MAGICS: [&[u8; ID]; 4] = [b"RIFF", b"RIFX", b"RF64", b"BW64"];

/// Chunks that may follow `data`. An id that is not here is taken for audio.
const TRAILERS: [&[u8; ID]; 25] = [
    b"LIST", b"INFO", b"id3 ", b"ID3 ", b"fact", b"bext", b"JUNK", b"junk", b"cue ", b"smpl",
    b"inst", b"PEAK", b"iXML", b"axml", b"chna", b"afsp", b"DISP", b"PAD ", b"FLLR", b"_PMX",
    b"cart", b"acid", b"plst", b"note", b"labl",
];

/// `?` stands for any byte; no byte of the fixed part is a `?`.
const PATTERN: &[u8; MASTER] = b"RIFF????WAVE";

/// Whether `bytes` could be the beginning of a header, as far as they go.
pub(super) fn may_be_header(bytes: &[u8]) -> bool {
    bytes.iter().zip(PATTERN).all(|(&byte, &wanted)| wanted == b'?' || byte == wanted)
}

/// First place from which on `bytes` may be a header, or the end.
pub(super) fn find_header(bytes: &[u8]) -> usize {
    let mut from = 0;
    while let Some(place) = find_byte(&bytes[from..], PATTERN[0]) {
        from += place;
        if may_be_header(&bytes[from..]) {
            return from;
        }
        from += 1;
    }
    bytes.len()
}

/// First place of `wanted`. Whole blocks are tested at once, which the compiler vectorises.
fn find_byte(bytes: &[u8], wanted: u8) -> Option<usize> {
    const BLOCK: usize = 64;
    let misses =
        |block: &&[u8; BLOCK]| block.iter().fold(0, |hit, &b| hit | u8::from(b == wanted)) == 0;
    let start = bytes.as_chunks::<BLOCK>().0.iter().take_while(misses).count() * BLOCK;
    bytes[start..].iter().position(|&byte| byte == wanted).map(|place| start + place)
}

/// What stands where a `data` chunk should have ended.
pub(super) enum Follows {
    /// The next header.
    Header,
    /// A chunk that is no audio.
    Trailer,
    /// Audio: the declared size was a lie.
    Audio,
    /// Too few bytes to tell.
    Undecided,
}

/// Tells what `bytes` begin with.
pub(super) fn follows(bytes: &[u8]) -> Follows {
    let head = &bytes[..bytes.len().min(ID)];
    if may_be_header(bytes) {
        return if bytes.len() < MASTER { Follows::Undecided } else { Follows::Header };
    }
    match TRAILERS.iter().any(|id| id.starts_with(head)) {
        false => Follows::Audio,
        true if head.len() < ID => Follows::Undecided,
        true => Follows::Trailer,
    }
}

/// Splits the first 8 bytes into id and size; `None` if there are fewer.
pub(super) fn chunk_head(bytes: &[u8]) -> Option<([u8; ID], u32)> {
    let &[a, b, c, d, rest @ ..] = bytes.first_chunk::<CHUNK_HEAD>()?;
    Some(([a, b, c, d], u32::from_le_bytes(rest)))
}

/// Reads the first [`FMT_MAX`] bytes (or all) of a `fmt ` chunk, at least [`FMT_MIN`].
///
/// The byte rate and the block size in it are ignored: they follow from the rest, and are often wrong.
pub(super) fn parse_fmt(fmt: &[u8]) -> Result<AudioFormat> {
    let word = |at: usize| {
        let pair = fmt.get(at..).and_then(|rest| rest.first_chunk());
        pair.map_or(0, |&pair| u16::from_le_bytes(pair))
    };
    let rate = u32::from(word(4)) | u32::from(word(6)) << 16;
    let encoding = parse_encoding(word(0), word(14), fmt.get(24..FMT_MAX))?;
    AudioFormat::new(encoding, rate, usize::from(word(2)), Container::Raw)
}

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const ALAW: u16 = 6;
const MULAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;
/// The rest of KSDATAFORMAT_SUBTYPE_*: the first two bytes of such a GUID are a plain format tag.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

fn parse_encoding(tag: u16, bits: u16, guid: Option<&[u8]>) -> Result<Encoding> {
    match (tag, bits) {
        (PCM, 16) => Ok(Encoding::PcmS16le),
        (PCM, 24) => Ok(Encoding::PcmS24le),
        (PCM, 32) => Ok(Encoding::PcmS32le),
        (FLOAT, 32) => Ok(Encoding::PcmF32le),
        (ALAW, 8) => Ok(Encoding::Alaw),
        (MULAW, 8) => Ok(Encoding::Mulaw),
        (EXTENSIBLE, _) => match guid {
            // A sub-format that is EXTENSIBLE again would recurse.
            Some(&[low, high, ref tail @ ..])
                if *tail == GUID_TAIL && [low, high] != EXTENSIBLE.to_le_bytes() =>
            {
                parse_encoding(u16::from_le_bytes([low, high]), bits, None)
            }
            Some(guid) => unsupported(format!("sub-format GUID {}", hex(guid))),
            None => unsupported("WAVE_FORMAT_EXTENSIBLE without a sub-format".to_owned()),
        },
        (PCM, _) => unsupported(format!("{bits}-bit PCM")),
        (FLOAT, _) => unsupported(format!("{bits}-bit float")),
        (ALAW, _) => unsupported(format!("{bits}-bit A-law")),
        (MULAW, _) => unsupported(format!("{bits}-bit mu-law")),
        _ => unsupported(format!("format tag {tag:#06x} of {bits} bits")),
    }
}

fn unsupported(got: String) -> Result<Encoding> {
    let expected = "16, 24 or 32-bit PCM, 32-bit float, 8-bit mu-law or 8-bit A-law";
    Err(Error::Unsupported { what: "wav samples", expected, got })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
