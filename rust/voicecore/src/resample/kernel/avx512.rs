//! 64-byte vectors. AVX-512 F and DQ.
#![allow(unsafe_code, reason = "loads and stores through pointers")]

use std::arch::x86_64::*;

type Vector = __m512;
const WIDTH: usize = 16;

super::body::kernels!(
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    strip: 10, counts: 1 2 3 4 5 6 7 8 9
);

#[target_feature(enable = "avx512f")]
#[inline]
fn zero() -> Vector {
    _mm512_setzero_ps()
}

#[target_feature(enable = "avx512f")]
#[inline]
fn splat(x: f32) -> Vector {
    _mm512_set1_ps(x)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(from: &[f32], at: usize) -> Vector {
    let from = &from[at..][..WIDTH];
    // SAFETY: the slice has 16 places.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(to: &mut [f32], x: Vector) {
    let to = &mut to[..WIDTH];
    // SAFETY: the slice has 16 places.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add(a: Vector, b: Vector) -> Vector {
    _mm512_add_ps(a, b)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn multiply(a: Vector, b: Vector) -> Vector {
    _mm512_mul_ps(a, b)
}

/// The sum of each row's lanes, by halves.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
#[inline]
fn totals(rows: [[Vector; 1]; 4]) -> [f32; 4] {
    let mut quarters = [_mm_setzero_ps(); 4];
    for row in 0..4 {
        let x = rows[row][0];
        let half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
        quarters[row] = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps::<1>(half));
    }
    super::avx2::add_lanes(quarters)
}
