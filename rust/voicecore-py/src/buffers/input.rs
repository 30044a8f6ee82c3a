//! What is read: a borrowed buffer, and its items.
//!
//! Inlined by force, and boxed where it cannot be, so that a usual `Input` stays in registers: to move it
//! from frame to frame takes 10 ns of a 100 ns call.

use super::{
    HAS_GIL, Item, Kind, Shape, contiguous_shape, copied, describe_layout, refused, type_name,
    type_number,
};
use numpy::npyffi::NPY_TYPES;
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};
use std::borrow::Cow;
use std::ffi::c_int;
use std::ops::Range;

const INPUTS: &str =
    "bytes or a C-contiguous buffer of int16, float32 or uint8 in native byte order";
const LAYOUT: &str = "a C-contiguous buffer of shape (frames,) or (frames, channels)";

/// Views on views that are followed in search of an immutable owner.
const MAX_VIEW_DEPTH: usize = 4;

/// An argument or the item of a tuple: whoever lends it holds it.
pub type Object<'a> = Borrowed<'a, 'a, PyAny>;

/// A borrowed C-contiguous buffer. Keeps its object borrowed and, where there is one, its export held.
pub struct Input<'a> {
    data: *const u8,
    bytes: usize,
    kind: Kind,
    shape: Shape,
    what: &'static str,
    object: Object<'a>,
    // Held for its drop, which lets the exporter resize again.
    _export: Option<PyUntypedBuffer>,
}

