//! Kernels that work block by block, so that shared memory passes through the L1 cache on its way.

use super::{HAS_GIL, Item, Items, Output, copy_bytes};
use pyo3::prelude::*;
use std::marker::PhantomData;
use voicecore::Result;

/// Items that are copied at a time: in and out fit a 32 KiB L1 cache together.
const BLOCK: usize = 4_096;

/// A kernel that gives the same result whether its input comes at once or in pieces of whole frames.
pub trait Kernel<I, O>: Send {
    /// Input items of one frame.
    fn frame(&self) -> usize;
    /// Output items that `run` writes for the next `items` input items.
    fn output_len(&self, items: usize) -> usize;
    /// Output items written.
    fn run(&mut self, input: &[I], out: &mut [O]) -> Result<usize>;
}

/// Runs `kernel` over all of `input`, detached if `heavy`. Returns the output items written.
pub fn run<I: Item, O: Item>(
    py: Python<'_>,
    kernel: &mut impl Kernel<I, O>,
    input: &Items<'_, '_, I>,
    out: &mut Output<'_, O>,
    heavy: bool,
) -> Result<usize> {
    if HAS_GIL && !heavy {
        return kernel.run(input.slice(), out.slice());
    }
    let (source, mut sink) = (Source::new(input), Sink::new(out));
    py.detach(|| in_blocks(kernel, &source, &mut sink))
}

fn in_blocks<I: Item, O: Item>(
    kernel: &mut impl Kernel<I, O>,
    source: &Source<'_, I>,
    sink: &mut Sink<'_, O>,
) -> Result<usize> {
    let frame = kernel.frame().max(1);
    let step =
        if source.private && sink.private { source.len } else { (BLOCK / frame).max(1) * frame };
    let (mut scratch_in, mut scratch_out) = (Vec::new(), Vec::new());
    let mut written = 0;
    for start in (0..source.len).step_by(step.max(1)) {
        let block = source.block(start, step, &mut scratch_in);
        let room = kernel.output_len(block.len());
        written += sink.fill(written, room, &mut scratch_out, |out| kernel.run(block, out))?;
    }
    Ok(written)
}

/// Input of a detached kernel.
struct Source<'a, T> {
    data: *const T,
    len: usize,
    private: bool,
    _items: PhantomData<&'a [T]>,
}

// SAFETY: only lent to the closure of `detach`, on the same thread, while the items are kept alive.
unsafe impl<T: Item> Send for Source<'_, T> {}
// SAFETY: as above; `&Source` only reads.
unsafe impl<T: Item> Sync for Source<'_, T> {}

impl<'a, T: Item> Source<'a, T> {
    fn new(items: &'a Items<'_, '_, T>) -> Self {
        let (data, private) = (items.pointer(), items.is_private());
        Self { data, len: items.len(), private, _items: PhantomData }
    }

    /// Up to `step` items from `start`: lent where they are private, through `scratch` where not.
    fn block<'s>(&'s self, start: usize, step: usize, scratch: &'s mut Vec<T>) -> &'s [T] {
        let len = step.min(self.len - start);
        // SAFETY: `start < len`, so the pointer stays inside.
        let data = unsafe { self.data.add(start) };
        if self.private {
            // SAFETY: aligned, alive and readable for `len` items, and nobody writes to private memory.
            return unsafe { std::slice::from_raw_parts(data, len) };
        }
        scratch.resize(len, T::ZERO);
        // SAFETY: readable for `len` items; `scratch` is our own memory of that length.
        unsafe { copy_bytes(data, scratch.as_mut_ptr(), len) };
        scratch
    }
}

/// Output of a detached kernel.
struct Sink<'a, T> {
    data: *mut T,
    len: usize,
    private: bool,
    _items: PhantomData<&'a mut [T]>,
}

// SAFETY: only lent to the closure of `detach`, on the same thread, while the array is kept alive.
unsafe impl<T: Item> Send for Sink<'_, T> {}

impl<'a, T: Item> Sink<'a, T> {
    fn new(output: &'a mut Output<'_, T>) -> Self {
        let private = output.is_private();
        let (data, len) = output.pointer();
        Self { data, len, private, _items: PhantomData }
    }

    /// Lets `kernel` write `room` items (or what is left) at `start`; through `scratch` where shared.
    fn fill(
        &mut self,
        start: usize,
        room: usize,
        scratch: &mut Vec<T>,
        kernel: impl FnOnce(&mut [T]) -> Result<usize>,
    ) -> Result<usize> {
        let start = start.min(self.len);
        let room = room.min(self.len - start);
        // SAFETY: `start <= len`, so the pointer stays inside or one past the end.
        let data = unsafe { self.data.add(start) };
        if self.private && room > 0 {
            // SAFETY: aligned, alive and writable for `room` items, and nobody else has seen it.
            return kernel(unsafe { std::slice::from_raw_parts_mut(data, room) });
        }
        scratch.resize(room, T::ZERO);
        let written = kernel(scratch)?.min(room);
        // SAFETY: writable for `room` items; `scratch` is our own memory of that length.
        unsafe { copy_bytes(scratch.as_ptr(), data, written) };
        Ok(written)
    }
}
