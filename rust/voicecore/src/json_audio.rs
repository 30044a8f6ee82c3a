//! Finds one base64 string and a few scalars in a JSON message, in one pass, without a tree.
//!
//! It must never know a vendor's field names: the paths are given. The whole message is validated as
//! one strict RFC 8259 value, whatever part of it is wanted. Source: RFC 8259; `jiter` does the
//! tokens. Duplicate keys: the last one wins, with everything below it, as in Python's `json.loads`.
//!
//! Acceptance is orjson's: no NaN or Infinity, no number beyond the range of a float (`1e999`), no
//! lone surrogate, no byte order mark, no control character in a string, valid UTF-8 throughout,
//! nesting up to [`MAX_DEPTH`]. One exception, `jiter`'s: a number whose integer part has more than
//! 4300 digits is refused even if a negative exponent brings it back into range.

mod light;

use crate::{Error, Result, base64};
use jiter::{Jiter, JiterError, Peek};
use smallvec::SmallVec;
use std::borrow::Cow;

/// Deepest nesting of arrays and objects that is accepted; orjson's limit.
pub const MAX_DEPTH: usize = 1024;

/// The value of one wanted field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'m> {
    /// `null`, absent, or not a scalar.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction and exponent that fits.
    Int(i64),
    /// Every other number.
    Float(f64),
    /// A string, unescaped; borrowed from the message unless it has an escape.
    Str(Cow<'m, str>),
}

/// So many wanted fields need no heap.
const FEW_FIELDS: usize = 4;
/// So many levels of nesting need no heap.
const SHALLOW: usize = 8;

/// What to look for; built once, used for every message.
#[derive(Debug, Clone)]
pub struct Scanner {
    /// A trie of all paths; the root is node 0.
    nodes: Vec<Node>,
    fields: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: Vec<Child>,
    /// What this very path is wanted for.
    here: Vec<Slot>,
    /// What this path and the paths below it are wanted for: a duplicate key clears all of it.
    below: Vec<Slot>,
    /// Whether the audio is among that.
    audio_below: bool,
}

#[derive(Debug, Clone)]
struct Child {
    key: String,
    /// The key as nearly every message spells it; `None` if that takes an escape or more than ASCII.
    quoted: Option<Vec<u8>>,
    /// The byte behind the first quote; it rules out most keys at the price of no call.
    letter: u8,
    node: usize,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Audio,
    Field(usize),
}

const ROOT: usize = 0;

impl Scanner {
    /// `audio` and every element of `fields` are paths of object keys from the top of the message.
    ///
    /// A path does not enter arrays. Fails if a path is empty.
    pub fn new(audio: Vec<String>, fields: Vec<Vec<String>>) -> Result<Self> {
        let mut scanner = Self { nodes: vec![Node::default()], fields: fields.len() };
        scanner.want("audio", audio, Slot::Audio)?;
        for (index, path) in fields.into_iter().enumerate() {
            scanner.want("fields", path, Slot::Field(index))?;
        }
        Ok(scanner)
    }

    fn want(&mut self, what: &'static str, path: Vec<String>, slot: Slot) -> Result<()> {
        if path.is_empty() {
            let expected = "a path of at least one key";
            return Err(Error::Parameter { what, expected, got: "an empty path".to_owned() });
        }
        let mut node = ROOT;
        for key in path {
            node = self.child_or_new(node, key);
            self.nodes[node].below.push(slot);
            self.nodes[node].audio_below |= matches!(slot, Slot::Audio);
        }
        self.nodes[node].here.push(slot);
        Ok(())
    }

    fn child_or_new(&mut self, node: usize, key: String) -> usize {
        if let Some(child) = self.child(node, &key) {
            return child;
        }
        let child = self.nodes.len();
        self.nodes.push(Node::default());
        let quoted = light::quoted(&key);
        let letter = quoted.as_ref().map_or(0, |quoted| quoted[1]);
        self.nodes[node].children.push(Child { key, quoted, letter, node: child });
        child
    }

    fn child(&self, node: usize, key: &str) -> Option<usize> {
        self.nodes[node].children.iter().find(|child| child.key == key).map(|child| child.node)
    }

    /// The node below `at` for `key`, if anything there is wanted.
    fn step(&self, at: Option<usize>, key: &str) -> Option<usize> {
        at.and_then(|node| self.child(node, key))
    }

