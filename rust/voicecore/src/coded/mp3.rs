//! Finds the frames of an MP3 stream as it arrives: any cut of the stream gives the same frames.
//!
//! It must never decode. The rules:
//!
//! 1. A frame is believed at once if it stands at the beginning, behind a tag, or where the frame before
//!    it ends and agrees with that in rate and channels. So no frame waits for its successor.
//! 2. Anywhere else bytes are skipped, and counted, up to a frame whose end is the start of another frame
//!    that agrees with it, of a tag, or the end of the stream.
//! 3. ID3v2 and v1 and APEv2 tags are skipped by their size, and not counted.
//! 4. A Xing/LAME tag begins a new file (vendors send one per chunk): its decoding begins afresh, and its
//!    delay and padding are no audio. Frames behind the declared end are audio again.
//! 5. A stream that changes its rate or channels is an error, and one without any frame.
//!
//! Free-format frames (no bit rate in the header) are not followed.

use super::header::{FRAME_MAX, HEADER, Header, Tag, Trim};
use super::held::Held;
use super::{Packet, PacketSink, Setup};
use crate::{Error, Result};

/// Bytes that decide in any state: the longest frame, and the longest start of what follows.
const ENOUGH: usize = FRAME_MAX + 32;

/// The state of one stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Framer {
    held: Held,
    find: Find,
    failed: Option<Error>,
    /// Bytes that were no frame and no tag.
    pub skipped: u64,
    /// Bytes of a frame that the stream's end cut.
    pub dangling: u64,
}

/// All but the bytes that wait.
#[derive(Debug, Clone, Default)]
struct Find {
    /// In a tag: bytes of it that are still to come.
    tag: u64,
    /// The next byte is not known to be a frame's first.
    lost: bool,
    /// The first frame's header.
    first: Option<Header>,
    /// The next packet needs nothing from those before it.
    fresh: bool,
    trim: Trim,
    /// Frames of the file so far.
    position: u64,
    skipped: u64,
    /// Stream offset of the next byte.
    offset: u64,
}

impl Framer {
    pub(super) fn feed(&mut self, data: &[u8], sink: &mut impl PacketSink) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)?;
        let find = &mut self.find;
        let result = self.held.feed(data, ENOUGH, |bytes| find.read(bytes, sink));
        self.settle(result)
    }

    pub(super) fn finish(&mut self, sink: &mut impl PacketSink) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)?;
        let rest = self.held.take();
        let result = self.find.finish(&rest, sink).map(|dangling| self.dangling += dangling);
        self.settle(result)
    }

    fn settle(&mut self, result: Result<()>) -> Result<()> {
        self.skipped += std::mem::take(&mut self.find.skipped);
        self.failed = result.as_ref().err().cloned();
        result
    }
}

impl Find {
    /// Reads as far as `input` allows; returns the bytes used.
    fn read(&mut self, input: &[u8], sink: &mut impl PacketSink) -> Result<usize> {
        let mut used = 0;
        while let Some(count) = self.step(&input[used..], sink)? {
            used += count;
            self.offset += count as u64;
        }
        Ok(used)
    }

    /// The bytes used by one step, or `None` if it takes more to decide.
    fn step(&mut self, input: &[u8], sink: &mut impl PacketSink) -> Result<Option<usize>> {
        if input.is_empty() {
            return Ok(None);
        }
        if self.tag > 0 {
            let count = self.tag.min(input.len() as u64);
            self.tag -= count;
            return Ok(Some(count as usize));
        }
        if self.lost { self.search(input, sink) } else { self.next(input, sink) }
    }

    /// Where a frame is expected.
    fn next(&mut self, input: &[u8], sink: &mut impl PacketSink) -> Result<Option<usize>> {
        match Tag::parse(input) {
            Tag::Skip(len) => self.tag = len,
            Tag::Undecided => return Ok(None),
            Tag::No if input[0] == 0xff && input.len() < HEADER => return Ok(None),
            Tag::No => match Header::parse(input) {
                Some(header) if self.first.is_none_or(|first| first.agrees(header)) => {
                    let Some(frame) = input.get(..header.len) else { return Ok(None) };
                    self.emit(header, frame, sink)?;
                    return Ok(Some(header.len));
                }
                _ => self.lost = true,
            },
        }
        Ok(Some(0))
    }

