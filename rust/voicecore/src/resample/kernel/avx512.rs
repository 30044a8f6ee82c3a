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

/// Fewer than 16 places, and zeros.
#[target_feature(enable = "avx512f")]
#[inline]
fn load_some(from: &[f32]) -> Vector {
    let mask = (1 << from.len().min(WIDTH - 1)) - 1;
    // SAFETY: the mask has no lane beyond the slice.
    unsafe { _mm512_maskz_loadu_ps(mask, from.as_ptr()) }
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
fn multiply_add(a: Vector, b: Vector, c: Vector) -> Vector {
    _mm512_fmadd_ps(a, b, c)
}

/// What a window begins with, for inputs from its first places on: a vector that lies on two cache lines costs two
/// loads or one permutation, and the two do not wait for each other.
struct Near<const V: usize> {
    first: [Vector; V],
    last: Vector,
}

impl<const V: usize> Near<V> {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    #[inline]
    fn new(window: &[f32]) -> Self {
        Self { first: load_all(window), last: load_some(&window[V * WIDTH..]) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn at(&self, place: usize) -> [Vector; V] {
        let indices = _mm512_add_epi32(load_indices(&COUNT), _mm512_set1_epi32(place as i32));
        let mut inputs = self.first;
        for (v, x) in inputs.iter_mut().enumerate() {
            let next = if v + 1 < V { self.first[v + 1] } else { self.last };
            *x = _mm512_permutex2var_ps(*x, indices, next);
        }
        inputs
    }
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

static COUNT: Indices = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// The lanes to pick of two vectors.
type Offsets = __m512i;

#[target_feature(enable = "avx512f")]
#[inline]
fn load_offsets(offsets: &[i32], begin: i32) -> Offsets {
    let offsets = &offsets[..WIDTH];
    // SAFETY: the slice has 16 places of 4 bytes.
    let offsets = unsafe { _mm512_loadu_si512(offsets.as_ptr().cast()) };
    _mm512_sub_epi32(offsets, _mm512_set1_epi32(begin))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn next_lanes(offsets: Offsets) -> Offsets {
    _mm512_add_epi32(offsets, _mm512_set1_epi32(1))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn pick_lanes(from: [Vector; 2], offsets: Offsets) -> Vector {
    _mm512_permutex2var_ps(from[0], offsets, from[1])
}

/// Where lane `i` of the first (16 and up: of the second) of two vectors comes from.
type Indices = [i32; WIDTH];

/// For each of `planes` planes: the lanes from the first two vectors, of `N` lanes, of groups, then those from that
/// and the third.
const fn split_indices<const N: usize>(planes: usize) -> [[[i16; N]; 2]; 3] {
    let mut table = [[[0; N]; 2]; 3];
    let mut i = 0;
    while i < planes * N {
        let (plane, lane) = (i / N, i % N);
        let from = planes * lane + plane;
        table[plane][0][lane] = if from < 2 * N { from as i16 } else { 0 };
        table[plane][1][lane] = if from < 2 * N { lane as i16 } else { (from - N) as i16 };
        i += 1;
    }
    table
}

/// For each vector of groups: the lanes from the first two planes, then those from that and the third.
const fn join_indices(planes: usize) -> [[Indices; 2]; 3] {
    let mut table = [[[0; WIDTH]; 2]; 3];
    let mut i = 0;
    while i < planes * WIDTH {
        let (plane, from, lane) = (i % planes, (i / planes) as i32, i % WIDTH);
        table[i / WIDTH][0][lane] = if plane < 2 { 16 * plane as i32 + from } else { 0 };
        table[i / WIDTH][1][lane] = if plane < 2 { lane as i32 } else { 16 + from };
        i += 1;
    }
    table
}

/// 16-bit indices of `N` lanes.
type Split<const N: usize> = [[[i16; N]; 2]; 3];
static SPLIT: [Split<16>; 2] = [split_indices(2), split_indices(3)];
static SPLIT_INTS: [Split<32>; 2] = [split_indices(2), split_indices(3)];
static JOIN: [[[Indices; 2]; 3]; 2] = [join_indices(2), join_indices(3)];

/// Lanes of `x[0]` and `x[1]`, then of those and `x[2]`.
#[target_feature(enable = "avx512f")]
#[inline]
fn pick(x: [Vector; 3], indices: &[Indices; 2], three: bool) -> Vector {
    let y = _mm512_permutex2var_ps(x[0], load_indices(&indices[0]), x[1]);
    if three { _mm512_permutex2var_ps(y, load_indices(&indices[1]), x[2]) } else { y }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_indices(indices: &Indices) -> __m512i {
    // SAFETY: an array of 16 i32 has 64 bytes.
    unsafe { _mm512_loadu_si512(indices.as_ptr().cast()) }
}

/// [`split`] for 2 or 3 planes and whole vectors of groups; how many groups those are.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn split_vectors(
    frames: &[f32],
    planes: &mut [f32],
    stride: usize,
    down: usize,
    at: usize,
) -> usize {
    let vectors = frames.len() / (down * WIDTH);
    let table = SPLIT[down - 2].map(|pair| pair.map(|indices| indices.map(i32::from)));
    for (index, block) in frames.chunks_exact(down * WIDTH).enumerate() {
        let third = if down == 3 { load(block, 2 * WIDTH) } else { zero() };
        let x = [load(block, 0), load(block, WIDTH), third];
        for (plane, indices) in table[..down].iter().enumerate() {
            store(&mut planes[plane * stride + at + index * WIDTH..], pick(x, indices, down == 3));
        }
    }
    vectors * WIDTH
}

/// [`split_vectors`] of i16, two vectors of each plane at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn split_ints(
    frames: &[i16],
    planes: &mut [f32],
    stride: usize,
    down: usize,
    at: usize,
) -> usize {
    let table = &SPLIT_INTS[down - 2];
    let vectors = frames.len() / (down * 2 * WIDTH);
    for (index, block) in frames.chunks_exact(down * 2 * WIDTH).enumerate() {
        let [x, y] = [0, 1].map(|part| load_ints(&block[part * 2 * WIDTH..]));
        let z = if down == 3 { load_ints(&block[4 * WIDTH..]) } else { y };
        for (plane, [first, second]) in table[..down].iter().enumerate() {
            let mut ints = _mm512_permutex2var_epi16(x, load_ints(first), y);
            if down == 3 {
                ints = _mm512_permutex2var_epi16(ints, load_ints(second), z);
            }
            let to = &mut planes[plane * stride + at + index * 2 * WIDTH..][..2 * WIDTH];
            store(to, widen_half(_mm512_castsi512_si256(ints)));
            store(&mut to[WIDTH..], widen_half(_mm512_extracti64x4_epi64::<1>(ints)));
        }
    }
    vectors * 2 * WIDTH
}

#[target_feature(enable = "avx512f")]
#[inline]
fn widen_half(ints: __m256i) -> Vector {
    let x = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(ints));
    _mm512_mul_ps(x, _mm512_set1_ps(1.0 / 32_768.0))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_ints(from: &[i16]) -> __m512i {
    let from = &from[..2 * WIDTH];
    // SAFETY: the slice has 32 places of 2 bytes.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// [`join`] for 2 or 3 planes and whole vectors of groups; how many groups those are.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn join_vectors(
    planes: &[f32],
    out: &mut [f32],
    stride: usize,
    up: usize,
    at: usize,
) -> usize {
    let vectors = out.len() / (up * WIDTH);
    let table = &JOIN[up - 2];
    for (index, block) in out.chunks_exact_mut(up * WIDTH).enumerate() {
        let place = at + index * WIDTH;
        let third = if up == 3 { load(planes, 2 * stride + place) } else { zero() };
        let x = [load(planes, place), load(planes, stride + place), third];
        for (part, indices) in block.chunks_exact_mut(WIDTH).zip(&table[..up]) {
            store(part, pick(x, indices, up == 3));
        }
    }
    vectors * WIDTH
}
