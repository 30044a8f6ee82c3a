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

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::simd::{self, Backend};
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
        return Err(scalar::first_fault(text, 0));
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
    match decode_front(text, out) {
        Ok(done) => scalar::decode(text, done, out).map(|()| needed),
        Err(done) => Err(scalar::first_fault(text, done)),
    }
}

/// How far vectors came: `Ok` with the symbols that were valid and are decoded, or `Err` with those
/// before the blocks that hold a fault. Both are whole groups.
type Front = std::result::Result<usize, usize>;

/// Leaves at least the last group, which alone may be padded, to the scalar decoder.
fn decode_front(text: &[u8], out: &mut [u8]) -> Front {
    let symbols = text.len().saturating_sub(GROUP);
    let bytes = symbols / GROUP * GROUP_BYTES;
    let (Some(text), Some(out)) = (text.get(..symbols), out.get_mut(..bytes)) else {
        return Ok(0);
    };
    match simd::backend() {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512(cpu) => avx512::decode(cpu, text, out),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2(cpu) => avx2::decode(cpu, text, out),
        Backend::Portable if scalar::decode_full(text, out) => Ok(symbols),
        Backend::Portable => Err(0),
    }
}

/// Blocks between two looks at the validity.
#[cfg(target_arch = "x86_64")]
const BATCH: usize = 8;

/// Decodes whole groups of symbols by blocks; `out` has exactly the room that they need.
///
/// `decode` decodes some blocks and tells whether they are valid. The last block overlaps the one
/// before it; a text that is shorter than a block is left alone.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn front<const IN: usize, const OUT: usize>(
    text: &[u8],
    out: &mut [u8],
    decode: impl Fn(&[[u8; IN]], &mut [[u8; OUT]]) -> bool,
) -> Front {
    let (blocks, rest) = text.as_chunks::<IN>();
    let (cells, _) = out.as_chunks_mut::<OUT>();
    let mut done = 0;
    for (blocks, cells) in blocks.chunks(BATCH).zip(cells.chunks_mut(BATCH)) {
        if !decode(blocks, cells) {
            return Err(done);
        }
        done += blocks.len() * IN;
    }
    match (text.last_chunk(), out.last_chunk_mut()) {
        (Some(block), Some(cell)) if !rest.is_empty() => {
            let valid = decode(std::slice::from_ref(block), std::slice::from_mut(cell));
            if valid { Ok(text.len()) } else { Err(done) }
        }
        _ => Ok(done),
    }
}
