//! Finds the Opus packets of an Ogg stream as it arrives: any cut of the stream gives the same packets.
//!
//! It must never decode. Sources: RFC 7845 (Opus in Ogg), RFC 6716 section 3 (a packet's length). The
//! rules, where the RFCs leave a choice:
//!
//! 1. A page with a wrong checksum is no page. What is no page is skipped, and counted. A page may begin in a
//!    broken one, so only its magic is skipped; but once too much was checksummed in vain ([`VAIN`]), all of it.
//! 2. Every `OpusHead` begins a new stream, whatever its serial number: its decoding begins afresh, its
//!    pre-skip and its end are trimmed by themselves. Vendors send a whole file per chunk. The number of
//!    channels must stay.
//! 3. Pages of other logical streams are skipped, and counted, and so is what comes before the first `OpusHead`.
//!    A stream that begins with another codec, or has no Opus to its end, is an error.
//! 4. A packet that is empty or cannot be followed counts as lost, and lasts as long as the one before.
//! 5. A hole in the page numbers or in the granule positions is made up for, up to [`GAP_MAX`].

use super::held::Held;
use super::ogg::{self, Found, PAGE_MAX, Page, Piece};
use super::{OPUS_RATE, Packet, PacketSink, Setup};
use crate::{Error, Result};

/// Most frames that are made up for one hole: 120 ms, behind which concealment is silence anyway.
const GAP_MAX: usize = 5_760;
/// Concealment goes by 2.5 ms.
const GAP_UNIT: usize = 120;
/// Bytes of the longest packet: 48 frames of 1275 bytes, their lengths, and padding beyond reason.
const PACKET_MAX: usize = 65_536;

/// Bytes that may be checksummed in vain, for each byte of the stream, and besides: so that a stream made of
/// false heads takes time in proportion to its length.
const VAIN: (u64, u64) = (16, 4 << 20);

/// The state of one physical stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Framer {
    held: Held,
    links: Links,
    failed: Option<Error>,
    /// Bytes that were no page of an Opus stream.
    pub skipped: u64,
    /// Bytes of a page that the stream's end cut.
    pub dangling: u64,
}

/// All but the bytes that wait.
#[derive(Debug, Clone, Default)]
struct Links {
    link: Option<Link>,
    /// Of the first stream; the others must agree.
    channels: Option<usize>,
    /// Stream offset of the next page.
    offset: u64,
    /// Bytes that were checksummed in vain.
    vain: u64,
    /// A stream of something else has begun.
    foreign: bool,
}

/// One logical stream.
#[derive(Debug, Clone)]
struct Link {
    serial: u32,
    /// Number of the next page.
    sequence: u32,
    /// The comment header is still to come, or to end.
    header: bool,
    /// Frames of pre-skip that are left.
    skip: usize,
    /// Granule position of the last page.
    position: Option<u64>,
    /// Length of the last packet.
    last: usize,
    /// The beginning of a packet that the next page goes on with; `None` if that is lost.
    partial: Option<Vec<u8>>,
}

impl Framer {
    pub(super) fn feed(&mut self, data: &[u8], sink: &mut impl PacketSink) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)?;
        let (links, skipped) = (&mut self.links, &mut self.skipped);
        let result = self.held.feed(data, PAGE_MAX, |bytes| read(bytes, links, skipped, sink));
        self.failed = result.as_ref().err().cloned();
        result
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)?;
        let rest = self.held.take().len() as u64;
        self.dangling += rest;
        if self.links.link.is_some() || self.links.offset + rest == 0 {
            return Ok(());
        }
        let fault = self.links.fault("expected a page of an Opus stream, got none".to_owned());
        self.failed = Some(fault.clone());
        Err(fault)
    }
}

