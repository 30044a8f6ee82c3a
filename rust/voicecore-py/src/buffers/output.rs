//! What is written: a new array, or the caller's `out=`.
//!
//! Inlined by force, like `input`.

use super::{
    HAS_GIL, Item, Shape, contiguous_shape, copy_bytes, describe_layout, refused, type_name,
    type_number,
};
use crate::errors::raise;
use numpy::npyffi::{self, NpyTypes, PY_ARRAY_API};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::ffi::c_int;
use std::ops::Range;
use voicecore::{Error, Result};

/// Where a result goes: a new array, or the caller's `out=`.
pub struct Output<'py, T> {
    array: Bound<'py, PyUntypedArray>,
    data: *mut T,
    /// Items that a kernel may write.
    len: usize,
    /// Items of one frame.
    shape: Shape,
    /// The caller's memory, which other threads can reach.
    shared: bool,
}

impl<'py, T: Item> Output<'py, T> {
    /// Room for `shape`, at most. `out=` must be T, C-contiguous, writable and off the `input`.
    ///
    /// A smaller `out` than `shape` is let through: whoever knows the exact need refuses it.
    #[inline(always)]
    pub fn new(
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
        shape: Shape,
        input: Range<usize>,
    ) -> PyResult<Self> {
        match out {
            None => Self::fresh(py, shape),
            Some(out) => Self::borrowed(out, shape, input),
        }
    }

    /// As `new`, and refuses an `out` that cannot hold the whole of `shape`.
    #[inline(always)]
    pub fn exact(
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
        shape: Shape,
        input: Range<usize>,
    ) -> PyResult<Self> {
        let output = Self::new(py, out, shape, input)?;
        if output.len < shape.items() {
            let error = Error::OutputTooSmall { needed: shape.items(), got: output.len };
            return Err(raise(py, error));
        }
        Ok(output)
    }

    /// A new array that nobody else has seen. Its memory is not initialised; kernels only write to it.
    #[inline(always)]
    pub fn fresh(py: Python<'py>, shape: Shape) -> PyResult<Self> {
        let array = new_array::<T>(py, shape, std::ptr::null_mut())?;
        // SAFETY: the array is alive, so its header can be read.
        let data = unsafe { (*array.as_array_ptr()).fields.data }.cast();
        Ok(Self { array, data, len: shape.items(), shape, shared: false })
    }

    #[inline(always)]
    fn borrowed(out: &Bound<'py, PyAny>, shape: Shape, input: Range<usize>) -> PyResult<Self> {
        let array = writable_array::<T>(out)?;
        let given = contiguous_shape(&array)
            .filter(|given| given.channels.is_none() || given.channels == shape.channels)
            .ok_or_else(|| refused(out, "out", &layout(shape), &describe_layout(&array)))?;
        // SAFETY: the array is alive, so its header can be read.
        let data: *mut T = unsafe { (*array.as_array_ptr()).fields.data }.cast();
        check_apart(out, data.addr(), given.items() * size_of::<T>(), input)?;
        let len = given.items().min(shape.items());
        Ok(Self { array, data, len, shape, shared: true })
    }

    /// Refuses one more `input` that lies where this writes.
    pub fn check_apart(&self, input: Range<usize>) -> PyResult<()> {
        check_apart(self.array.as_any(), self.data.addr(), self.len * size_of::<T>(), input)
    }

