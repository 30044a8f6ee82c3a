//! The specification: plain loops over small arrays, which the compiler vectorises for the target's baseline.

/// Eight outputs.
type Vector = [f32; WIDTH];
const WIDTH: usize = 8;

super::body::kernels!(strip: 2, counts: 1);

#[inline(always)]
fn zero() -> Vector {
    [0.0; WIDTH]
}

#[inline(always)]
fn splat(x: f32) -> Vector {
    [x; WIDTH]
}

#[inline(always)]
fn load(from: &[f32], at: usize) -> Vector {
    let mut x = [0.0; WIDTH];
    x.copy_from_slice(&from[at..][..WIDTH]);
    x
}

#[inline(always)]
fn store(to: &mut [f32], x: Vector) {
    to[..WIDTH].copy_from_slice(&x);
}

#[inline(always)]
fn add(a: Vector, b: Vector) -> Vector {
    std::array::from_fn(|i| a[i] + b[i])
}

#[inline(always)]
fn multiply_add(a: Vector, b: Vector, c: Vector) -> Vector {
    std::array::from_fn(|i| a[i] * b[i] + c[i])
}

/// A window, for inputs from its first places on.
struct Near<'a, const V: usize>(&'a [f32]);

impl<'a, const V: usize> Near<'a, V> {
    #[inline(always)]
    fn new(window: &'a [f32]) -> Self {
        Self(window)
    }

    #[inline(always)]
    fn at(&self, place: usize) -> [Vector; V] {
        load_all(&self.0[place..])
    }
}

/// The lanes to pick of two vectors.
type Offsets = [i32; WIDTH];

#[inline(always)]
fn load_offsets(offsets: &[i32], begin: i32) -> Offsets {
    std::array::from_fn(|i| offsets[i] - begin)
}

#[inline(always)]
fn next_lanes(offsets: Offsets) -> Offsets {
    offsets.map(|offset| offset + 1)
}

#[inline(always)]
fn pick_lanes(from: [Vector; 2], offsets: Offsets) -> Vector {
    let from = from.as_flattened();
    offsets.map(|offset| from[offset as usize % from.len()])
}

/// The sum of each row's lanes, by halves.
#[inline(always)]
fn totals(rows: [[Vector; LANES / WIDTH]; 4]) -> [f32; 4] {
    let mut sums = [0.0; 4];
    for (sum, [a, b]) in sums.iter_mut().zip(rows) {
        let half = add(a, b);
        let quarter: [f32; 4] = std::array::from_fn(|i| half[i] + half[i + 4]);
        *sum = (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
    }
    sums
}
