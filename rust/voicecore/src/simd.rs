//! Which instruction set the kernels may use, detected once per process.
//!
//! It must never know a kernel: a kernel asks [`level`] and picks its own twin. [`Level::Scalar`] is
//! the specification and the only level off x86-64, where the compiler vectorises the portable loops.
//! `VOICECORE_SIMD=scalar|avx2|avx512` lowers the level and never raises it.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set, ordered: each includes those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Portable loops, vectorised by the compiler for the target's baseline.
    Scalar = 1,
    /// 32-byte vectors: AVX2, FMA and BMI2.
    Avx2 = 2,
    /// 64-byte vectors: AVX-512 F, BW, DQ, VL and VBMI.
    Avx512 = 3,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The name that `VOICECORE_SIMD` knows it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// The variable that lowers the level.
const VARIABLE: &str = "VOICECORE_SIMD";
/// No level: detection has not run, or no level is forced.
const UNSET: u8 = 0;

/// The level in force, as a number; a race to fill it is harmless, since all racers write the same.
static CURRENT: AtomicU8 = AtomicU8::new(UNSET);

/// The level that kernels use now: one relaxed load after the first call.
#[inline]
pub fn level() -> Level {
    match CURRENT.load(Ordering::Relaxed) {
        3 => Level::Avx512,
        2 => Level::Avx2,
        1 => Level::Scalar,
        _ => settle(),
    }
}

/// The highest level that this machine has, whatever is forced.
pub fn available() -> Level {
    detect()
}

/// Sets the level for the whole process, for tests and benches; `None` goes back to the default.
///
/// A level above the machine's is lowered to it. Safe at any time from any thread: every kernel asks
/// once per call, and all levels give equal results (the resampler's within 1 LSB).
#[doc(hidden)]
pub fn force_level(level: Option<Level>) {
    let level = level.map_or_else(default_level, |level| level.min(detect()));
    CURRENT.store(level as u8, Ordering::Relaxed);
}

#[cold]
#[inline(never)]
fn settle() -> Level {
    let found = default_level();
    // A level that another thread forced meanwhile stays.
    let swap = CURRENT.compare_exchange(UNSET, found as u8, Ordering::Relaxed, Ordering::Relaxed);
    if swap.is_ok() { found } else { level() }
}

fn default_level() -> Level {
    let asked = std::env::var(VARIABLE).ok();
    limited(detect(), asked.as_deref())
}

/// `found`, or what `asked` names if that is lower; a name that is no level changes nothing.
fn limited(found: Level, asked: Option<&str>) -> Level {
    let named = |level: &Level| asked.is_some_and(|name| name.eq_ignore_ascii_case(level.name()));
    Level::ALL.into_iter().find(named).map_or(found, |level| level.min(found))
}

/// Proof that this process may run AVX2 kernels: only [`backend`] makes one.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct HasAvx2(());

/// Proof that this process may run AVX-512 kernels: only [`backend`] makes one.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct HasAvx512(());

/// A [`Level`] with the proof that the CPU has it, which makes calling its kernels sound.
#[derive(Clone, Copy)]
pub(crate) enum Backend {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(HasAvx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(HasAvx512),
}

/// What kernels use now. `CURRENT` is private and never holds more than [`detect`] found.
#[inline]
pub(crate) fn backend() -> Backend {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => Backend::Avx512(HasAvx512(())),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => Backend::Avx2(HasAvx2(())),
        _ => Backend::Portable,
    }
}

/// A number that vectors are made of: any bits are a value, and it has no padding.
#[cfg(target_arch = "x86_64")]
pub(crate) trait Lane: Copy + Default {}
#[cfg(target_arch = "x86_64")]
impl Lane for u8 {}
#[cfg(target_arch = "x86_64")]
impl Lane for i16 {}

/// Runs a kernel of fixed block size over slices of any length.
///
/// `out` must be as many times `OUT` as `input` is times `IN`. The last block overlaps the one before
/// it, so no length needs another kernel; an input that is shorter than a block goes through a copy.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn blocks<A: Lane, B: Lane, const IN: usize, const OUT: usize>(
    input: &[A],
    out: &mut [B],
    kernel: impl Fn(&[A; IN], &mut [B; OUT]),
) {
    let (whole, rest) = input.as_chunks::<IN>();
    for (block, cell) in whole.iter().zip(out.as_chunks_mut::<OUT>().0) {
        kernel(block, cell);
    }
    if rest.is_empty() {
        return;
    }
    if let (Some(block), Some(cell)) = (input.last_chunk(), out.last_chunk_mut()) {
        kernel(block, cell);
    } else {
        let (mut block, mut cell) = ([A::default(); IN], [B::default(); OUT]);
        copy(input, &mut block);
        kernel(&block, &mut cell);
        copy(&cell, out);
    }
}

/// As much as both have room for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn copy<T: Copy>(from: &[T], to: &mut [T]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from;
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi2");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi");
    match (avx2, avx512) {
        (true, true) => Level::Avx512,
        (true, false) => Level::Avx2,
        (false, _) => Level::Scalar,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Scalar
}

#[cfg(test)]
mod tests {
    use super::{Level, limited};

    #[test]
    fn the_variable_lowers_and_never_raises() {
        for found in Level::ALL {
            for asked in Level::ALL {
                assert_eq!(limited(found, Some(asked.name())), found.min(asked));
            }
            for nothing in [None, Some(""), Some("neon"), Some("avx")] {
                assert_eq!(limited(found, nothing), found);
            }
        }
        assert_eq!(limited(Level::Avx512, Some("AVX2")), Level::Avx2);
    }
}