    /// Reads the whole message. Fails with [`Error::Json`] unless it is one strict JSON value.
    pub fn scan<'m>(&self, message: &'m [u8]) -> Result<Scan<'m>> {
        let mut found = Scan::new(self.fields);
        let mut walk = Walk::new(self, message, 0, Some(ROOT), &mut found);
        walk.run()?;
        walk.json.finish().map_err(fault)?;
        Ok(found)
    }

    /// As [`scan`](Self::scan), but the audio's text is unchecked until its decoding succeeds.
    ///
    /// If [`Scan::decode_audio_into`] fails for what this returns, and if this returns `None`, only
    /// [`scan`](Self::scan) can tell what the message is: it may be invalid, or only unusual. If the
    /// decoding succeeds, or there is no audio, the whole message is valid, and this is what `scan` gives.
    #[inline(always)] // The result takes three cache lines: to move it costs 15 ns.
    pub fn scan_lightly<'m>(&self, message: &'m [u8]) -> Option<Scan<'m>> {
        let mut found = Scan::new(self.fields);
        light::read(self, message, &mut found)?;
        Some(found)
    }
}

/// What one message held; borrows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan<'m> {
    values: SmallVec<[Value<'m>; FEW_FIELDS]>,
    audio: Option<Cow<'m, [u8]>>,
}

impl<'m> Scan<'m> {
    fn new(fields: usize) -> Self {
        Self { values: SmallVec::from_elem(Value::Null, fields), audio: None }
    }

    /// The wanted fields, in the order of the scanner's paths.
    pub fn values(&self) -> &[Value<'m>] {
        &self.values
    }

    /// Drops what an earlier duplicate of a key brought.
    #[inline]
    fn forget(&mut self, below: &[Slot]) {
        for &slot in below {
            match slot {
                Slot::Audio => self.audio = None,
                Slot::Field(index) => self.values[index] = Value::Null,
            }
        }
    }

    /// Stores a scalar in the fields that want it; as audio, only a string counts.
    #[inline]
    fn keep(&mut self, here: &[Slot], value: &Value<'m>) {
        for &slot in here {
            if let Slot::Field(index) = slot {
                self.values[index] = value.clone();
            }
        }
    }

    /// The base64 text as it stands, unescaped; `None` if the message has no such string field.
    ///
    /// Borrowed from the message unless the string has an escape such as `\/`.
    pub fn audio_text(&self) -> Option<&[u8]> {
        self.audio.as_deref()
    }

    /// Exact decoded length of the audio; `None` if the message has no such string field.
    pub fn audio_len(&self) -> Result<Option<usize>> {
        self.audio_text().map(base64::decoded_len).transpose()
    }

    /// Decodes the audio into the front of `out`; returns the bytes written, 0 without such a field.
    ///
    /// Fails with [`Error::Base64`] (its offset counts in the unescaped audio text) or
    /// [`Error::OutputTooSmall`].
    pub fn decode_audio_into(&self, out: &mut [u8]) -> Result<usize> {
        self.audio_text().map_or(Ok(0), |text| base64::decode_into(text, out))
    }
}

/// An array or object that is still open.
#[derive(Clone, Copy)]
enum Open {
    Array,
    /// With the trie node of its own path, if anything below it is wanted.
    Object(Option<usize>),
}

/// One pass over one value. The stack is explicit: depth costs heap, never call stack.
struct Walk<'s, 'm> {
    scanner: &'s Scanner,
    message: &'m [u8],
    json: Jiter<'m>,
    /// Containers around the value.
    depth: usize,
    open: SmallVec<[Open; SHALLOW]>,
    /// The trie node of the value that comes next.
    node: Option<usize>,
    found: &'s mut Scan<'m>,
}

impl<'s, 'm> Walk<'s, 'm> {
    /// For the value at the front of `message`, inside `depth` containers.
    fn new(
        scanner: &'s Scanner,
        message: &'m [u8],
        depth: usize,
        node: Option<usize>,
        found: &'s mut Scan<'m>,
    ) -> Self {
        let (json, open) = (Jiter::new(message), SmallVec::new());
        Self { scanner, message, json, depth, open, node, found }
    }

    /// Reads the value and stops behind it.
    fn run(&mut self) -> Result<()> {
        let mut next = Some(self.json.peek().map_err(fault)?);
        while let Some(peek) = next {
            next = match self.value(peek)? {
                Some(inner) => Some(inner),
                None => self.after_value()?,
            };
        }
        Ok(())
    }

    /// Reads a scalar or enters a container; `Some` is the first value inside it.
    fn value(&mut self, peek: Peek) -> Result<Option<Peek>> {
        match peek {
            Peek::Object => return self.enter_object(),
            Peek::Array => return self.enter_array(),
            Peek::String => self.string()?,
            Peek::Null => self.json.known_null().map_err(fault)?,
            Peek::True | Peek::False => {
                let value = self.json.known_bool(peek).map_err(fault)?;
                self.keep(&Value::Bool(value));
            }
            _ => self.number(peek)?,
        }
        Ok(None)
    }

