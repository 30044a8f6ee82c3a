//! Bytes that wait for their successors.
//!
//! It must never know what they mean: a reader is given a slice and says how much of it is used.

use crate::Result;

/// The bytes that the last read left.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Vec<u8>);

impl Held {
    /// Gives `read` what is held and then `data`, contiguous where they meet, without copying the rest.
    ///
    /// `read` returns the bytes that it used; given `most` bytes it must use some.
    pub(super) fn feed(
        &mut self,
        mut data: &[u8],
        most: usize,
        mut read: impl FnMut(&[u8]) -> Result<usize>,
    ) -> Result<()> {
        while !self.0.is_empty() && !data.is_empty() {
            let before = self.0.len();
            let taken = data.len().min(most.saturating_sub(before)).max(1);
            self.0.extend_from_slice(&data[..taken]);
            let used = read(&self.0)?;
            if used >= before {
                self.0.clear();
                data = &data[used - before..];
            } else {
                self.0.drain(..used);
                data = &data[taken..];
            }
        }
        if self.0.is_empty() {
            let used = read(data)?;
            self.0.extend_from_slice(&data[used..]);
        }
        Ok(())
    }

    /// What is left at the end.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}
