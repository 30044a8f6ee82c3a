//! What the bytes of Ogg mean: pages, their checksum, and the packets laced into them.
//!
//! It must never know what the packets are, or how much of a stream has arrived. Source: RFC 3533.

/// Bytes of a page's fixed head.
const HEAD: usize = 27;
/// Bytes of the longest page.
pub(super) const PAGE_MAX: usize = HEAD + 255 + 255 * 255;
pub(super) const MAGIC: &[u8; 4] = b"OggS";

/// A whole page whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page<'a> {
    /// It begins inside a packet.
    pub continued: bool,
    /// The first page of a logical stream.
    pub begins: bool,
    /// The last one.
    pub ends: bool,
    /// Position at the end of the last packet that ends here; `None` if none does.
    pub granule: Option<u64>,
    pub serial: u32,
    pub sequence: u32,
    lacing: &'a [u8],
    pub body: &'a [u8],
}

/// A packet, or the part of it that is in the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub bytes: &'a [u8],
    /// The packet ends here.
    pub whole: bool,
}

/// What an input begins with.
pub(super) enum Found<'a> {
    /// A page, and its bytes.
    Page(Page<'a>, usize),
    /// So many bytes that are no page.
    Junk(usize),
    /// What says that it is a page of so many bytes, with a wrong checksum.
    Broken(usize),
    /// Too few bytes to tell.
    Undecided,
}

/// Looks for a page.
pub(super) fn find(input: &[u8]) -> Found<'_> {
    let begins = |at: &usize| MAGIC.starts_with(&input[*at..input.len().min(at + MAGIC.len())]);
    match (0..input.len()).find(begins) {
        Some(0) => at_magic(input),
        Some(at) => Found::Junk(at),
        None if input.is_empty() => Found::Undecided,
        None => Found::Junk(input.len()),
    }
}

fn at_magic(input: &[u8]) -> Found<'_> {
    match input.get(4) {
        None => return Found::Undecided,
        Some(0) => {}
        Some(_) => return Found::Junk(MAGIC.len()),
    }
    let Some(head) = input.first_chunk::<HEAD>() else { return Found::Undecided };
    let Some(lacing) = input.get(HEAD..HEAD + usize::from(head[26])) else {
        return Found::Undecided;
    };
    let start = HEAD + lacing.len();
    let len = start + lacing.iter().map(|&lace| usize::from(lace)).sum::<usize>();
    let Some(page) = input.get(..len) else { return Found::Undecided };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if checksum(page) != word(22) {
        return Found::Broken(len);
    }
    let granule = u64::from(word(6)) | u64::from(word(10)) << 32;
    let page = Page {
        continued: head[5] & 1 != 0,
        begins: head[5] & 2 != 0,
        ends: head[5] & 4 != 0,
        // Negative means none.
        granule: (granule >> 63 == 0).then_some(granule),
        serial: word(14),
        sequence: word(18),
        lacing,
        body: &page[start..],
    };
    Found::Page(page, len)
}

impl<'a> Page<'a> {
    /// The packets in it, in order; the first may have begun before, and the last may end behind.
    pub(super) fn pieces(self) -> impl Iterator<Item = Piece<'a>> {
        let (mut lacing, mut body) = (self.lacing, self.body);
        std::iter::from_fn(move || {
            let full = lacing.iter().take_while(|&&lace| lace == 255).count();
            let (whole, laces) = (full < lacing.len(), (full + 1).min(lacing.len()));
            let (mine, rest) = lacing.split_at(laces);
            lacing = rest;
            let len = mine.iter().map(|&lace| usize::from(lace)).sum();
            let (bytes, rest) = body.split_at(len);
            body = rest;
            (laces > 0).then_some(Piece { bytes, whole })
        })
    }
}

/// CRC-32 of the page with its checksum taken for zero.
fn checksum(page: &[u8]) -> u32 {
    let (head, rest) = page.split_at(22);
    [head, &[0; 4], &rest[4..]]
        .into_iter()
        .flatten()
        .fold(0, |crc, &byte| crc << 8 ^ CRC[(crc >> 24) as usize ^ usize::from(byte)])
}

/// Of the polynomial 0x04c11db7, most significant bit first.
static CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc >> 31 == 0 { crc << 1 } else { crc << 1 ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};
