//! Where one 16-bit fragment fits another best, and by which factor.
//!
//! Sums of products are whole numbers, exact in the original's `double` for the first 2^23 samples;
//! beyond, its order of additions is kept. All else is its own arithmetic in its own order.

use super::{Error, Result};

/// As many products of two samples as can be summed with every partial sum exact in a `double`.
const EXACT_PRODUCTS: usize = 1 << 23;

type Samples<'a> = &'a [[u8; 2]];

fn samples(fragment: &[u8]) -> Samples<'_> {
    fragment.as_chunks().0
}

fn check_even(fragment: &[u8]) -> Result<()> {
    if fragment.len().is_multiple_of(2) { Ok(()) } else { Err(Error::OddLength) }
}

/// What [`findfit`] takes.
///
/// # Errors
/// [`Error::OddLength`], and [`Error::ShortFirst`] for a reference longer than the fragment.
pub fn check_fit(fragment: &[u8], reference: &[u8]) -> Result<()> {
    check_even(fragment)?;
    check_even(reference)?;
    if fragment.len() < reference.len() { Err(Error::ShortFirst) } else { Ok(()) }
}

/// What [`findfactor`] takes.
///
/// # Errors
/// [`Error::OddLength`], and [`Error::Sizes`] for two lengths.
pub fn check_factor(fragment: &[u8], reference: &[u8]) -> Result<()> {
    check_even(fragment)?;
    check_even(reference)?;
    if fragment.len() == reference.len() { Ok(()) } else { Err(Error::Sizes) }
}

/// What [`findmax`] takes; returns its window.
///
/// # Errors
/// [`Error::OddLength`], and [`Error::ShortInput`] for a window that the fragment does not have.
pub fn check_max(fragment: &[u8], length: isize) -> Result<usize> {
    check_even(fragment)?;
    let window = usize::try_from(length).map_err(|_| Error::ShortInput)?;
    if window > fragment.len() / 2 { Err(Error::ShortInput) } else { Ok(window) }
}

/// Where `reference`, times a factor, is nearest to `fragment`: the offset in samples and the factor.
/// `(0, NaN)` for what [`check_fit`] refuses.
pub fn findfit(fragment: &[u8], reference: &[u8]) -> (usize, f64) {
    let (signal, pattern) = (samples(fragment), samples(reference));
    let Some(last) = signal.len().checked_sub(pattern.len()) else { return (0, f64::NAN) };
    let window = |at: usize| &signal[at..at + pattern.len()];
    let power = dot(pattern, pattern);
    let mut energy = dot(window(0), window(0));
    let misfit = |energy: f64, product: f64| (power * energy - product * product) / energy;
    let (mut best, mut least) = (0, misfit(energy, dot(window(0), pattern)));
    for at in 1..=last {
        energy = slid(energy, signal, at, pattern.len());
        let error = misfit(energy, dot(window(at), pattern));
        // A NaN (silence) is below nothing, and nothing is below a NaN.
        if error < least {
            (best, least) = (at, error);
        }
    }
    (best, dot(window(best), pattern) / power)
}

/// The factor by which `reference` is nearest to `fragment`.
pub fn findfactor(fragment: &[u8], reference: &[u8]) -> f64 {
    let (signal, pattern) = (samples(fragment), samples(reference));
    let power = dot(pattern, pattern);
    dot(signal, pattern) / power
}

/// Where the `window` samples with the most energy begin; 0 for a window that [`check_max`] refuses.
pub fn findmax(fragment: &[u8], window: usize) -> usize {
    let signal = samples(fragment);
    let Some(first) = signal.get(..window) else { return 0 };
    let mut energy = dot(first, first);
    let (mut best, mut most) = (0, energy);
    for at in 1..=signal.len() - window {
        energy = slid(energy, signal, at, window);
        if energy > most {
            (best, most) = (at, energy);
        }
    }
    best
}

/// The energy of the window at `at`, from that of the window before. An empty window stays empty.
fn slid(energy: f64, signal: Samples<'_>, at: usize, window: usize) -> f64 {
    let square = |at: usize| sample(signal[at]) * sample(signal[at]);
    let (entering, leaving) = (square(at + window - 1), square(at - 1));
    // Where all is exact, one addition has to wait for the one before, not two.
    if window <= EXACT_PRODUCTS {
        return energy + (entering - leaving);
    }
    energy + entering - leaving
}

fn sample(octets: [u8; 2]) -> f64 {
    f64::from(i16::from_le_bytes(octets))
}

/// The sum of the products.
fn dot(a: Samples<'_>, b: Samples<'_>) -> f64 {
    if a.len() > EXACT_PRODUCTS {
        return a.iter().zip(b).map(|(&a, &b)| sample(a) * sample(b)).sum();
    }
    // Two products wrap in one case, 2^31 to -2^31, which no sum of two is: one less is right for all.
    let two = |[a, b]: &[[u8; 2]; 2], [c, d]: &[[u8; 2]; 2]| {
        i64::from(product(a, c).wrapping_add(product(b, d)).wrapping_sub(1))
    };
    let ((a, last_a), (b, last_b)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
    let count = a.len().min(b.len()) as i64;
    let sum = count + a.iter().zip(b).map(|(a, b)| two(a, b)).sum::<i64>();
    (sum + last_a.iter().zip(last_b).map(|(a, b)| i64::from(product(a, b))).sum::<i64>()) as f64
}

fn product(a: &[u8; 2], b: &[u8; 2]) -> i32 {
    i32::from(i16::from_le_bytes(*a)) * i32::from(i16::from_le_bytes(*b))
}
