//! One sample: from octets and back, and from a float as C's `int` takes it.

/// Bits below a `W`-octet sample that stands at the top of a 32-bit word.
pub const fn spare_bits<const W: usize>() -> u32 {
    32 - 8 * W as u32
}

/// The sample at the top of a 32-bit word: full scale is the same for every width.
#[inline(always)]
pub fn high<const W: usize>(octets: &[u8; W]) -> i32 {
    let mut word = [0; 4];
    word[4 - W..].copy_from_slice(octets);
    i32::from_le_bytes(word)
}

/// The sample as its own number.
#[inline(always)]
pub fn value<const W: usize>(octets: &[u8; W]) -> i32 {
    high(octets) >> spare_bits::<W>()
}

/// The octets of a sample that stands at the top of a word; what is below is cut off.
#[inline(always)]
pub fn from_high<const W: usize>(word: i32) -> [u8; W] {
    from_value(word >> spare_bits::<W>())
}

/// The octets of a number; what does not fit is cut off.
#[inline(always)]
pub fn from_value<const W: usize>(value: i32) -> [u8; W] {
    let mut octets = [0; W];
    octets.copy_from_slice(&value.to_le_bytes()[..W]);
    octets
}

/// Largest value of a `W`-octet sample.
pub const fn largest<const W: usize>() -> i32 {
    i32::MAX >> spare_bits::<W>()
}

/// Smallest value of a `W`-octet sample.
pub const fn smallest<const W: usize>() -> i32 {
    i32::MIN >> spare_bits::<W>()
}

/// Adding 1.5 * 2^52 rounds to the nearest integer, which then stands in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// A float as a `W`-octet sample: saturated, then floored.
///
/// Without a call to `floor` or a saturating cast, so that the loops around it vectorise on any x86-64.
#[inline(always)]
pub fn bounded<const W: usize>(value: f64) -> i32 {
    let (low, high) = (f64::from(smallest::<W>()), f64::from(largest::<W>()));
    let value = if value > high { high } else { value };
    let value = if value < low { low } else { value };
    // x86-64 makes a NaN the smallest int, of which narrower samples keep the low octets: zeros.
    let nan = if W == 4 { low } else { 0.0 };
    let value = if value.is_nan() { nan } else { value };
    let nearest = (value + ROUNDER) - ROUNDER;
    let floor = if nearest > value { nearest - 1.0 } else { nearest };
    (floor + ROUNDER).to_bits() as i32
}

#[cfg(test)]
mod tests {
    use super::{bounded, from_high, from_value, high, value};

    #[test]
    fn octets_and_numbers() {
        assert_eq!(value(&[0x80]), -128);
        assert_eq!(value(&[0xFE, 0xFF]), -2);
        assert_eq!(value(&[0x01, 0x00, 0x80]), -0x7F_FFFF);
        assert_eq!(value(&[0xFF, 0xFF, 0xFF, 0x7F]), i32::MAX);
        assert_eq!(high(&[0x80]), i32::MIN);
        assert_eq!(from_high::<3>(0x1234_5678), [0x56, 0x34, 0x12]);
        assert_eq!(from_value::<2>(-2), [0xFE, 0xFF]);
    }

    #[test]
    fn floats_are_saturated_then_floored() {
        let cases = [(1.9, 1), (-1.1, -2), (-0.5, -1), (0.5, 0), (-2.0, -2), (2.5, 2), (-0.0, 0)];
        for (from, to) in cases {
            assert_eq!(bounded::<2>(from), to, "{from}");
        }
        assert_eq!(bounded::<1>(127.9), 127);
        assert_eq!(bounded::<1>(-1e300), -128);
        assert_eq!(bounded::<4>(f64::INFINITY), i32::MAX);
        assert_eq!(bounded::<4>(-2_147_483_647.5), i32::MIN);
        assert_eq!(bounded::<4>(f64::NAN), i32::MIN);
        assert_eq!(bounded::<3>(f64::NAN), 0);
    }
}