    /// Where anything can stand.
    fn search(&mut self, input: &[u8], sink: &mut impl PacketSink) -> Result<Option<usize>> {
        for (at, &byte) in input.iter().enumerate() {
            let rest = &input[at..];
            match byte {
                0xff if rest.len() < HEADER => return Ok(self.skip(at)),
                0xff => {}
                b'I' => match Tag::id3v2(rest) {
                    Tag::Skip(_) => return Ok(self.found(at)),
                    Tag::Undecided => return Ok(self.skip(at)),
                    Tag::No => continue,
                },
                _ => continue,
            }
            let Some(header) = Header::parse(rest) else { continue };
            match rest.get(header.len..).map(|behind| confirms(header, behind)) {
                None | Some(Tag::Undecided) => return Ok(self.skip(at)),
                Some(Tag::No) => {}
                Some(Tag::Skip(_)) => {
                    self.found(at);
                    self.emit(header, &rest[..header.len], sink)?;
                    return Ok(Some(at + header.len));
                }
            }
        }
        Ok(self.skip(input.len()))
    }

    /// Skips `count` bytes; `None` if there are none to skip.
    fn skip(&mut self, count: usize) -> Option<usize> {
        self.skipped += count as u64;
        // Something is missing, so the next frame cannot go on from the last one.
        self.fresh |= count > 0;
        (count > 0).then_some(count)
    }

    /// A frame or a tag begins behind `count` bytes.
    fn found(&mut self, count: usize) -> Option<usize> {
        self.skip(count);
        self.lost = false;
        Some(count)
    }

    fn emit(&mut self, header: Header, frame: &[u8], sink: &mut impl PacketSink) -> Result<()> {
        let (sample_rate, channels) = (header.sample_rate, header.channels);
        if let Some(first) = self.first
            && !first.agrees(header)
        {
            let name = |of: Header| format!("mp3 {} Hz {} ch", of.sample_rate, of.channels);
            return Err(Error::FormatChanged { expected: name(first), got: name(header) });
        }
        let tag = Trim::parse(header, frame);
        if self.first.is_none() || self.fresh || tag.is_some() {
            sink.begin(Setup { sample_rate, channels, gain_q8: 0 })?;
        }
        self.first = Some(header);
        self.fresh = false;
        if let Some(trim) = tag {
            (self.trim, self.position) = (trim, 0);
            return Ok(());
        }
        let keep = self.audio(header.frames);
        let bytes = if header.is_mixed_at_8k(frame) { &[] } else { frame };
        sink.packet(Packet { bytes, frames: header.frames, keep })
    }

    /// The part of the next `frames` frames that is audio.
    fn audio(&mut self, frames: usize) -> std::ops::Range<usize> {
        let begin = self.position;
        self.position += frames as u64;
        let within = |at: u64| at.clamp(begin, self.position) - begin;
        let start = within(self.trim.start);
        let stop = match self.trim.padding {
            Some((last, end)) if begin < end => within(last),
            _ => frames as u64,
        };
        start as usize..stop.max(start) as usize
    }

    /// The stream ends with `rest`, which could not be decided; returns the bytes of a cut frame in it.
    fn finish(&mut self, rest: &[u8], sink: &mut impl PacketSink) -> Result<u64> {
        let dangling = match rest.first() {
            Some(0xff) if !self.lost => rest.len() as u64,
            _ => {
                self.last(rest, sink)?;
                0
            }
        };
        if self.first.is_none() && self.offset + rest.len() as u64 > 0 {
            let reason = "expected an MP3 frame, got none".to_owned();
            return Err(Error::Container { container: "mp3", offset: self.offset, reason });
        }
        Ok(dangling)
    }

    /// Behind skipped bytes, a frame that ends with the stream is believed.
    fn last(&mut self, rest: &[u8], sink: &mut impl PacketSink) -> Result<()> {
        let ends =
            |at: &usize| Header::parse(&rest[*at..]).is_some_and(|h| h.len == rest.len() - at);
        let at = (0..rest.len()).find(ends);
        self.found(at.unwrap_or(rest.len()));
        match at.and_then(|at| Some((Header::parse(&rest[at..])?, &rest[at..]))) {
            Some((header, frame)) => self.emit(header, frame, sink),
            None => Ok(()),
        }
    }
}

/// Whether `behind` is what may follow a frame with `header`: `Skip` if so.
fn confirms(header: Header, behind: &[u8]) -> Tag {
    match Tag::parse(behind) {
        Tag::No if behind.len() < HEADER => Tag::Undecided,
        Tag::No => match Header::parse(behind) {
            Some(next) if next.agrees(header) => Tag::Skip(0),
            _ => Tag::No,
        },
        tag => tag,
    }
}
