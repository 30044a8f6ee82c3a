//! What the bytes of MP3 mean: frame headers, the Xing/LAME tag, and the tags around the audio.
//!
//! It must never know how much of a stream has arrived: it looks at slices. Sources: ISO/IEC 11172-3 and
//! 13818-3 (headers), the de-facto MPEG 2.5; Xing's and LAME's "VBR header" documents; ID3v2.4 section
//! 3.1, ID3v1, APEv2.

/// Bytes of a frame's header.
pub(super) const HEADER: usize = 4;
/// Bytes of the longest frame: 320 kbit/s at 32 kHz, with padding.
pub(super) const FRAME_MAX: usize = 1_441;
/// Frames by which a decoder is late, beyond what the encoder says of itself.
const DECODER_DELAY: u64 = 529;

/// In kbit/s, by the header's index; 0 (free format) and 15 are not followed.
const BIT_RATES_1: [u32; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const BIT_RATES_2: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
const RATES_1: [u32; 3] = [44_100, 48_000, 32_000];

/// The header of a layer III frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub sample_rate: u32,
    pub channels: usize,
    /// Bytes of the frame, with the header.
    pub len: usize,
    /// Frames (of samples) that it decodes to.
    pub frames: usize,
    crc: bool,
}

impl Header {
    /// `None` if `bytes`, at least [`HEADER`] of them, begin with anything else.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[0xff, kind, rates, mode] = bytes.first_chunk()? else { return None };
        // The sync's last three bits, and layer III.
        if kind & 0xe6 != 0xe2 {
            return None;
        }
        let (halvings, bit_rates, frames) = match kind >> 3 & 3 {
            3 => (0, BIT_RATES_1, 1_152),
            2 => (1, BIT_RATES_2, 576),
            0 => (2, BIT_RATES_2, 576),
            _ => return None,
        };
        let bit_rate = *bit_rates.get(usize::from(rates >> 4)).filter(|&&rate| rate > 0)?;
        let sample_rate = RATES_1.get(usize::from(rates >> 2 & 3))? >> halvings;
        let padding = usize::from(rates >> 1 & 1);
        let len = (frames / 8) * bit_rate as usize * 1_000 / sample_rate as usize + padding;
        let channels = if mode >> 6 == 3 { 1 } else { 2 };
        Some(Self { sample_rate, channels, len, frames, crc: kind & 1 == 0 })
    }

    /// Whether `frame` has a mixed block at 8 kHz. No encoder makes them, and minimp3 with all its ports
    /// reads such a block by a table that is longer than the block.
    pub(super) fn is_mixed_at_8k(self, frame: &[u8]) -> bool {
        let bit = |at: usize| {
            let byte = frame.get(HEADER + 2 * usize::from(self.crc) + at / 8);
            byte.is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
        };
        // Side information: 8 + channels bits, then 63 for each channel. A short block is of type 2.
        let channel = |index: usize| 8 + self.channels + 63 * index + 38;
        let mixed = |at: usize| bit(at) && bit(at + 1) && !bit(at + 2) && bit(at + 3);
        self.sample_rate == 8_000 && (0..self.channels).map(channel).any(mixed)
    }

    /// Whether both can stand in one stream.
    pub(super) fn agrees(self, other: Self) -> bool {
        (self.sample_rate, self.channels) == (other.sample_rate, other.channels)
    }
}

/// What of a file is audio, in frames from its first one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trim {
    /// The first frame of audio.
    pub start: u64,
    /// The padding: from the last frame of audio on, up to the end that was declared.
    pub padding: Option<(u64, u64)>,
}

impl Trim {
    /// Reads the tag that encoders put in the place of the first frame; `None` if `frame` is audio.
    pub(super) fn parse(header: Header, frame: &[u8]) -> Option<Self> {
        let side = match (header.frames, header.channels) {
            (1_152, 1) | (576, 2) => 17,
            (1_152, _) => 32,
            _ => 9,
        };
        let tag = frame.get(HEADER + 2 * usize::from(header.crc) + side..)?;
        if !matches!(tag.first_chunk()?, b"Xing" | b"Info") {
            return None;
        }
        Some(Self::of(tag, header.frames as u64).unwrap_or_default())
    }

    /// `None` if the tag does not tell.
    fn of(tag: &[u8], frame: u64) -> Option<Self> {
        let flags = *tag.get(7)?;
        // After flags: frames, bytes, table of contents, quality; each if its flag is set. Then LAME's part.
        let lens = [(1, 4), (2, 4), (4, 100), (8, 4)];
        let present = lens.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, len)| len);
        let lame = tag.get(8 + present.sum::<usize>()..)?;
        let &[a, b, c] = lame.get(21..)?.first_chunk()?;
        // The encoder's name comes first: without it there is no LAME part.
        if lame[0] == 0 {
            return None;
        }
        let delay = u64::from(a) << 4 | u64::from(b >> 4);
        let padding = u64::from(b & 15) << 8 | u64::from(c);
        let count = tag[8..].first_chunk().filter(|_| flags & 1 != 0);
        let end = count.map_or(0, |&count| u64::from(u32::from_be_bytes(count)) * frame);
        let last = end.saturating_sub(padding.saturating_sub(DECODER_DELAY));
        Some(Self { start: delay + DECODER_DELAY, padding: (end > 0).then_some((last, end)) })
    }
}

/// What stands where a frame could begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// A tag of so many bytes.
    Skip(u64),
    /// Too few bytes to tell.
    Undecided,
    /// None.
    No,
}

impl Tag {
    /// Any tag that may stand between frames.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(b'I') => Self::id3v2(bytes),
            Some(b'A') => Self::ape(bytes),
            Some(b'T') if bytes.starts_with(b"TAG+") => Self::Skip(227),
            Some(b'T') if bytes.len() >= 4 && bytes.starts_with(b"TAG") => Self::Skip(128),
            Some(b'T') if bytes.len() < 4 && b"TAG+".starts_with(bytes) => Self::Undecided,
            _ => Self::No,
        }
    }

    /// ID3v2; safe to look for at any byte.
    pub(super) fn id3v2(bytes: &[u8]) -> Self {
        let Some(&[b'I', b'D', b'3', major, revision, flags, size @ ..]) =
            bytes.first_chunk::<10>()
        else {
            return Self::cut(bytes, b"ID3", 10);
        };
        if major == 0xff
            || revision == 0xff
            || flags & 15 != 0
            || size.iter().any(|&byte| byte > 127)
        {
            return Self::No;
        }
        let body = size.iter().fold(0, |sum, &byte| sum << 7 | u64::from(byte));
        let footer = if flags & 16 != 0 { 10 } else { 0 };
        Self::Skip(10 + body + footer)
    }

    /// APEv2, at its header or at a footer that stands alone.
    fn ape(bytes: &[u8]) -> Self {
        let Some(head) = bytes.first_chunk::<32>().filter(|head| head.starts_with(b"APETAGEX"))
        else {
            return Self::cut(bytes, b"APETAGEX", 32);
        };
        let [.., a, b, c, d] = *head.first_chunk::<16>().unwrap_or(&[0; 16]);
        let is_header = head[23] & 0x20 != 0;
        let body = if is_header { u32::from_le_bytes([a, b, c, d]) } else { 0 };
        Self::Skip(32 + u64::from(body))
    }

    /// For bytes that are no whole tag of `len` bytes beginning with `magic`.
    fn cut(bytes: &[u8], magic: &[u8], len: usize) -> Self {
        let seen = bytes.len().min(magic.len());
        let alike = bytes.len() < len && bytes[..seen] == magic[..seen];
        if alike { Self::Undecided } else { Self::No }
    }
}
