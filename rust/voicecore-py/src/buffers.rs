//! Python memory as slices: what is read (`Input`, `Items`) and what is written (`Output`).
//!
//! The only module with `unsafe`. It knows buffers and arrays, and no kernel.
//!
//! Who may touch the memory meanwhile is the question that shapes this file. A `&[T]` promises that
//! nobody writes to it, and Python threads can write to a bytearray or an ndarray at any time they run:
//!
//! * Attached, on a build with the GIL: no other Python thread runs, so the memory is lent as it is.
//! * Detached, or on a free-threaded build: a kernel only ever sees memory that no other thread can
//!   write to. That is `bytes` and `str` (immutable; also through a view), a result array that nobody
//!   has seen yet, or our own copy of the rest: block by block on its way through the L1 cache for
//!   the kernels that can (`run`), whole for those that cannot (`Input::octets`, `Output::fill`).
//!   A thread that writes meanwhile gets numbers from before or after, never undefined behaviour in a kernel.
//!
//! C code that writes into a buffer without the GIL (a `recv_into` in another thread) is beyond what
//! any reader can guard against, here as in numpy; so is `ndarray.resize(refcheck=False)`. Every
//! borrowed object is kept alive, and a buffer export is held for the whole call, so that a bytearray
//! cannot be resized under it.
#![allow(unsafe_code)] // The borrow itself: pointers that CPython and numpy hand out become slices.

mod blocks;
mod input;
mod output;

pub use blocks::{Kernel, run};
pub use input::{Input, Items, Object};
pub use output::{Block, Output};

use crate::errors::Class;
use numpy::npyffi::NPY_TYPES;
use numpy::{Element, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use std::ffi::c_int;

/// Without it, attached threads run side by side and attached memory is as shared as detached memory.
const HAS_GIL: bool = cfg!(not(Py_GIL_DISABLED));

/// What the items of a buffer are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Raw bytes, which the caller takes for little-endian samples or for octets.
    Bytes,
    I16,
    F32,
}

/// An item type: every bit pattern is a value of it, and it has no padding.
pub trait Item: Element + Copy + Send + Sync + 'static {
    const KIND: Kind;
    const ZERO: Self;
    const NAME: &'static str;
    const TYPE: NPY_TYPES;
}

impl Item for u8 {
    const KIND: Kind = Kind::Bytes;
    const ZERO: Self = 0;
    const NAME: &'static str = "uint8";
    const TYPE: NPY_TYPES = NPY_TYPES::NPY_UBYTE;
}

impl Item for i16 {
    const KIND: Kind = Kind::I16;
    const ZERO: Self = 0;
    const NAME: &'static str = "int16";
    const TYPE: NPY_TYPES = NPY_TYPES::NPY_SHORT;
}

impl Item for f32 {
    const KIND: Kind = Kind::F32;
    const ZERO: Self = 0.0;
    const NAME: &'static str = "float32";
    const TYPE: NPY_TYPES = NPY_TYPES::NPY_FLOAT;
}

/// `(frames,)` or, with `channels`, `(frames, channels)`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub frames: usize,
    pub channels: Option<usize>,
}

impl Shape {
    /// Mono is one-dimensional, everything else is not.
    pub fn of(frames: usize, channels: usize) -> Self {
        Self { frames, channels: (channels != 1).then_some(channels) }
    }

    pub fn flat(frames: usize) -> Self {
        Self { frames, channels: None }
    }

    /// Items of one frame.
    fn width(self) -> usize {
        self.channels.unwrap_or(1)
    }

    /// Items in all; `usize::MAX`, which no allocation serves, where that is too many to count.
    pub fn items(self) -> usize {
        self.frames.saturating_mul(self.width())
    }

    fn from_dims(dims: &[usize]) -> Option<Self> {
        match *dims {
            [frames] => Some(Self { frames, channels: None }),
            [frames, channels] => Some(Self { frames, channels: Some(channels) }),
            _ => None,
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.channels {
            None => write!(f, "({},)", self.frames),
            Some(channels) => write!(f, "({}, {channels})", self.frames),
        }
    }
}

impl Kind {
    const fn item_bytes(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::I16 => 2,
            Self::F32 => 4,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "raw bytes",
            Self::I16 => "int16",
            Self::F32 => "float32",
        }
    }
}

/// Copies memory that another thread may be writing to: the copy can be torn, and is ours.
///
/// # Safety
/// `len * size_of::<T>()` bytes are readable at `data`, which need not be aligned.
unsafe fn copied<T: Item>(data: *const T, len: usize) -> Vec<T> {
    let mut copy = Vec::with_capacity(len);
    // SAFETY: readable by the caller's promise, writable by the line above, and bytes need no alignment.
    unsafe {
        copy_bytes(data, copy.as_mut_ptr(), len);
        copy.set_len(len);
    }
    copy
}

/// # Safety
/// `len` items are readable at `from` and writable at `to`, and the two do not overlap.
unsafe fn copy_bytes<T: Item>(from: *const T, to: *mut T, len: usize) {
    // SAFETY: the caller's promise; as bytes, so that nothing needs to be aligned.
    unsafe {
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), len * size_of::<T>());
    }
}

/// Numpy's number for the type of the items; `None` where their bytes are in the other order.
#[inline]
fn type_number(array: &Bound<'_, PyUntypedArray>) -> Option<c_int> {
    // SAFETY: the array is alive and keeps its dtype alive, so the headers of both can be read.
    let dtype = unsafe { &(*(*array.as_array_ptr()).fields.descr).fields };
    (dtype.byteorder.cast_unsigned() != b'>').then_some(dtype.type_num)
}

#[inline]
fn contiguous_shape(array: &Bound<'_, PyUntypedArray>) -> Option<Shape> {
    array.is_c_contiguous().then(|| Shape::from_dims(array.shape())).flatten()
}

fn describe_layout(array: &Bound<'_, PyUntypedArray>) -> String {
    let contiguous = if array.is_c_contiguous() { "" } else { ", not C-contiguous" };
    format!("shape {:?}{contiguous}", array.shape())
}

fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

#[cold]
fn refused(object: &Bound<'_, PyAny>, what: &str, expected: &str, actual: &str) -> PyErr {
    let message = format!("{what}: expected {expected}, got {actual}");
    Class::InvalidBuffer.error(object.py(), message)
}
