//! The same samples in another order, byte order or width.

use super::sample::{from_high, high};
use super::{Width, by_width};

/// The samples from last to first. `out` is as long as `fragment`.
pub fn reverse(fragment: &[u8], width: Width, out: &mut [u8]) {
    by_width!(width, reverse_of(fragment, out));
}

fn reverse_of<const W: usize>(fragment: &[u8], out: &mut [u8]) {
    for (to, from) in out.as_chunks_mut::<W>().0.iter_mut().rev().zip(fragment.as_chunks().0) {
        *to = *from;
    }
}

/// The octets of each sample from last to first. `out` is as long as `fragment`.
pub fn byteswap(fragment: &[u8], width: Width, out: &mut [u8]) {
    by_width!(width, byteswap_of(fragment, out));
}

fn byteswap_of<const W: usize>(fragment: &[u8], out: &mut [u8]) {
    for (to, &from) in out.as_chunks_mut::<W>().0.iter_mut().zip(fragment.as_chunks().0) {
        *to = from;
        to.reverse();
    }
}

/// Samples of one width as another: full scale stays full scale. `out` has one sample per sample.
pub fn lin2lin(fragment: &[u8], width: Width, new_width: Width, out: &mut [u8]) {
    by_width!(width, lin2lin_from(fragment, new_width, out));
}

fn lin2lin_from<const W: usize>(fragment: &[u8], new_width: Width, out: &mut [u8]) {
    let samples = fragment.as_chunks::<W>().0;
    match new_width {
        Width::One => widths::<W, 1>(samples, out),
        Width::Two => widths::<W, 2>(samples, out),
        Width::Three => widths::<W, 3>(samples, out),
        Width::Four => widths::<W, 4>(samples, out),
    }
}

fn widths<const FROM: usize, const TO: usize>(samples: &[[u8; FROM]], out: &mut [u8]) {
    for (to, from) in out.as_chunks_mut::<TO>().0.iter_mut().zip(samples) {
        *to = from_high(high(from));
    }
}
