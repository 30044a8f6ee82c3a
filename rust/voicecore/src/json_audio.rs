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

use crate::{Error, Result, base64};
use jiter::{Jiter, JiterError, Peek};
use std::borrow::Cow;

/// Deepest nesting of arrays and objects that is accepted; orjson's limit.
pub const MAX_DEPTH: usize = 1024;

/// The value of one wanted field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, absent, or not a scalar.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction and exponent that fits.
    Int(i64),
    /// Every other number.
    Float(f64),
    /// A string, unescaped.
    Str(String),
}

/// What to look for; built once, used for every message.
#[derive(Debug, Clone)]
pub struct Scanner {
    /// A trie of all paths; the root is node 0.
    nodes: Vec<Node>,
    fields: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: Vec<(String, usize)>,
    /// What this very path is wanted for.
    here: Vec<Slot>,
    /// What this path and the paths below it are wanted for: a duplicate key clears all of it.
    below: Vec<Slot>,
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
        self.nodes[node].children.push((key, child));
        child
    }

    fn child(&self, node: usize, key: &str) -> Option<usize> {
        self.nodes[node].children.iter().find(|(name, _)| name == key).map(|&(_, child)| child)
    }

    /// The node below `at` for `key`, if anything there is wanted.
    fn step(&self, at: Option<usize>, key: &str) -> Option<usize> {
        at.and_then(|node| self.child(node, key))
    }

    /// Reads the whole message. Fails with [`Error::Json`] unless it is one strict JSON value.
    pub fn scan<'m>(&self, message: &'m [u8]) -> Result<Scan<'m>> {
        let found = Scan { values: vec![Value::Null; self.fields], audio: None };
        let json = Jiter::new(message);
        let mut walk =
            Walk { scanner: self, message, json, open: Vec::new(), node: Some(ROOT), found };
        walk.run()?;
        Ok(walk.found)
    }
}

/// What one message held; borrows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan<'m> {
    /// The wanted fields, in the order of the scanner's paths.
    pub values: Vec<Value>,
    audio: Option<Cow<'m, [u8]>>,
}

impl Scan<'_> {
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

/// One pass over one message. The stack is explicit: depth costs heap, never call stack.
struct Walk<'s, 'm> {
    scanner: &'s Scanner,
    message: &'m [u8],
    json: Jiter<'m>,
    open: Vec<Open>,
    /// The trie node of the value that comes next.
    node: Option<usize>,
    found: Scan<'m>,
}

impl<'m> Walk<'_, 'm> {
    fn run(&mut self) -> Result<()> {
        let mut next = Some(self.json.peek().map_err(fault)?);
        while let Some(peek) = next {
            next = match self.value(peek)? {
                Some(inner) => Some(inner),
                None => self.after_value()?,
            };
        }
        self.json.finish().map_err(fault)
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
        if self.open.len() >= MAX_DEPTH {
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
            for &slot in &self.scanner.nodes[node].below {
                match slot {
                    Slot::Audio => self.found.audio = None,
                    Slot::Field(index) => self.found.values[index] = Value::Null,
                }
            }
        }
        self.json.peek().map(Some).map_err(fault)
    }

    fn string(&mut self) -> Result<()> {
        let start = self.json.current_index() + 1;
        // `known_str` checks UTF-8 on its way and copies only a string with escapes.
        let text = self.json.known_str().map_err(fault)?;
        let Some(node) = self.node else { return Ok(()) };
        for &slot in &self.scanner.nodes[node].here {
            match slot {
                Slot::Audio => self.found.audio = Some(borrow(self.message, start, text)),
                Slot::Field(index) => self.found.values[index] = Value::Str(text.to_owned()),
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

    /// Stores a scalar that is not a string where it is wanted.
    fn keep(&mut self, value: &Value) {
        let Some(node) = self.node else { return };
        for &slot in &self.scanner.nodes[node].here {
            if let Slot::Field(index) = slot {
                self.found.values[index] = value.clone();
            }
        }
    }
}

/// Gives `text` the life of the message if it lies in the message, at `start`; else copies it.
fn borrow<'m>(message: &'m [u8], start: usize, text: &str) -> Cow<'m, [u8]> {
    match message.get(start..).and_then(|rest| rest.get(..text.len())) {
        Some(plain) if std::ptr::eq(plain.as_ptr(), text.as_ptr()) => Cow::Borrowed(plain),
        _ => Cow::Owned(text.as_bytes().to_vec()),
    }
}

/// The value of a number that fits JSON's grammar; `None` if it is beyond the range of a float.
fn number(digits: &[u8]) -> Option<Value> {
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
