//! Reads RIFF/WAVE as it arrives: any cut of the stream gives the same samples.
//!
//! It must never know what the samples become, and never trust a size in a header: vendors repeat
//! the header per chunk, cut it, send it alone, and write 0, 0xFFFFFFFF or byte-swapped sizes into
//! it. Source: `riff.rs`, and the rules below.
//!
//! 1. `RIFF????WAVE`, at any offset of the audio, begins a new header.
//! 2. *End of `data`*: once as much audio has come as the header declared, the next bytes decide. A
//!    known chunk id (`LIST`, `id3 `, `fact`, ...) is skipped by its size, then the next bytes decide
//!    again. Anything else means that the size was a lie: audio goes on, until a new header. So a
//!    placeholder needs no rule of its own: it is reached at once, or never.
//! 3. A chunk of odd size may be followed by a zero byte of padding; it is not audio if rule 1 or 2
//!    finds a header, a chunk, or the end of the stream behind it.
//! 4. A stream that does not begin with `RIFF` is bare samples of the assumed format, if there is one.
//!
//! At most [`HELD_MAX`] bytes are held back, and only while they may be the beginning of a header or a
//! chunk. A stream that ends after `RIFF` but before the header is over is an error.

use super::riff::{self, Follows};
use crate::{AudioFormat, Container, Error, Result};

/// Most bytes that wait for their successors; more than any state needs to decide.
pub const HELD_MAX: usize = 64;
const _: () = assert!(HELD_MAX > riff::FMT_MAX + 1 && HELD_MAX > riff::MASTER + 1);

