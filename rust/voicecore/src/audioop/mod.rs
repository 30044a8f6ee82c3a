//! The arithmetic of `audioop`, the standard library's module until Python 3.12, bit for bit.
//!
//! Written from its documentation and its observable behaviour, and held against it by differential
//! tests. It must never know Python. Samples come as octets of 1, 2, 3 or 4 per sample, signed,
//! little-endian and at any alignment; every output slice is as long as the function's own words say.
//!
//! Where the original leaves the result to the C compiler (a float that no int holds) this is what it
//! does on x86-64, except in [`ratecv`] with a state that no call returned.

mod adpcm;
mod find;
mod laws;
mod layout;
mod measure;
mod mix;
pub mod ratecv;
mod sample;

pub use adpcm::{AdpcmState, adpcm2lin, lin2adpcm};
pub use find::{check_factor, check_fit, check_max, findfactor, findfit, findmax};
pub use laws::{alaw2lin, lin2alaw, lin2ulaw, ulaw2lin};
pub use layout::{byteswap, lin2lin, reverse};
pub(crate) use measure::exact_squares;
pub use measure::{avg, avgpp, cross, getsample, max, maxpp, minmax, rms};
pub use mix::{add, bias, mul, tomono, tostereo};

/// What every fallible function here returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that the original refuses, in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A width outside 1 to 4.
    #[error("Size should be 1, 2, 3 or 4")]
    Width,
    /// Octets left over.
    #[error("not a whole number of frames")]
    PartialFrame,
    /// A sample that is not there.
    #[error("Index out of range")]
    Index,
    /// Two fragments for `add`.
    #[error("Lengths should be the same")]
    Lengths,
    /// Octets left over, in the functions that only know 16-bit samples.
    #[error("Strings should be even-sized")]
    OddLength,
    /// A reference that is longer than what it is looked for in.
    #[error("First sample should be longer")]
    ShortFirst,
    /// Two fragments for `findfactor`.
    #[error("Samples should be same size")]
    Sizes,
    /// A window that is longer than the fragment.
    #[error("Input sample should be longer")]
    ShortInput,
    /// No channels.
    #[error("# of channels should be >= 1")]
    Channels,
    /// Weights that are no filter.
    #[error("weightA should be >= 1, weightB should be >= 0")]
    Weights,
    /// A rate that is none.
    #[error("sampling rate not > 0")]
    Rate,
    /// A state for another number of channels.
    #[error("illegal state argument")]
    State,
    /// An ADPCM state outside its range; the original's `ValueError`.
    #[error("bad state")]
    AdpcmState,
    /// A frame too wide to count; the original's `OverflowError`.
    #[error("width * nchannels too big for a C int")]
    FrameTooWide,
    /// A result that no memory holds; the original's `MemoryError`.
    #[error("not enough memory for output buffer")]
    Memory,
}

/// Octets of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    One,
    /// 16 bits.
    Two,
    /// 24 bits.
    Three,
    /// 32 bits.
    Four,
}

impl Width {
    /// The width that a caller names.
    ///
    /// # Errors
    /// [`Error::Width`] outside 1 to 4.
    pub const fn new(octets: i32) -> Result<Self> {
        match octets {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            3 => Ok(Self::Three),
            4 => Ok(Self::Four),
            _ => Err(Error::Width),
        }
    }

    /// The width of the samples in `fragment`, which holds nothing but whole ones.
    ///
    /// # Errors
    /// [`Error::Width`] outside 1 to 4, [`Error::PartialFrame`] for octets left over.
    pub fn of(fragment: &[u8], octets: i32) -> Result<Self> {
        let width = Self::new(octets)?;
        if !fragment.len().is_multiple_of(width.octets()) {
            return Err(Error::PartialFrame);
        }
        Ok(width)
    }

    /// As [`Width::of`], for stereo frames.
    ///
    /// # Errors
    /// As [`Width::of`].
    pub fn of_stereo(fragment: &[u8], octets: i32) -> Result<Self> {
        let width = Self::of(fragment, octets)?;
        if !fragment.len().is_multiple_of(2 * width.octets()) {
            return Err(Error::PartialFrame);
        }
        Ok(width)
    }

    /// Octets of one sample.
    pub const fn octets(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }
}

/// Calls a function that is generic over the octets of a sample.
macro_rules! by_width {
    ($width:expr, $function:ident($($argument:expr),*)) => {
        match $width {
            $crate::audioop::Width::One => $function::<1>($($argument),*),
            $crate::audioop::Width::Two => $function::<2>($($argument),*),
            $crate::audioop::Width::Three => $function::<3>($($argument),*),
            $crate::audioop::Width::Four => $function::<4>($($argument),*),
        }
    };
}
use by_width;
