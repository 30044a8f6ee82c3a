//! Arithmetic on samples: scaling, adding, offsets, and stereo to mono and back.
//!
//! The original computes in `double`, saturates and floors; so does this, save where whole numbers
//! are sure to give the same.

use super::sample::{bounded, from_value, largest, smallest, value};
use super::{Width, by_width};
use crate::downmix::downmix_i16_into;

/// 16-bit samples that are brought into alignment at a time.
const BLOCK: usize = 256;

/// Every sample times `factor`. `out` is as long as `fragment`.
pub fn mul(fragment: &[u8], width: Width, factor: f64, out: &mut [u8]) {
    by_width!(width, mul_of(fragment, factor, out));
}

fn mul_of<const W: usize>(fragment: &[u8], factor: f64, out: &mut [u8]) {
    for (to, from) in out.as_chunks_mut::<W>().0.iter_mut().zip(fragment.as_chunks::<W>().0) {
        *to = from_value(bounded::<W>(f64::from(value(from)) * factor));
    }
}

/// Stereo frames to mono: the weighted sum. `out` is half as long as `fragment`.
pub fn tomono(fragment: &[u8], width: Width, left: f64, right: f64, out: &mut [u8]) {
    if width == Width::Two && left == 0.5 && right == 0.5 {
        return mean_16(fragment, out);
    }
    by_width!(width, tomono_of(fragment, left, right, out));
}

/// The floored mean, which the codec's downmix is too.
fn mean_16(fragment: &[u8], out: &mut [u8]) {
    let (mut stereo, mut mono) = ([0; 2 * BLOCK], [0; BLOCK]);
    for (to, from) in out.chunks_mut(2 * BLOCK).zip(fragment.chunks(4 * BLOCK)) {
        let (to, from) = (to.as_chunks_mut().0, from.as_chunks().0);
        for (sample, &octets) in stereo.iter_mut().zip(from) {
            *sample = i16::from_le_bytes(octets);
        }
        // Whole frames, and room for them: it cannot fail.
        let _ = downmix_i16_into(&stereo[..from.len() & !1], 2, &mut mono);
        for (octets, sample) in to.iter_mut().zip(&mono) {
            *octets = sample.to_le_bytes();
        }
    }
}

fn tomono_of<const W: usize>(fragment: &[u8], left: f64, right: f64, out: &mut [u8]) {
    let frames = fragment.as_chunks::<W>().0.as_chunks::<2>().0;
    for (to, [a, b]) in out.as_chunks_mut::<W>().0.iter_mut().zip(frames) {
        *to = from_value(bounded::<W>(f64::from(value(a)) * left + f64::from(value(b)) * right));
    }
}

/// Mono to stereo frames, each side with its own factor. `out` is twice as long as `fragment`.
pub fn tostereo(fragment: &[u8], width: Width, left: f64, right: f64, out: &mut [u8]) {
    if left == 1.0 && right == 1.0 {
        return by_width!(width, twice(fragment, out));
    }
    by_width!(width, tostereo_of(fragment, left, right, out));
}

fn twice<const W: usize>(fragment: &[u8], out: &mut [u8]) {
    let frames = out.as_chunks_mut::<W>().0.as_chunks_mut::<2>().0;
    for (to, &from) in frames.iter_mut().zip(fragment.as_chunks::<W>().0) {
        *to = [from; 2];
    }
}

fn tostereo_of<const W: usize>(fragment: &[u8], left: f64, right: f64, out: &mut [u8]) {
    let frames = out.as_chunks_mut::<W>().0.as_chunks_mut::<2>().0;
    for (to, from) in frames.iter_mut().zip(fragment.as_chunks::<W>().0) {
        let sample = f64::from(value(from));
        *to = [left, right].map(|factor| from_value(bounded::<W>(sample * factor)));
    }
}

/// The saturated sum of two fragments of one length, which is `out`'s too.
pub fn add(first: &[u8], second: &[u8], width: Width, out: &mut [u8]) {
    match width {
        Width::Two => add_16(first, second, out),
        _ => by_width!(width, add_of(first, second, out)),
    }
}

fn add_of<const W: usize>(first: &[u8], second: &[u8], out: &mut [u8]) {
    let pairs = first.as_chunks::<W>().0.iter().zip(second.as_chunks::<W>().0);
    for (to, (a, b)) in out.as_chunks_mut::<W>().0.iter_mut().zip(pairs) {
        let sum = value(a).saturating_add(value(b));
        *to = from_value(sum.clamp(smallest::<W>(), largest::<W>()));
    }
}

/// In 16 bits, where every x86-64 has a vector sum that saturates.
fn add_16(first: &[u8], second: &[u8], out: &mut [u8]) {
    let pairs = first.as_chunks().0.iter().zip(second.as_chunks().0);
    for (to, (&a, &b)) in out.as_chunks_mut().0.iter_mut().zip(pairs) {
        *to = i16::from_le_bytes(a).saturating_add(i16::from_le_bytes(b)).to_le_bytes();
    }
}

/// Every sample plus `offset`, which wraps around. `out` is as long as `fragment`.
pub fn bias(fragment: &[u8], width: Width, offset: i32, out: &mut [u8]) {
    by_width!(width, bias_of(fragment, offset, out));
}

fn bias_of<const W: usize>(fragment: &[u8], offset: i32, out: &mut [u8]) {
    for (to, from) in out.as_chunks_mut::<W>().0.iter_mut().zip(fragment.as_chunks::<W>().0) {
        *to = from_value(value(from).wrapping_add(offset));
    }
}
