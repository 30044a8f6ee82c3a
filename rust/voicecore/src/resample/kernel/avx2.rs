//! 32-byte vectors. AVX2.
#![allow(unsafe_code, reason = "loads and stores through pointers")]

use std::arch::x86_64::*;

type Vector = __m256;
const WIDTH: usize = 8;

super::body::kernels!(
    #[target_feature(enable = "avx2,fma")]
    strip: 5, counts: 1 2 3 4
);

#[target_feature(enable = "avx2,fma")]
#[inline]
fn zero() -> Vector {
    _mm256_setzero_ps()
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn splat(x: f32) -> Vector {
    _mm256_set1_ps(x)
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn load(from: &[f32], at: usize) -> Vector {
    let from = &from[at..][..WIDTH];
    // SAFETY: the slice has 8 places.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn store(to: &mut [f32], x: Vector) {
    let to = &mut to[..WIDTH];
    // SAFETY: the slice has 8 places.
    unsafe { _mm256_storeu_ps(to.as_mut_ptr(), x) }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn add(a: Vector, b: Vector) -> Vector {
    _mm256_add_ps(a, b)
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn multiply_add(a: Vector, b: Vector, c: Vector) -> Vector {
    _mm256_fmadd_ps(a, b, c)
}

/// A window, for inputs from its first places on.
struct Near<'a, const V: usize>(&'a [f32]);

impl<'a, const V: usize> Near<'a, V> {
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn new(window: &'a [f32]) -> Self {
        Self(window)
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn at(&self, place: usize) -> [Vector; V] {
        load_all(&self.0[place..])
    }
}

/// The lanes to pick of two vectors.
type Offsets = __m256i;

#[target_feature(enable = "avx2,fma")]
#[inline]
fn load_offsets(offsets: &[i32], begin: i32) -> Offsets {
    let offsets = &offsets[..WIDTH];
    // SAFETY: the slice has 8 places of 4 bytes.
    let offsets = unsafe { _mm256_loadu_si256(offsets.as_ptr().cast()) };
    _mm256_sub_epi32(offsets, _mm256_set1_epi32(begin))
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn next_lanes(offsets: Offsets) -> Offsets {
    _mm256_add_epi32(offsets, _mm256_set1_epi32(1))
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn pick_lanes(from: [Vector; 2], offsets: Offsets) -> Vector {
    // A permutation sees the offsets modulo 8.
    let [low, high] = from.map(|x| _mm256_permutevar8x32_ps(x, offsets));
    let second = _mm256_cmpgt_epi32(offsets, _mm256_set1_epi32(WIDTH as i32 - 1));
    _mm256_blendv_ps(low, high, _mm256_castsi256_ps(second))
}

/// The sum of each row's lanes, by halves.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn totals(rows: [[Vector; 2]; 4]) -> [f32; 4] {
    let mut quarters = [_mm_setzero_ps(); 4];
    for row in 0..4 {
        let half = _mm256_add_ps(rows[row][0], rows[row][1]);
        quarters[row] = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps::<1>(half));
    }
    add_lanes(quarters)
}

/// The sum of each vector's lanes: (0 + 2) + (1 + 3).
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) fn add_lanes([a, b, c, d]: [__m128; 4]) -> [f32; 4] {
    let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
    let (ef, gh) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
    let (lane0, lane1) = (_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
    let (lane2, lane3) = (_mm_movelh_ps(ef, gh), _mm_movehl_ps(gh, ef));
    let sums = _mm_add_ps(_mm_add_ps(lane0, lane2), _mm_add_ps(lane1, lane3));
    let mut out = [0.0; 4];
    // SAFETY: the array has 4 places.
    unsafe { _mm_storeu_ps(out.as_mut_ptr(), sums) };
    out
}
