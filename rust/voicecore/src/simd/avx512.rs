//! Whole arrays in and out of 64-byte vectors: the only place where AVX-512 kernels touch memory.
#![allow(unsafe_code, reason = "vector loads and stores take pointers; each is one whole array")]

use std::arch::x86_64::*;

use super::Lane;

/// The 64 bytes of an array.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load<T: Lane, const N: usize>(from: &[T; N]) -> __m512i {
    const { assert!(size_of::<[T; N]>() == 64) };
    // SAFETY: reads the 64 bytes of `from`, which are numbers; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// The 128 bytes of an array.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_two<T: Lane, const N: usize>(from: &[T; N]) -> [__m512i; 2] {
    const { assert!(size_of::<[T; N]>() == 128) };
    // SAFETY: reads the 128 bytes of `from`, which are numbers; an array of vectors has no padding.
    unsafe { from.as_ptr().cast::<[__m512i; 2]>().read_unaligned() }
}

/// A vector to the 64 bytes of an array.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store<T: Lane, const N: usize>(to: &mut [T; N], vector: __m512i) {
    const { assert!(size_of::<[T; N]>() == 64) };
    // SAFETY: writes the 64 bytes of `to`, a number for any bits; the store asks for no alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), vector) }
}

/// Two vectors to the 128 bytes of an array.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_two<T: Lane, const N: usize>(to: &mut [T; N], vectors: [__m512i; 2]) {
    const { assert!(size_of::<[T; N]>() == 128) };
    // SAFETY: writes the 128 bytes of `to`, a number for any bits; the write asks for no alignment.
    unsafe { to.as_mut_ptr().cast::<[__m512i; 2]>().write_unaligned(vectors) }
}

/// The first 48 bytes of a vector to an array.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn store_48(to: &mut [u8; 48], vector: __m512i) {
    // SAFETY: the mask lets through the 48 bytes that `to` has.
    unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), (1 << 48) - 1, vector) }
}