/// Where audio and headers go.
pub(crate) trait Sink {
    /// The stream's format is known, or a header repeated it: what follows starts on a frame.
    fn header(&mut self, format: AudioFormat);
    /// Sample bytes, cut anywhere.
    fn audio(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn header(&mut self, _: AudioFormat) {}

    fn audio(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// An incremental reader of one WAV stream.
#[derive(Debug, Clone)]
pub struct WavReader {
    assumed: Option<AudioFormat>,
    format: Option<AudioFormat>,
    /// The `fmt ` chunk of the header that is being read.
    fmt: Option<AudioFormat>,
    state: State,
    /// Stream offset of the next undecided byte.
    offset: u64,
    held: [u8; HELD_MAX],
    held_len: usize,
    failed: Option<Error>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing is known yet.
    Start,
    /// In a header, before a chunk; `pad`: the chunk before had an odd size.
    Chunk { pad: bool },
    /// In a header, at the content of `fmt `.
    Fmt { size: u32 },
    /// In a header, in a chunk that does not matter.
    Skip { left: u64, pad: bool },
    /// In the audio; `left` bytes up to the declared end, `None` if that is no longer believed.
    Data { left: Option<u64>, pad: bool },
    /// At the end of `data` or of a chunk behind it.
    End { pad: bool },
    /// Behind the id of a chunk behind `data`.
    TrailerSize,
    /// In a chunk behind `data`.
    Trailer { left: u64, pad: bool },
}

impl WavReader {
    /// `assumed` is what bytes without a header are taken for; `None`: a header is required.
    pub fn new(assumed: Option<AudioFormat>) -> Self {
        let assumed = assumed.map(|format| AudioFormat { container: Container::Raw, ..format });
        Self {
            assumed,
            format: None,
            fmt: None,
            state: State::Start,
            offset: 0,
            held: [0; HELD_MAX],
            held_len: 0,
            failed: None,
        }
    }

    /// Format of the samples (`container` is `Raw`); known once a header was read or assumed.
    pub fn format(&self) -> Option<AudioFormat> {
        self.format
    }

    /// Bytes that wait for their successors.
    pub fn held_bytes(&self) -> usize {
        self.held_len
    }

    /// Takes the next bytes of the stream and appends the sample bytes in it to `sink`.
    ///
    /// # Errors
    /// [`Error::Container`], [`Error::Unsupported`], [`Error::Parameter`] (a rate or channel count out of
    /// range) or [`Error::FormatChanged`]; `sink` then holds the audio before the fault, and every
    /// further call repeats the error until [`reset`](Self::reset).
    pub fn feed(&mut self, data: &[u8], sink: &mut Vec<u8>) -> Result<()> {
        self.feed_to(data, sink)
    }

    /// Ends the stream: appends the bytes that were held back. Call [`reset`](Self::reset) before another.
    ///
    /// # Errors
    /// [`Error::Container`] if the stream ends inside a header, and what [`feed`](Self::feed) failed with.
    pub fn finish(&mut self, sink: &mut Vec<u8>) -> Result<()> {
        self.finish_to(sink)
    }

    /// Forgets the stream; keeps what is assumed of the next one.
    pub fn reset(&mut self) {
        *self = Self::new(self.assumed);
    }

    pub(crate) fn feed_to(&mut self, data: &[u8], sink: &mut impl Sink) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)?;
        let result = self.feed_held(data, sink);
        self.failed = result.as_ref().err().cloned();
        result
    }

    pub(crate) fn finish_to(&mut self, sink: &mut impl Sink) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)?;
        let result = self.release(sink);
        self.failed = result.as_ref().err().cloned();
        result
    }

    /// Decides the held bytes with the help of their successors, then reads `data` in place.
    fn feed_held(&mut self, mut data: &[u8], sink: &mut impl Sink) -> Result<()> {
        while self.held_len > 0 && !data.is_empty() {
            let (before, mut joint) = (self.held_len, self.held);
            let taken = data.len().min(HELD_MAX - before);
            joint[before..before + taken].copy_from_slice(&data[..taken]);
            let joint = &joint[..before + taken];
            let used = self.read(joint, sink)?;
            if used >= before {
                self.held_len = 0;
                data = &data[used - before..];
            } else {
                self.hold(&joint[used..]);
                data = &data[taken..];
            }
        }
        if self.held_len == 0 {
            let used = self.read(data, sink)?;
            self.hold(&data[used..]);
        }
        Ok(())
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held[..bytes.len()].copy_from_slice(bytes);
        self.held_len = bytes.len();
    }

    /// Reads as far as `input` allows; returns the bytes used. What is left is too short to decide.
    fn read(&mut self, input: &[u8], sink: &mut impl Sink) -> Result<usize> {
        let mut used = 0;
        while let Some(count) = self.step(&input[used..], sink)? {
            used += count;
            self.offset += count as u64;
        }
        Ok(used)
    }

    /// One step of the state machine: the bytes used, or `None` if it takes more to decide.
    fn step(&mut self, input: &[u8], sink: &mut impl Sink) -> Result<Option<usize>> {
        match self.state {
            State::Start => self.start(input, sink),
            State::Chunk { pad } => self.chunk(pad, input, sink),
            State::Fmt { size } => self.fmt(size, input),
            State::Skip { left: 0, pad } => Ok(self.enter(State::Chunk { pad }, 0)),
            State::Skip { left, pad } => {
                Ok(self.skip(left, input, |left| State::Skip { left, pad }))
            }
            State::Data { left, pad } => Ok(self.data(left, pad, input, sink)),
            State::End { pad } => Ok(self.end(pad, input)),
            State::TrailerSize => Ok(self.trailer_size(input)),
            State::Trailer { left: 0, pad } => Ok(self.enter(State::End { pad }, 0)),
            State::Trailer { left, pad } => {
                Ok(self.skip(left, input, |left| State::Trailer { left, pad }))
            }
        }
    }

    fn enter(&mut self, state: State, used: usize) -> Option<usize> {
        self.state = state;
        Some(used)
    }

    fn enter_header(&mut self, used: usize) -> Option<usize> {
        self.fmt = None;
        self.enter(State::Chunk { pad: false }, used)
    }

    fn skip(&mut self, left: u64, input: &[u8], next: impl FnOnce(u64) -> State) -> Option<usize> {
        if input.is_empty() {
            return None;
        }
        let count = (input.len() as u64).min(left);
        self.enter(next(left - count), count as usize)
    }

    fn start(&mut self, input: &[u8], sink: &mut impl Sink) -> Result<Option<usize>> {
        let Some(magic) = input.first_chunk::<{ riff::ID }>() else { return Ok(None) };
        if !riff::MAGICS.contains(&magic) {
            return self.start_bare(magic, sink);
        }
        let Some(form) = input.get(8..riff::MASTER) else { return Ok(None) };
        if form != b"WAVE" {
            return Err(
                self.fault(8, format!("expected \"WAVE\", got \"{}\"", form.escape_ascii()))
            );
        }
        if magic != b"RIFF" {
            let expected = "RIFF (little-endian, 32-bit sizes)";
            let got = magic.escape_ascii().to_string();
            return Err(Error::Unsupported { what: "wav header", expected, got });
        }
        Ok(self.enter_header(riff::MASTER))
    }

    fn start_bare(&mut self, first: &[u8], sink: &mut impl Sink) -> Result<Option<usize>> {
        let Some(format) = self.assumed else {
            return Err(
                self.fault(0, format!("expected \"RIFF\", got \"{}\"", first.escape_ascii()))
            );
        };
        self.format = Some(format);
        sink.header(format);
        Ok(self.enter(State::Data { left: None, pad: false }, 0))
    }

    fn chunk(&mut self, pad: bool, input: &[u8], sink: &mut impl Sink) -> Result<Option<usize>> {
        // No id begins with a zero, so a writer that forgot the padding does no harm.
        let pad = usize::from(pad && input.first() == Some(&0));
        let Some((id, size)) = riff::chunk_head(&input[pad..]) else { return Ok(None) };
        let used = pad + riff::CHUNK_HEAD;
        let odd = !size.is_multiple_of(2);
        match &id {
            b"fmt " if (size as usize) < riff::FMT_MIN => {
                let reason = format!("expected a fmt chunk of at least 16 bytes, got {size}");
                Err(self.fault(pad, reason))
            }
            b"fmt " => Ok(self.enter(State::Fmt { size }, used)),
            b"data" => {
                let Some(format) = self.fmt else {
                    return Err(self.fault(pad, "expected a fmt chunk before data".to_owned()));
                };
                sink.header(format);
                let left = Some(u64::from(size));
                Ok(self.enter(State::Data { left, pad: odd }, used))
            }
            id if id.iter().all(|byte| (b' '..=b'~').contains(byte)) => {
                Ok(self.enter(State::Skip { left: u64::from(size), pad: odd }, used))
            }
            id => {
                Err(self.fault(pad, format!("expected a chunk id, got \"{}\"", id.escape_ascii())))
            }
        }
    }

    fn fmt(&mut self, size: u32, input: &[u8]) -> Result<Option<usize>> {
        let wanted = (size as usize).min(riff::FMT_MAX);
        let Some(fmt) = input.get(..wanted) else { return Ok(None) };
        let format = riff::parse_fmt(fmt)?;
        if let Some(first) = self.format
            && first != format
        {
            let (expected, got) = (first.to_string(), format.to_string());
            return Err(Error::FormatChanged { expected, got });
        }
        self.format = Some(format);
        self.fmt = Some(format);
        let left = u64::from(size) - wanted as u64;
        Ok(self.enter(State::Skip { left, pad: !size.is_multiple_of(2) }, wanted))
    }

    fn data(
        &mut self,
        left: Option<u64>,
        pad: bool,
        input: &[u8],
        sink: &mut impl Sink,
    ) -> Option<usize> {
        let header = riff::find_header(input);
        let audio = left.map_or(header, |left| (header as u64).min(left) as usize);
        if audio > 0 {
            sink.audio(&input[..audio]);
        }
        let left = left.map(|left| left - audio as u64);
        if left == Some(0) {
            return self.enter(State::End { pad }, audio);
        }
        if input.len() - header >= riff::MASTER {
            return self.enter_header(header + riff::MASTER);
        }
        self.state = State::Data { left, pad };
        (audio > 0).then_some(audio)
    }

    fn end(&mut self, pad: bool, input: &[u8]) -> Option<usize> {
        let pad = usize::from(pad && input.first() == Some(&0));
        match riff::follows(&input[pad..]) {
            Follows::Undecided => None,
            Follows::Header => self.enter_header(pad + riff::MASTER),
            Follows::Trailer => self.enter(State::TrailerSize, pad + riff::ID),
            Follows::Audio => self.enter(State::Data { left: None, pad: false }, 0),
        }
    }

    fn trailer_size(&mut self, input: &[u8]) -> Option<usize> {
        let size = u32::from_le_bytes(*input.first_chunk()?);
        let (left, pad) = (u64::from(size), !size.is_multiple_of(2));
        self.enter(State::Trailer { left, pad }, 4)
    }

    /// The stream is over: what is held can only be what it looks like so far.
    fn release(&mut self, sink: &mut impl Sink) -> Result<()> {
        let held = self.held;
        let held = &held[..std::mem::take(&mut self.held_len)];
        let padding = matches!(self.state, State::End { pad: true }) && held.starts_with(&[0]);
        let rest = &held[usize::from(padding)..];
        match self.state {
            State::TrailerSize | State::Trailer { .. } => return Ok(()),
            State::Chunk { .. } | State::Fmt { .. } | State::Skip { .. } => return Err(self.cut()),
            // Four bytes that are still undecided here are "RIFF" or a relative.
            _ if rest.len() >= riff::ID => return Err(self.cut()),
            _ if rest.is_empty() => return Ok(()),
            State::Start => self.start_bare(held, sink).map(drop)?,
            State::Data { .. } | State::End { .. } => {}
        }
        sink.audio(held);
        self.offset += held.len() as u64;
        Ok(())
    }

    fn cut(&self) -> Error {
        self.fault(0, "the stream ended inside a header".to_owned())
    }

    fn fault(&self, ahead: usize, reason: String) -> Error {
        Error::Container { container: "wav", offset: self.offset + ahead as u64, reason }
    }
}
