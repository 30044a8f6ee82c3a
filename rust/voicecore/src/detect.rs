//! What a stream is, by its first bytes.
//!
//! It must never know what anyone said that the stream is: it looks for a WAV header, an Ogg stream with
//! Opus in it, and MP3. Bare samples look like nothing.

use crate::coded::{Count, Framing};
use crate::container::WavReader;
use crate::{AudioFormat, Container, Encoding};

/// The format of a stream that begins with `head`; `None` if it is none of these, or cannot be told yet.
///
/// Some kilobytes suffice, behind an ID3 tag. A single MP3 frame is not enough evidence: it takes two, or
/// one that is a Xing tag.
pub fn detect(head: &[u8]) -> Option<AudioFormat> {
    if head.starts_with(b"RIFF") {
        let mut reader = WavReader::new(None);
        // What comes behind the header does not matter, and a cut header has no format.
        let _ = reader.feed(head, &mut Vec::new());
        return reader.format().map(|format| AudioFormat { container: Container::Wav, ..format });
    }
    let (encoding, container) = match head.starts_with(b"OggS") {
        true => (Encoding::Opus, Container::Ogg),
        false => (Encoding::Mp3, Container::Raw),
    };
    let (rate, mut count) = (crate::coded::OPUS_RATE, Count::default());
    let source = AudioFormat { encoding, sample_rate: rate, channels: 1, container };
    // A fault may come behind what was found.
    let _ = Framing::new(source)?.feed(head, &mut count);
    let sure = encoding == Encoding::Opus || count.packets != 1;
    let found = count.format.filter(|_| sure)?;
    Some(AudioFormat { encoding, container, ..found })
}