    /// Calls `kernel` with the memory; it returns the frames written. Detached if `heavy`.
    pub fn fill<F>(&mut self, py: Python<'py>, heavy: bool, kernel: F) -> Result<usize>
    where
        F: FnOnce(&mut [T]) -> Result<usize> + Send,
    {
        if HAS_GIL && !heavy {
            return kernel(self.slice());
        }
        if !self.shared {
            let memory = self.slice();
            return py.detach(|| kernel(memory));
        }
        let mut scratch = vec![T::ZERO; self.len];
        let frames = py.detach(|| kernel(&mut scratch))?;
        let written = (frames * self.shape.width()).min(self.len);
        // SAFETY: `len` items are writable at `data`, and `scratch` is new memory of that length.
        unsafe { copy_bytes(scratch.as_ptr(), self.data, written) };
        Ok(frames)
    }

    /// Only for the time in which nobody else reads or writes; see the module's first lines.
    pub(super) fn slice(&mut self) -> &mut [T] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: aligned and not null (numpy allocated it, or its flags say so), writable for `len`
        // items, kept alive by `array`, off the input (checked), used by nobody else by this module's
        // rule. New memory holds no value yet; T has no invalid ones and kernels only write.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }

    /// Where the items go and how many fit, taken without making a reference.
    pub(super) fn pointer(&mut self) -> (*mut T, usize) {
        (self.data, self.len)
    }

    pub(super) fn is_private(&self) -> bool {
        !self.shared
    }

    /// A new array for a result that is far smaller than the room that was made for it.
    fn shrunk(mut self, py: Python<'py>, shape: Shape) -> PyResult<Bound<'py, PyAny>> {
        let mut exact = Self::fresh(py, shape)?;
        let written = exact.slice();
        // Both are new memory, which nobody else has seen; only the written part is read.
        written.copy_from_slice(&self.slice()[..written.len()]);
        Ok(exact.array.into_any())
    }

    /// The first `frames` frames: the array itself where it is just that, otherwise a view of it.
    #[inline(always)]
    pub fn finish(self, py: Python<'py>, frames: usize) -> PyResult<Bound<'py, PyAny>> {
        let shape =
            Shape { frames: frames.min(self.len / self.shape.width().max(1)), ..self.shape };
        if contiguous_shape(&self.array) == Some(shape) {
            return Ok(self.array.into_any());
        }
        if !self.shared && shape.frames < self.shape.frames / 2 {
            return self.shrunk(py, shape);
        }
        view(py, self.array, self.data, shape)
    }
}

/// Memory for the results of many kernels, each of which becomes a view of it.
pub struct Block<'py>(Output<'py, u8>);

impl<'py> Block<'py> {
    /// Parts begin at multiples of this, which suits every item type.
    pub const ALIGN: usize = 16;

    pub fn new(py: Python<'py>, bytes: usize) -> PyResult<Self> {
        Ok(Self(Output::fresh(py, Shape::flat(bytes))?))
    }

    /// All of it, for the kernels to share out.
    pub fn memory(&mut self) -> &mut [u8] {
        self.0.slice()
    }

    /// The items from byte `start` on, as an array.
    #[inline]
    pub fn view<T: Item>(
        &self,
        py: Python<'py>,
        start: usize,
        shape: Shape,
    ) -> PyResult<Bound<'py, PyAny>> {
        let bytes = shape.items().saturating_mul(size_of::<T>());
        if !start.is_multiple_of(Self::ALIGN) || start.saturating_add(bytes) > self.0.len {
            return Err(PyRuntimeError::new_err("a result lies outside of its block"));
        }
        // SAFETY: `start` is no more than the length, as just seen.
        let data = unsafe { self.0.data.add(start) };
        view::<T>(py, self.0.array.clone(), data.cast(), shape)
    }
}

/// An array over `data`, which `owner` keeps alive.
#[inline]
fn view<'py, T: Item>(
    py: Python<'py>,
    owner: Bound<'py, PyUntypedArray>,
    data: *mut T,
    shape: Shape,
) -> PyResult<Bound<'py, PyAny>> {
    let view = new_array::<T>(py, shape, data.cast())?;
    // SAFETY: both are arrays; the call takes over the reference to the base, also when it fails.
    let status =
        unsafe { PY_ARRAY_API.PyArray_SetBaseObject(py, view.as_array_ptr(), owner.into_ptr()) };
    if status < 0 { Err(PyErr::fetch(py)) } else { Ok(view.into_any()) }
}

/// An array over `data`, or with memory of its own where that is null.
#[inline]
fn new_array<'py, T: Item>(
    py: Python<'py>,
    shape: Shape,
    data: *mut std::ffi::c_void,
) -> PyResult<Bound<'py, PyUntypedArray>> {
    let mut dims = [shape.frames, shape.width()].map(|dim| dim.min(isize::MAX as usize) as isize);
    // Without `data`, any flag would ask for Fortran order.
    let flags = if data.is_null() { 0 } else { npyffi::NPY_ARRAY_WRITEABLE };
    let ndim = if shape.channels.is_some() { 2 } else { 1 };
    // SAFETY: `dims` has `ndim` entries; the reference to the dtype is taken over; a null result has
    // set an exception. An array over `data` gets its base from the caller, which keeps it alive.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            npyffi::get_type_object(py, NpyTypes::PyArray_Type),
            T::get_dtype(py).into_dtype_ptr(),
            ndim,
            dims.as_mut_ptr(),
            std::ptr::null_mut(),
            data,
            flags,
            std::ptr::null_mut(),
        );
        Ok(Bound::from_owned_ptr_or_err(py, array)?.cast_into_unchecked())
    }
}

/// `out=` as an array of T that may be written to.
#[inline(always)]
fn writable_array<'py, T: Item>(out: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let array = match out.cast::<PyUntypedArray>() {
        Ok(array) => array.clone(),
        Err(_) => array_over::<T>(out)?,
    };
    // SAFETY: the array is alive, so its header can be read.
    let flags = unsafe { (*array.as_array_ptr()).fields.flags };
    let fit = npyffi::NPY_ARRAY_WRITEABLE | npyffi::NPY_ARRAY_ALIGNED;
    if type_number(&array) == Some(T::TYPE as c_int) && flags & fit == fit {
        return Ok(array);
    }
    let actual = match flags & npyffi::NPY_ARRAY_WRITEABLE {
        _ if type_number(&array) != Some(T::TYPE as c_int) => &format!("dtype {}", array.dtype()),
        0 => "a read-only one",
        _ => "an unaligned one",
    };
    Err(refused(out, "out", &expected::<T>(), actual))
}

/// A bytearray or memoryview as an array, by `numpy.frombuffer`.
#[cold]
fn array_over<'py, T: Item>(out: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    static FROMBUFFER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let array = FROMBUFFER
        .import(out.py(), "numpy", "frombuffer")?
        .call1((out, T::get_dtype(out.py())))
        .map_err(|_| refused(out, "out", &expected::<T>(), &type_name(out)))?;
    Ok(array.cast_into()?)
}

fn expected<T: Item>() -> String {
    format!("a writable, aligned array of {}", T::NAME)
}

fn check_apart(
    out: &Bound<'_, PyAny>,
    start: usize,
    bytes: usize,
    input: Range<usize>,
) -> PyResult<()> {
    if start < input.end && input.start < start + bytes {
        return Err(refused(out, "out", "memory of its own", "memory that overlaps the input"));
    }
    Ok(())
}

fn layout(shape: Shape) -> String {
    match shape.channels {
        None => "a C-contiguous array of shape (frames,)".to_owned(),
        Some(channels) => {
            format!("a C-contiguous array of shape (frames, {channels}) or one-dimensional")
        }
    }
}
