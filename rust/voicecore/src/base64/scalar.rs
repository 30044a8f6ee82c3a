//! The scalar base64 decoder: the specification of the decoded bytes and of the place of a fault.
//!
//! It must never know the length of the caller's buffer: the front door passes exact slices.
//! Source: RFC 4648 section 4; the four shifted tables are the usual table-per-position decoder.

use super::{GROUP, GROUP_BYTES};
use crate::{Error, Result};

/// The padding character.
pub(super) const PAD: u8 = b'=';
pub(super) const ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Set in a table entry whose byte is no symbol; above the 24 bits of a group.
const BAD: u32 = 1 << 31;
/// `TABLES[place][byte]`: the six bits of `byte`, shifted to where that place of a group wants them.
static TABLES: [[u32; 256]; GROUP] = [table(18), table(12), table(6), table(0)];

const fn table(shift: u32) -> [u32; 256] {
    let mut table = [BAD; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        table[ALPHABET[value] as usize] = (value as u32) << shift;
        value += 1;
    }
    table
}

/// Decodes whole groups, of which the first `done` bytes of text are behind; `out` has exactly the
/// length that the padding of `text` promises.
pub(super) fn decode(text: &[u8], done: usize, out: &mut [u8]) -> Result<()> {
    let valid = decode_rest(
        text.get(done..).unwrap_or_default(),
        out.get_mut(done / GROUP * GROUP_BYTES..).unwrap_or_default(),
    );
    if valid { Ok(()) } else { Err(first_fault(text, done)) }
}

/// False if there is any fault.
fn decode_rest(text: &[u8], out: &mut [u8]) -> bool {
    // The last group may be padded, so it takes the careful path.
    let Some((full, last)) = text.split_last_chunk() else { return true };
    let (front, tail) = out.split_at_mut((full.len() / GROUP * GROUP_BYTES).min(out.len()));
    decode_full(full, front) && decode_last(last, tail)
}

/// Decodes whole groups without padding; false if there is any fault.
pub(super) fn decode_full(text: &[u8], out: &mut [u8]) -> bool {
    let mut seen = 0;
    for (group, cell) in text.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        let bits = join(group);
        seen |= bits;
        let [_, high, middle, low] = bits.to_be_bytes();
        *cell = [high, middle, low];
    }
    // One test per text instead of one per group: a fault is rare and its place is found afterwards.
    seen & BAD == 0
}

fn join(&[first, second, third, fourth]: &[u8; GROUP]) -> u32 {
    let [t0, t1, t2, t3] = &TABLES;
    t0[usize::from(first)]
        | t1[usize::from(second)]
        | t2[usize::from(third)]
        | t3[usize::from(fourth)]
}

/// Decodes the last group, padding and all; false if it has any fault.
fn decode_last(&[first, second, third, fourth]: &[u8; GROUP], out: &mut [u8]) -> bool {
    // A padded place counts as "A" (zero bits): `out` is shorter by exactly the padding.
    let symbols = match out.len() {
        1 => [first, second, b'A', b'A'],
        2 => [first, second, third, b'A'],
        _ => [first, second, third, fourth],
    };
    let [bad, high, middle, low] = join(&symbols).to_be_bytes();
    let unused = match out {
        [one] => {
            *one = high;
            middle | low
        }
        [one, two] => {
            (*one, *two) = (high, middle);
            low
        }
        [one, two, three] => {
            (*one, *two, *three) = (high, middle, low);
            0
        }
        _ => return false,
    };
    bad | unused == 0
}

/// What the bytes so far allow to come next.
enum State {
    /// Inside a group, `place` symbols in; `unused` are the last symbol's bits that padding would cut.
    Group { place: usize, unused: bool },
    /// After the first of two padding characters.
    HalfPadded,
    /// After the padding.
    End,
}

/// Finds the first fault of a text that is known to have one; one byte at a time, on the cold path.
///
/// The first `done` bytes are known to be whole groups of symbols.
#[cold]
pub(super) fn first_fault(text: &[u8], done: usize) -> Error {
    let mut state = State::Group { place: 0, unused: false };
    for (offset, &byte) in text.iter().enumerate().skip(done) {
        match advance(state, byte) {
            Ok(next) => state = next,
            // The fault is in the symbol before the padding, not in the padding.
            Err(UNUSED_BITS) => return fault(offset.saturating_sub(1), UNUSED_BITS),
            Err(reason) => return fault(offset, reason),
        }
    }
    fault(text.len(), "the text ends inside a group: expected a length that is a multiple of 4")
}

const UNUSED_BITS: &str = "the unused bits of the last symbol are not zero";

fn advance(state: State, byte: u8) -> std::result::Result<State, &'static str> {
    let bits = TABLES[GROUP - 1][usize::from(byte)];
    match state {
        State::End => Err("expected the end of the text after the padding"),
        State::HalfPadded if byte == PAD => Ok(State::End),
        State::HalfPadded => Err("expected a second padding character"),
        State::Group { place: 2 | 3, unused: true } if byte == PAD => Err(UNUSED_BITS),
        State::Group { place: 2, .. } if byte == PAD => Ok(State::HalfPadded),
        State::Group { place: 3, .. } if byte == PAD => Ok(State::End),
        State::Group { .. } if byte == PAD => Err("padding where a symbol is needed"),
        State::Group { .. } if bits == BAD => Err("not a symbol of the standard alphabet"),
        State::Group { place: 1, .. } => Ok(State::Group { place: 2, unused: bits & 0xf != 0 }),
        State::Group { place: 2, .. } => Ok(State::Group { place: 3, unused: bits & 0x3 != 0 }),
        State::Group { place, .. } => {
            Ok(State::Group { place: (place + 1) % GROUP, unused: false })
        }
    }
}

fn fault(offset: usize, reason: &'static str) -> Error {
    Error::Base64 { offset, reason }
}