impl<'a> Input<'a> {
    /// Borrows bytes, bytearray, memoryview, ndarray or any other exporter. `what` names the argument.
    #[inline(always)]
    pub fn get(object: impl Into<Object<'a>>, what: &'static str) -> PyResult<Self> {
        let object = object.into();
        if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            return Ok(Self::from_octets(object, bytes.as_bytes(), what));
        }
        match object.cast::<PyUntypedArray>() {
            Ok(array) => Self::from_array(object, &array, what),
            Err(_) => Self::from_export(object, what).map(|input| *input),
        }
    }

    /// As `get`, and `str` as its UTF-8. A lone surrogate is a `UnicodeEncodeError`.
    #[inline(always)]
    pub fn text(object: &'a Bound<'_, PyAny>, what: &'static str) -> PyResult<Self> {
        let object = object.as_borrowed();
        match object.cast::<PyString>() {
            // CPython keeps the UTF-8 inside the string object, so it lives as long as that.
            Ok(text) => Ok(Self::from_octets(object, text.to_str()?.as_bytes(), what)),
            Err(_) => Self::get(object, what),
        }
    }

    /// Any C-contiguous export as octets, whatever its items are: what C calls a bytes-like object.
    ///
    /// What is none is refused as functions in C do, in the exporter's own words.
    #[inline(always)]
    pub fn bytes_like(object: &'a Bound<'_, PyAny>, what: &'static str) -> PyResult<Self> {
        let object = object.as_borrowed();
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::from_octets(object, bytes.as_bytes(), what));
        }
        Self::from_octet_export(object, what).map(|input| *input)
    }

    fn from_octet_export(object: Object<'a>, what: &'static str) -> PyResult<Box<Self>> {
        let export = PyUntypedBuffer::get(&object)?;
        if !export.is_c_contiguous() {
            return Err(not_bytes_like(&object));
        }
        let (data, bytes) = (export.buf_ptr().cast_const().cast(), export.len_bytes());
        let (kind, shape) = (Kind::Bytes, Shape::flat(bytes));
        Ok(Box::new(Self { data, bytes, kind, shape, what, object, _export: Some(export) }))
    }

    #[inline(always)]
    fn from_octets(object: Object<'a>, octets: &[u8], what: &'static str) -> Self {
        let shape = Shape::flat(octets.len());
        let data = octets.as_ptr();
        Self { data, bytes: octets.len(), kind: Kind::Bytes, shape, what, object, _export: None }
    }

    #[inline(always)]
    fn from_array(
        object: Object<'a>,
        array: &Bound<'_, PyUntypedArray>,
        what: &'static str,
    ) -> PyResult<Self> {
        let Some(kind) = array_kind(array) else {
            return Err(refused(&object, what, INPUTS, &format!("dtype {}", array.dtype())));
        };
        let shape = contiguous_shape(array)
            .ok_or_else(|| refused(&object, what, LAYOUT, &describe_layout(array)))?;
        // SAFETY: the array is alive, so its header can be read; `data` is used by its rules below.
        let data = unsafe { (*array.as_array_ptr()).fields.data }.cast_const().cast();
        let bytes = shape.items() * kind.item_bytes();
        Ok(Self { data, bytes, kind, shape, what, object, _export: None })
    }

    fn from_export(object: Object<'a>, what: &'static str) -> PyResult<Box<Self>> {
        let Ok(export) = PyUntypedBuffer::get(&object) else {
            return Err(refused(&object, what, INPUTS, &type_name(&object)));
        };
        let Some(kind) = format_kind(&export) else {
            return Err(refused(&object, what, INPUTS, &format!("format {:?}", export.format())));
        };
        if !export.is_c_contiguous() {
            return Err(refused(&object, what, LAYOUT, "a non-contiguous buffer"));
        }
        let Some(shape) = Shape::from_dims(export.shape()) else {
            let actual = format!("{} dimensions", export.dimensions());
            return Err(refused(&object, what, LAYOUT, &actual));
        };
        let (data, bytes) = (export.buf_ptr().cast_const().cast(), export.len_bytes());
        Ok(Box::new(Self { data, bytes, kind, shape, what, object, _export: Some(export) }))
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The addresses that are borrowed, for `Output`'s check that it does not overlap them.
    pub fn addresses(&self) -> Range<usize> {
        let start = self.data.addr();
        start..start + self.bytes
    }

    /// The items as `T`: raw bytes are taken for its little-endian form, anything else must be `T`.
    #[inline(always)]
    pub fn items<T: Item>(&self) -> PyResult<Items<'_, 'a, T>> {
        let size = size_of::<T>();
        let raw_samples = self.kind == Kind::Bytes && size > 1;
        if self.kind != T::KIND && !raw_samples || raw_samples && self.shape.channels.is_some() {
            let expected = format!("{} or raw bytes", T::NAME);
            return Err(refused(&self.object, self.what, &expected, &self.describe()));
        }
        if !self.bytes.is_multiple_of(size) {
            let expected = format!("whole {} samples, a multiple of {size} bytes", T::NAME);
            let actual = format!("{} bytes", self.bytes);
            return Err(refused(&self.object, self.what, &expected, &actual));
        }
        Ok(Items::new(self))
    }

    /// The octets for a kernel, whatever they are samples of: lent, or a copy where another thread
    /// could write to them. With `heavy`, the caller detaches while it holds them; without, it must not.
    #[inline(always)]
    pub fn octets(&self, heavy: bool) -> Cow<'_, [u8]> {
        if self.bytes == 0 {
            return Cow::Borrowed(&[]);
        }
        if HAS_GIL && !heavy || is_immutable(&self.object) {
            // SAFETY: as in `Items::slice`; octets are always aligned.
            return Cow::Borrowed(unsafe { std::slice::from_raw_parts(self.data, self.bytes) });
        }
        // SAFETY: `bytes` bytes are readable at `data`.
        Cow::Owned(unsafe { copied(self.data, self.bytes) })
    }

    /// The octets as items, for `run`.
    pub fn octet_items(&self) -> Items<'_, 'a, u8> {
        Items::new(self)
    }

    /// Refuses a shape that is not `channels` wide. Raw bytes have no shape, so they pass.
    pub fn check_channels(&self, channels: usize) -> PyResult<()> {
        let fits = match self.shape.channels {
            Some(width) => width == channels,
            None => channels == 1 || self.kind == Kind::Bytes,
        };
        if fits {
            return Ok(());
        }
        let expected = format!("shape (frames, {channels})");
        Err(refused(&self.object, self.what, &expected, &self.describe()))
    }

    /// Refuses a second dimension that is not `channels` wide.
    pub fn check_width(&self, channels: usize) -> PyResult<()> {
        match self.shape.channels {
            Some(width) if width != channels => self.check_channels(channels),
            _ => Ok(()),
        }
    }

    /// The second dimension, or 1.
    pub fn width(&self) -> usize {
        self.shape.width()
    }

    fn describe(&self) -> String {
        format!("{} of shape {}", self.kind.name(), self.shape)
    }

    /// Refuses this input; for what only the caller can judge.
    pub fn refuse(&self, expected: &str) -> PyErr {
        refused(&self.object, self.what, expected, &self.describe())
    }
}

/// The items of an `Input`.
pub struct Items<'i, 'a, T> {
    input: &'i Input<'a>,
    len: usize,
    /// Made where the memory was not aligned for `T`.
    copy: Option<Vec<T>>,
}