/// Reads as far as `input` allows; returns the bytes used.
fn read(
    input: &[u8],
    links: &mut Links,
    skipped: &mut u64,
    sink: &mut impl PacketSink,
) -> Result<usize> {
    let mut used = 0;
    loop {
        let count = match ogg::find(&input[used..]) {
            Found::Undecided => return Ok(used),
            Found::Junk(count) => {
                *skipped += count as u64;
                count
            }
            Found::Broken(len) => {
                let count = links.broken(len);
                *skipped += count as u64;
                count
            }
            Found::Page(page, count) => {
                let ours = links.page(page, sink)?;
                *skipped += if ours { 0 } else { count as u64 };
                count
            }
        };
        used += count;
        links.offset += count as u64;
    }
}

impl Links {
    /// How much of a broken page of `len` bytes is skipped.
    fn broken(&mut self, len: usize) -> usize {
        self.vain += len as u64;
        let patient = self.vain <= VAIN.0 * self.offset + VAIN.1;
        if patient { ogg::MAGIC.len() } else { len }
    }

    /// Takes a page; returns whether it is of an Opus stream.
    fn page(&mut self, page: Page<'_>, sink: &mut impl PacketSink) -> Result<bool> {
        if page.begins {
            return self.begin(page, sink);
        }
        match &mut self.link {
            None if self.foreign => {
                Err(self.fault("expected an OpusHead, got a stream of another codec".to_owned()))
            }
            None => Ok(false),
            Some(link) if link.serial != page.serial => Ok(false),
            Some(link) => link.page(page, sink).map(|()| true),
        }
    }

    fn begin(&mut self, page: Page<'_>, sink: &mut impl PacketSink) -> Result<bool> {
        let Some(head) = page.body.strip_prefix(b"OpusHead") else {
            self.foreign = true;
            return Ok(false);
        };
        let (setup, skip) = self.head(head)?;
        if let Some(channels) = self.channels
            && channels != setup.channels
        {
            let name = |channels: usize| format!("opus {channels} ch");
            let (expected, got) = (name(channels), name(setup.channels));
            return Err(Error::FormatChanged { expected, got });
        }
        self.channels = Some(setup.channels);
        sink.begin(setup)?;
        self.link = Some(Link {
            serial: page.serial,
            sequence: page.sequence.wrapping_add(1),
            header: true,
            skip,
            position: None,
            last: 960,
            partial: None,
        });
        Ok(true)
    }

    /// What stands behind the magic of an `OpusHead`: the setup and the pre-skip.
    fn head(&self, head: &[u8]) -> Result<(Setup, usize)> {
        let Some(&[version, channels, a, b, _, _, _, _, c, d, family]) = head.first_chunk() else {
            return Err(
                self.fault(format!("expected an OpusHead of 19 bytes, got {}", head.len() + 8))
            );
        };
        if version >> 4 != 0 {
            return Err(self.fault(format!("expected OpusHead version 0 or 1, got {version}")));
        }
        if family != 0 || !(1..=2).contains(&channels) {
            let got = format!("{channels} channels in mapping family {family}");
            let (what, expected) = ("opus channels", "1 or 2 in mapping family 0");
            return Err(Error::Unsupported { what, expected, got });
        }
        let (channels, gain_q8) = (usize::from(channels), i16::from_le_bytes([c, d]));
        let setup = Setup { sample_rate: OPUS_RATE, channels, gain_q8 };
        Ok((setup, usize::from(u16::from_le_bytes([a, b]))))
    }

    fn fault(&self, reason: String) -> Error {
        Error::Container { container: "ogg", offset: self.offset, reason }
    }
}

