//! The plain part of a message, read by hand; whatever is not plain goes to the exact walk.
//!
//! It must never accept what the walk would not: it knows a subset of JSON, in which keys and strings
//! are printable ASCII without escapes. Between the tokens of a usual message the walk spends most of
//! its time on what does not occur there. Two ideas:
//!
//! * The objects on the way to what is wanted have known keys, so a key is compared, not read. Every
//!   value that is not plain, and every array, is given to a [`Walk`].
//! * The audio is nearly all of the message. Its text is stepped over, and every byte of it is left to
//!   the strict base64 decoder: text that it accepts holds no quote, backslash or control character
//!   and is ASCII, so it is a JSON string as it stands, and the decoder's pass over it is the only one.

use super::{ROOT, SHALLOW, Scan, Scanner, Slot, Value, Walk};
use memchr::{memchr, memrchr_iter};
use std::borrow::Cow;

/// `key` in quotes, if it is plain.
pub(super) fn quoted(key: &str) -> Option<Vec<u8>> {
    let plain = key.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte));
    plain.then(|| [b"\"", key.as_bytes(), b"\""].concat())
}

/// Reads the whole message into `found`. `None`: only the exact walk can tell.
pub(super) fn read<'m>(scanner: &Scanner, message: &'m [u8], found: &mut Scan<'m>) -> Option<()> {
    let mut reader = Reader { scanner, rest: message, found };
    reader.space();
    reader.object(ROOT, 1)?;
    reader.space();
    reader.rest.is_empty().then_some(())
}

struct Reader<'s, 'm> {
    scanner: &'s Scanner,
    rest: &'m [u8],
    found: &'s mut Scan<'m>,
}

impl<'m> Reader<'_, 'm> {
    /// An object of which something is wanted, the outermost being at depth 1.
    fn object(&mut self, node: usize, depth: usize) -> Option<()> {
        if depth > SHALLOW {
            return None;
        }
        self.eat(b"{")?;
        self.space();
        if self.eat(b"}").is_some() {
            return Some(());
        }
        loop {
            let child = self.key(node)?;
            self.space();
            self.eat(b":")?;
            self.space();
            self.value(child, depth)?;
            self.space();
            match self.rest.split_first()? {
                (b',', rest) => self.rest = rest,
                (b'}', rest) => {
                    self.rest = rest;
                    return Some(());
                }
                _ => return None,
            }
            self.space();
        }
    }

    /// A key of the object at `node`: the node below it, if anything there is wanted.
    fn key(&mut self, node: usize) -> Option<Option<usize>> {
        let letter = *self.rest.get(1)?;
        for child in &self.scanner.nodes[node].children {
            if child.letter == letter
                && let Some(quoted) = &child.quoted
                && self.eat(quoted).is_some()
            {
                return Some(Some(child.node));
            }
        }
        self.text().map(|_| None)
    }

    fn value(&mut self, node: Option<usize>, depth: usize) -> Option<()> {
        let mut here: &[Slot] = &[];
        if let Some(node) = node {
            let node = &self.scanner.nodes[node];
            // Of two texts only the last would be decoded, and the first never checked.
            if node.audio_below && self.found.audio.is_some() {
                return None;
            }
            self.found.forget(&node.below);
            here = &node.here;
        }
        let value = match (self.rest.first()?, node, here) {
            (b'{', Some(node), _) => return self.object(node, depth + 1),
            (b'"', _, [Slot::Audio]) => return self.step_over(),
            // Also wanted as a field: rare.
            (b'"', _, here) if here.iter().any(|slot| matches!(slot, Slot::Audio)) => return None,
            (b'"', ..) => match self.text() {
                Some(_) if here.is_empty() => return Some(()),
                Some(text) => Value::Str(Cow::Borrowed(std::str::from_utf8(text).ok()?)),
                None => return self.walk(node, depth),
            },
            (b't', ..) => self.eat(b"true").map(|()| Value::Bool(true))?,
            (b'f', ..) => self.eat(b"false").map(|()| Value::Bool(false))?,
            (b'n', ..) => self.eat(b"null").map(|()| Value::Null)?,
            _ => return self.walk(node, depth),
        };
        self.found.keep(here, &value);
        Some(())
    }

    /// Any value, read exactly.
    fn walk(&mut self, node: Option<usize>, depth: usize) -> Option<()> {
        let mut walk = Walk::new(self.scanner, self.rest, depth, node, self.found);
        walk.run().ok()?;
        let read = walk.json.current_index();
        self.rest = self.rest.get(read..)?;
        Some(())
    }

    /// Takes the audio's text, up to what seems to be its closing quote.
    fn step_over(&mut self) -> Option<()> {
        let rest = self.rest.get(1..)?;
        let (text, behind) = rest.split_at_checked(closing_quote(rest)?)?;
        self.found.audio = Some(Cow::Borrowed(text));
        self.rest = behind.get(1..)?;
        Some(())
    }

    /// A short plain string.
    fn text(&mut self) -> Option<&'m [u8]> {
        let rest = self.rest.strip_prefix(b"\"")?;
        let (text, behind) = rest.split_at_checked(plain_len(rest)?)?;
        self.rest = behind.get(1..)?;
        Some(text)
    }

    fn eat(&mut self, token: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn space(&mut self) {
        let space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        // Nearly always there is none, or one.
        while self.rest.first().is_some_and(|byte| *byte <= b' ' && space(byte)) {
            self.rest = &self.rest[1..];
        }
    }
}

/// Words of a string that are looked at before it counts as long.
const WORDS: usize = 8;
const ONES: u64 = u64::from_le_bytes([1; 8]);
const TOPS: u64 = u64::from_le_bytes([0x80; 8]);

/// Length of the string that `rest` begins behind the quote of, if it is short and plain.
fn plain_len(rest: &[u8]) -> Option<usize> {
    for (index, word) in rest.as_chunks().0.iter().take(WORDS).enumerate() {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            let place = stops.trailing_zeros() as usize / 8;
            return (word[place] == b'"').then_some(index * 8 + place);
        }
    }
    None
}

/// The lowest bit that is set is the top bit of the first byte that is not plain text. Higher ones may err.
fn stops(word: u64) -> u64 {
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (is(b'"') | is(b'\\') | below(word, b' ') | word) & TOPS
}

/// In a longer text than this, the closing quote is sought from the end first.
const LONG: usize = 4_096;
/// So close to the end of a message it is sought there, behind so many symbols of base64.
const TAIL: usize = 1_024;
const SYMBOLS: usize = 32;

/// Where the base64 text at the front of `rest` ends.
///
/// A guess: if the text before that place proves to be base64, it holds no quote and the guess is right.
/// From the end of the message it costs no pass over the text.
fn closing_quote(rest: &[u8]) -> Option<usize> {
    from_the_end(rest).or_else(|| memchr(b'"', rest))
}

fn from_the_end(rest: &[u8]) -> Option<usize> {
    let start = rest.len().checked_sub(TAIL).filter(|_| rest.len() > LONG)?;
    memrchr_iter(b'"', rest.get(start..)?).map(|place| start + place).find(|&place| {
        let before = rest.get(place - SYMBOLS..place).unwrap_or_default();
        before.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    })
}