    /// Steps to the next value, closing what ends on the way; `None` after the outermost value.
    fn after_value(&mut self) -> Result<Option<Peek>> {
        while let Some(&open) = self.open.last() {
            let next = match open {
                // Nothing below an array is wanted: `node` stays `None` until the array ends.
                Open::Array => self.json.array_step().map_err(fault)?,
                Open::Object(at) => {
                    let key = self.json.next_key().map_err(fault)?;
                    let member = key.map(|key| self.scanner.step(at, key));
                    self.member(member)?
                }
            };
            if next.is_some() {
                return Ok(next);
            }
            self.open.pop();
        }
        Ok(None)
    }

    fn enter_array(&mut self) -> Result<Option<Peek>> {
        self.push(Open::Array)?;
        let first = self.json.known_array().map_err(fault)?;
        self.node = None;
        self.close_if_empty(first)
    }

    fn enter_object(&mut self) -> Result<Option<Peek>> {
        let at = self.node;
        self.push(Open::Object(at))?;
        let key = self.json.known_object().map_err(fault)?;
        let member = key.map(|key| self.scanner.step(at, key));
        let first = self.member(member)?;
        self.close_if_empty(first)
    }

    fn close_if_empty(&mut self, first: Option<Peek>) -> Result<Option<Peek>> {
        if first.is_none() {
            self.open.pop();
        }
        Ok(first)
    }

    fn push(&mut self, open: Open) -> Result<()> {
        if self.depth + self.open.len() >= MAX_DEPTH {
            let reason = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(Error::Json { offset: self.json.current_index(), reason });
        }
        self.open.push(open);
        Ok(())
    }

    /// After a key: forgets what an earlier duplicate of it brought, then looks at its value.
    ///
    /// `None`: the object has no more keys. `Some(None)`: nothing at or below the key is wanted.
    fn member(&mut self, key: Option<Option<usize>>) -> Result<Option<Peek>> {
        let Some(node) = key else { return Ok(None) };
        self.node = node;
        if let Some(node) = node {
            self.found.forget(&self.scanner.nodes[node].below);
        }
        self.json.peek().map(Some).map_err(fault)
    }

    fn string(&mut self) -> Result<()> {
        let start = self.json.current_index() + 1;
        // `known_str` checks UTF-8 on its way and copies only a string with escapes.
        let text = self.json.known_str().map_err(fault)?;
        let Some(node) = self.node else { return Ok(()) };
        for &slot in &self.scanner.nodes[node].here {
            let text = borrow(self.message, start, text);
            match (slot, text) {
                (Slot::Field(index), text) => self.found.values[index] = Value::Str(text),
                (Slot::Audio, Cow::Borrowed(text)) => {
                    self.found.audio = Some(Cow::Borrowed(text.as_bytes()));
                }
                (Slot::Audio, Cow::Owned(text)) => {
                    self.found.audio = Some(Cow::Owned(text.into_bytes()));
                }
            }
        }
        Ok(())
    }

    fn number(&mut self, peek: Peek) -> Result<()> {
        let offset = self.json.current_index();
        if !peek.is_num() {
            return Err(Error::Json { offset, reason: "expected a value".to_owned() });
        }
        let digits = self.json.known_number_bytes(peek).map_err(fault)?;
        let value = number(digits).ok_or_else(|| Error::Json {
            offset,
            reason: "number out of the range of a 64-bit float".to_owned(),
        })?;
        self.keep(&value);
        Ok(())
    }

    fn keep(&mut self, value: &Value<'m>) {
        if let Some(node) = self.node {
            self.found.keep(&self.scanner.nodes[node].here, value);
        }
    }
}

/// Gives `text` the life of the message if it lies in the message, at `start`; else copies it.
fn borrow<'m>(message: &'m [u8], start: usize, text: &str) -> Cow<'m, str> {
    message
        .get(start..)
        .and_then(|rest| rest.get(..text.len()))
        .filter(|plain| std::ptr::eq(plain.as_ptr(), text.as_ptr()))
        .and_then(|plain| std::str::from_utf8(plain).ok())
        .map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)
}

/// The value of a number that fits JSON's grammar; `None` if it is beyond the range of a float.
fn number(digits: &[u8]) -> Option<Value<'static>> {
    let text = std::str::from_utf8(digits).ok()?;
    if !text.contains(['.', 'e', 'E'])
        && let Ok(value) = text.parse()
    {
        return Some(Value::Int(value));
    }
    text.parse().ok().filter(|value: &f64| value.is_finite()).map(Value::Float)
}

fn fault(error: JiterError) -> Error {
    Error::Json { offset: error.index, reason: error.error_type.to_string() }
}
