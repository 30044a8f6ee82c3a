//! Strict base64 (RFC 4648 section 4): standard alphabet, padded, no white space.
//!
//! It must never know where the text came from. Source: RFC 4648, and the `base64` crate as the
//! oracle of the tests. "Strict" is stricter than Python's `base64.b64decode(validate=True)` in two
//! points, because a text that breaks them was cut or damaged: the unused low bits of the last symbol
//! must be zero (RFC 4648 section 3.5), and no padding may follow a complete group (`Zm9v=`). Python
//! accepts both; every text that is accepted here, Python decodes to the same bytes.
//!
//! The offset of a fault is the index of the first byte that no valid text can have at that place
//! after the bytes before it; a text that ends too early is at fault at its length, and non-zero
//! unused bits are at fault at the symbol that carries them.

mod scalar;

use crate::{Error, Result};

/// Length of the padded text of one group.
const GROUP: usize = 4;
/// Bytes that a full group decodes to.
const GROUP_BYTES: usize = 3;

/// Upper bound of the decoded length of `len` characters, whatever they are.
pub const fn decoded_len_max(len: usize) -> usize {
    len.div_ceil(GROUP) * GROUP_BYTES
}

/// Decoded length of `text`, exact for every valid text: it looks at the length and the padding only.
///
/// Fails (with the exact offset of the first fault) if the length is not a multiple of 4.
pub fn decoded_len(text: &[u8]) -> Result<usize> {
    if !text.len().is_multiple_of(GROUP) {
        return Err(scalar::first_fault(text));
    }
    let padding = text.iter().rev().take(2).take_while(|&&byte| byte == scalar::PAD).count();
    Ok(text.len() / GROUP * GROUP_BYTES - padding)
}

/// Decodes `text` into the front of `out`; returns how many bytes were written.
///
/// Fails with [`Error::OutputTooSmall`] before anything is written, or with [`Error::Base64`] at the
/// first fault; what `out` then holds is unspecified.
pub fn decode_into(text: &[u8], out: &mut [u8]) -> Result<usize> {
    let needed = decoded_len(text)?;
    let got = out.len();
    let out = out.get_mut(..needed).ok_or(Error::OutputTooSmall { needed, got })?;
    scalar::decode(text, out)?;
    Ok(needed)
}
