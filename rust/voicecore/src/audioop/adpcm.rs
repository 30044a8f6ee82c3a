//! Intel/DVI (IMA) ADPCM with four bits per sample, the first of a pair in the high half of an octet.

use super::sample::{from_high, high};
use super::{Error, Result, Width, by_width};

/// The last index into the step sizes.
const LAST_INDEX: usize = 88;
/// Keeps an index inside the tables, for the compiler.
const INDEX_MASK: usize = 127;

/// Step sizes of the IMA ADPCM specification, one about 1.1 times the one before.
const STEPS: [i32; INDEX_MASK + 1] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66,
    73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449,
    494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272,
    2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493,
    10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
    // Never reached: up to a size that a mask keeps an index in.
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0,
];

/// How far each magnitude of a code moves the index.
const MOVES: [isize; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];

/// The index behind each index and magnitude.
const NEXT: [[u8; 8]; INDEX_MASK + 1] = {
    let mut next = [[0; 8]; INDEX_MASK + 1];
    let mut at = 0;
    while at < 8 * (LAST_INDEX + 1) {
        let moved = (at / 8) as isize + MOVES[at % 8];
        let last = LAST_INDEX as isize;
        next[at / 8][at % 8] = if moved < 0 {
            0
        } else if moved > last {
            last as u8
        } else {
            moved as u8
        };
        at += 1;
    }
    next
};

const SIGN: u8 = 8;

/// What the next code builds on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdpcmState {
    predicted: i32,
    index: usize,
}

impl AdpcmState {
    /// A state that an earlier call returned.
    ///
    /// # Errors
    /// [`Error::AdpcmState`] for a value that is not 16 bits wide or an index outside 0 to 88.
    pub fn new(predicted: i32, index: i32) -> Result<Self> {
        let index = usize::try_from(index).map_err(|_| Error::AdpcmState)?;
        if i16::try_from(predicted).is_err() || index > LAST_INDEX {
            return Err(Error::AdpcmState);
        }
        Ok(Self { predicted, index })
    }

    /// As the caller keeps it: the predicted value and the index.
    pub const fn parts(self) -> (i32, usize) {
        (self.predicted, self.index)
    }

    /// The code for `sample`, and on to the state behind it. No bit of a code can be foreseen, so there
    /// is no branch on one.
    fn encode(&mut self, sample: i32) -> u8 {
        let mut rest = sample.abs_diff(self.predicted) as i32;
        let mut magnitude = 0;
        for part in parts(self.index) {
            let fits = i32::from(rest >= part);
            rest -= part & -fits;
            magnitude = magnitude << 1 | fits;
        }
        let code = magnitude as u8 | if sample < self.predicted { SIGN } else { 0 };
        self.decode(code);
        code
    }

    /// The sample for the low four bits of `code`, and on to the state behind it.
    fn decode(&mut self, code: u8) -> i32 {
        let [step, half, quarter] = parts(self.index);
        let has = |bit: u8, part: i32| part & -i32::from(code >> bit & 1);
        let change = (step >> 3) + has(2, step) + has(1, half) + has(0, quarter);
        let minus = -i32::from(code >> 3 & 1);
        let predicted = self.predicted + ((change ^ minus) - minus);
        self.predicted = predicted.clamp(i16::MIN.into(), i16::MAX.into());
        self.index = NEXT[self.index & INDEX_MASK][usize::from(code & 7)].into();
        self.predicted
    }
}

/// What the three bits of a magnitude stand for.
fn parts(index: usize) -> [i32; 3] {
    let step = STEPS[index & INDEX_MASK];
    [step, step >> 1, step >> 2]
}

/// Samples to codes. `out` has one octet per two samples; a last one without a partner only moves the
/// state, as in the original.
pub fn lin2adpcm(fragment: &[u8], width: Width, state: &mut AdpcmState, out: &mut [u8]) {
    by_width!(width, lin2adpcm_of(fragment, state, out));
}

fn lin2adpcm_of<const W: usize>(fragment: &[u8], state: &mut AdpcmState, out: &mut [u8]) {
    let (pairs, last) = fragment.as_chunks::<W>().0.as_chunks::<2>();
    for (to, [first, second]) in out.iter_mut().zip(pairs) {
        *to = state.encode(high(first) >> 16) << 4;
        *to |= state.encode(high(second) >> 16);
    }
    for octets in last {
        state.encode(high(octets) >> 16);
    }
}

/// Codes to samples. `out` has two samples per octet.
pub fn adpcm2lin(codes: &[u8], width: Width, state: &mut AdpcmState, out: &mut [u8]) {
    by_width!(width, adpcm2lin_of(codes, state, out));
}

fn adpcm2lin_of<const W: usize>(codes: &[u8], state: &mut AdpcmState, out: &mut [u8]) {
    let pairs = out.as_chunks_mut::<W>().0.as_chunks_mut::<2>().0;
    for (to, &code) in pairs.iter_mut().zip(codes) {
        *to = [code >> 4, code].map(|code| from_high(state.decode(code) << 16));
    }
}