impl<'i, 'a, T: Item> Items<'i, 'a, T> {
    #[inline(always)]
    fn new(input: &'i Input<'a>) -> Self {
        let len = input.bytes / size_of::<T>();
        let aligned = input.data.cast::<T>().is_aligned();
        // SAFETY: `bytes` bytes are readable at `data`, and `len` items are no more than that.
        let copy = (!aligned && len > 0).then(|| unsafe { copied(input.data.cast(), len) });
        Self { input, len, copy }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The shape that these items came in; raw bytes are flat.
    pub fn shape(&self) -> Shape {
        match self.input.kind {
            Kind::Bytes => Shape { frames: self.len, ..self.input.shape }.or_octets(self.input),
            _ => self.input.shape,
        }
    }

    /// Whether no other thread can write here, attached or not.
    pub(super) fn is_private(&self) -> bool {
        self.copy.is_some() || self.len == 0 || is_immutable(&self.input.object)
    }

    /// Only for the time in which nobody else writes; see the module's first lines.
    pub(super) fn slice(&self) -> &[T] {
        match &self.copy {
            Some(copy) => copy,
            None if self.len == 0 => &[],
            // SAFETY: aligned (else there is a copy), not null (len > 0), readable for `len` items of
            // any bit pattern, kept alive by `input`, and written by nobody by this module's rule.
            None => unsafe { std::slice::from_raw_parts(self.input.data.cast(), self.len) },
        }
    }

    /// Where the items are, taken without making a reference: shared memory is only copied from.
    pub(super) fn pointer(&self) -> *const T {
        self.copy.as_ref().map_or(self.input.data.cast(), |copy| copy.as_ptr())
    }
}

impl Shape {
    /// Octets keep the two dimensions that they came in; samples in raw bytes have none.
    fn or_octets(self, input: &Input<'_>) -> Self {
        if input.shape.channels.is_some() { input.shape } else { self }
    }
}

/// The error of a function in C that asks for a simple buffer, by asking one.
#[cold]
fn not_bytes_like(object: &Bound<'_, PyAny>) -> PyErr {
    let asked =
        object.py().import("binascii").and_then(|module| module.call_method1("crc32", (object,)));
    asked.err().unwrap_or_else(|| PyBufferError::new_err("the buffer is not C-contiguous"))
}

#[inline]
fn array_kind(array: &Bound<'_, PyUntypedArray>) -> Option<Kind> {
    match type_number(array)? {
        n if n == NPY_TYPES::NPY_SHORT as c_int => Some(Kind::I16),
        n if n == NPY_TYPES::NPY_FLOAT as c_int => Some(Kind::F32),
        n if n == NPY_TYPES::NPY_UBYTE as c_int => Some(Kind::Bytes),
        n if n == NPY_TYPES::NPY_BYTE as c_int => Some(Kind::Bytes),
        _ => None,
    }
}

/// By the format of the `struct` module; sizes are checked since `@` is the platform's own.
fn format_kind(export: &PyUntypedBuffer) -> Option<Kind> {
    let kind = match export.format().to_bytes() {
        b"B" | b"b" | b"c" | b"<B" | b"<b" | b"@B" | b"@b" => Kind::Bytes,
        b"h" | b"<h" | b"@h" | b"=h" => Kind::I16,
        b"f" | b"<f" | b"@f" | b"=f" => Kind::F32,
        _ => return None,
    };
    (export.item_size() == kind.item_bytes()).then_some(kind)
}

/// `bytes` or `str`, or a view on one: numpy and memoryview never let those be written to.
fn is_immutable(object: &Bound<'_, PyAny>) -> bool {
    if object.is_exact_instance_of::<PyBytes>() || object.is_exact_instance_of::<PyString>() {
        return true;
    }
    let mut owner = object.clone();
    for _ in 0..MAX_VIEW_DEPTH {
        let below = if let Ok(array) = owner.cast::<PyUntypedArray>() {
            array_base(array)
        } else if owner.cast::<PyMemoryView>().is_ok() {
            owner.getattr("obj").ok()
        } else {
            return owner.is_exact_instance_of::<PyBytes>()
                || owner.is_exact_instance_of::<PyString>();
        };
        match below {
            Some(below) => owner = below,
            None => return false,
        }
    }
    false
}

fn array_base<'py>(array: &Bound<'py, PyUntypedArray>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the array is alive; its base is a borrowed reference or null.
    unsafe { Bound::from_borrowed_ptr_or_opt(array.py(), (*array.as_array_ptr()).fields.base) }
}
