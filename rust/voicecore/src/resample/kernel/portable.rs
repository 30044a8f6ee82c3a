//! The specification: plain loops over small arrays, which the compiler vectorises for the target's baseline.

/// Four outputs: what the smallest vectors hold.
type Vector = [f32; WIDTH];
const WIDTH: usize = 4;

super::body::kernels!(strip: 4, counts: 1 2 3);

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
    [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
}

#[inline(always)]
fn multiply_add(a: Vector, b: Vector, c: Vector) -> Vector {
    [a[0] * b[0] + c[0], a[1] * b[1] + c[1], a[2] * b[2] + c[2], a[3] * b[3] + c[3]]
}

/// The sum of each row's lanes, by halves.
#[inline(always)]
fn totals(rows: [[Vector; LANES / WIDTH]; 4]) -> [f32; 4] {
    let mut sums = [0.0; 4];
    for (sum, [a, b, c, d]) in sums.iter_mut().zip(rows) {
        let quarter = add(add(a, c), add(b, d));
        *sum = (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
    }
    sums
}
