//! One error type for every kernel: it says what, where, expected and actual.

/// What every fallible kernel returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that bad input can cause. No kernel panics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `out` cannot hold the result. Nothing was consumed and no state changed.
    #[error("output buffer too small: expected at least {needed} items, got {got}")]
    OutputTooSmall {
        /// Items that the call would write.
        needed: usize,
        /// Items that the caller offered.
        got: usize,
    },
    /// A whole-buffer kernel was given a partial frame.
    #[error(
        "buffer of {len} {what} is not a whole number of frames: expected a multiple of {unit}"
    )]
    PartialFrame {
        /// Length that was given.
        len: usize,
        /// What `len` counts: `"bytes"` or `"samples"`.
        what: &'static str,
        /// Size of one frame in the same unit.
        unit: usize,
    },
    /// A parameter outside its range.
    #[error("{what}: expected {expected}, got {got}")]
    Parameter {
        /// The parameter's name.
        what: &'static str,
        /// What is allowed, in words.
        expected: &'static str,
        /// What was given.
        got: String,
    },
    /// Two formats that no path connects.
    #[error("cannot convert {what}: expected {expected}, got {got}")]
    Unsupported {
        /// What could not be converted.
        what: &'static str,
        /// What is allowed, in words.
        expected: &'static str,
        /// What was given.
        got: String,
    },
    /// Text that is not strict base64 (standard alphabet, padded, no white space).
    #[error("invalid base64 at offset {offset}: {reason}")]
    Base64 {
        /// Byte offset of the first fault, counted in the base64 text.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A message that is not one valid JSON value.
    #[error("invalid JSON at offset {offset}: {reason}")]
    Json {
        /// Byte offset of the fault in the message.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A container header that cannot be followed.
    #[error("invalid {container} container at byte {offset}: {reason}")]
    Container {
        /// Which container: `"wav"`.
        container: &'static str,
        /// Byte offset from the start of the stream.
        offset: u64,
        /// What is wrong there, with expected and actual.
        reason: String,
    },
    /// A stream that changed its format midway.
    #[error("stream changed its format midway: expected {expected}, got {got}")]
    FormatChanged {
        /// The format so far.
        expected: String,
        /// The format that appeared.
        got: String,
    },
}
