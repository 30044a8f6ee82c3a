//! Whole arrays in and out of 32-byte vectors: the only place where AVX2 kernels touch memory.
#![allow(unsafe_code, reason = "vector loads and stores take pointers; each is one whole array")]

use std::arch::x86_64::*;

use super::Lane;

/// The 32 bytes of an array.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load<T: Lane, const N: usize>(from: &[T; N]) -> __m256i {
    const { assert!(size_of::<[T; N]>() == 32) };
    // SAFETY: reads the 32 bytes of `from`, which are numbers; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// The 16 bytes of an array, in both halves.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_twice(from: &[u8; 16]) -> __m256i {
    // SAFETY: reads the 16 bytes of `from`; the load asks for no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
}

/// The 64 bytes of an array.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_two<T: Lane, const N: usize>(from: &[T; N]) -> [__m256i; 2] {
    const { assert!(size_of::<[T; N]>() == 64) };
    // SAFETY: reads the 64 bytes of `from`, which are numbers; an array of vectors has no padding.
    unsafe { from.as_ptr().cast::<[__m256i; 2]>().read_unaligned() }
}

/// A vector to the 32 bytes of an array.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store<T: Lane, const N: usize>(to: &mut [T; N], vector: __m256i) {
    const { assert!(size_of::<[T; N]>() == 32) };
    // SAFETY: writes the 32 bytes of `to`, a number for any bits; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), vector) }
}

/// Two vectors to the 64 bytes of an array.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_two<T: Lane, const N: usize>(to: &mut [T; N], vectors: [__m256i; 2]) {
    const { assert!(size_of::<[T; N]>() == 64) };
    // SAFETY: writes the 64 bytes of `to`, a number for any bits; the write asks for no alignment.
    unsafe { to.as_mut_ptr().cast::<[__m256i; 2]>().write_unaligned(vectors) }
}

/// The first 24 bytes of a vector to an array.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_24(to: &mut [u8; 24], vector: __m256i) {
    let lower = _mm256_castsi256_si128(vector);
    let upper = _mm_cvtsi128_si64(_mm256_extracti128_si256::<1>(vector));
    let (first, last) = to.split_at_mut(16);
    last.copy_from_slice(&upper.to_le_bytes());
    // SAFETY: writes 16 bytes, which `first` has; the store asks for no alignment.
    unsafe { _mm_storeu_si128(first.as_mut_ptr().cast(), lower) }
}