impl Link {
    fn page(&mut self, page: Page<'_>, sink: &mut impl PacketSink) -> Result<()> {
        let lost = page.sequence != self.sequence;
        self.sequence = page.sequence.wrapping_add(1);
        if lost || !page.continued {
            self.partial = None;
        }
        let mut pieces = page.pieces().peekable();
        if page.continued && self.partial.is_none() && !self.header {
            // Its beginning is lost.
            pieces.next();
        }
        if self.header {
            // The comments: never kept, since they may be long.
            self.header = pieces.next().is_none_or(|piece| !piece.whole);
        }
        let pieces = pieces.collect::<smallvec::SmallVec<[Piece<'_>; 64]>>();
        let total = self.frames_of(&pieces);
        if total == 0 {
            return self.packets(&pieces, 0, sink);
        }
        let begin = self
            .position
            .unwrap_or_else(|| page.granule.map_or(0, |end| end.saturating_sub(total as u64)));
        let end = page.granule.unwrap_or(begin + total as u64);
        self.position = Some(end);
        let due = usize::try_from(end.saturating_sub(begin)).unwrap_or(usize::MAX);
        self.conceal(due.saturating_sub(total), sink)?;
        // Only the last page may end before its packets do.
        let audio = if page.ends { due.min(total) } else { total };
        self.packets(&pieces, audio, sink)
    }

    /// What the packets that end in a page last together.
    fn frames_of(&self, pieces: &[Piece<'_>]) -> usize {
        let mut last = self.last;
        let first = self.partial.as_deref().filter(|partial| !partial.is_empty());
        let whole = pieces.iter().enumerate().filter(|(_, piece)| piece.whole);
        let lens = whole.map(|(index, piece)| {
            // Both bytes that tell a packet's length may be cut off from each other.
            let joint: smallvec::SmallVec<[u8; 2]> = match (index, first) {
                (0, Some(partial)) => partial.iter().chain(piece.bytes).take(2).copied().collect(),
                _ => piece.bytes.iter().take(2).copied().collect(),
            };
            last = frames(&joint).unwrap_or(last);
            last
        });
        lens.sum()
    }

    /// Passes the packets on; the first `audio` frames of what they last together are audio.
    fn packets(
        &mut self,
        pieces: &[Piece<'_>],
        mut audio: usize,
        sink: &mut impl PacketSink,
    ) -> Result<()> {
        for piece in pieces {
            let partial = self.partial.take();
            if !piece.whole {
                let mut begun = partial.unwrap_or_default();
                begun.extend_from_slice(piece.bytes);
                self.partial = (begun.len() <= PACKET_MAX).then_some(begun);
                continue;
            }
            match partial {
                Some(mut begun) => {
                    begun.extend_from_slice(piece.bytes);
                    self.packet(&begun, &mut audio, sink)?;
                }
                None => self.packet(piece.bytes, &mut audio, sink)?,
            }
        }
        Ok(())
    }

    fn packet(
        &mut self,
        bytes: &[u8],
        audio: &mut usize,
        sink: &mut impl PacketSink,
    ) -> Result<()> {
        let known = frames(bytes);
        let frames = known.unwrap_or(self.last);
        self.last = frames;
        let stop = frames.min(*audio);
        *audio -= stop;
        self.emit(if known.is_some() { bytes } else { &[] }, frames, stop, sink)
    }

    /// Makes up for a hole of `missing` frames.
    fn conceal(&mut self, missing: usize, sink: &mut impl PacketSink) -> Result<()> {
        let frames = missing.min(GAP_MAX) / GAP_UNIT * GAP_UNIT;
        if frames == 0 { Ok(()) } else { self.emit(&[], frames, frames, sink) }
    }

    fn emit(
        &mut self,
        bytes: &[u8],
        frames: usize,
        stop: usize,
        sink: &mut impl PacketSink,
    ) -> Result<()> {
        let start = self.skip.min(frames);
        self.skip -= start;
        sink.packet(Packet { bytes, frames, keep: start.min(stop)..stop })
    }
}

/// What a packet decodes to, at 48 kHz, by its first two bytes; `None` if that is against the rules.
fn frames(packet: &[u8]) -> Option<usize> {
    let toc = *packet.first()?;
    let one = match toc >> 3 {
        config @ 0..12 => [480, 960, 1_920, 2_880][usize::from(config % 4)],
        config @ 12..16 => [480, 960][usize::from(config % 2)],
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => usize::from(packet.get(1)? & 63),
    };
    // 120 ms at most.
    Some(one * count).filter(|frames| (1..=5_760).contains(frames))
}
