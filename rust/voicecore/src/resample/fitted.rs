//! The response of `hq`, as fitted by benches/resampler_design.py, which says what these numbers are.

/// The response is zero from here on, to both sides, in periods of 2 fN.
pub const HALF_WIDTH: f64 = 95.95;
/// Cosines of each sum.
pub const TERMS: usize = 16;
/// Factors of the cosines under the sinc.
pub const SINC: [f64; TERMS] = [
    0.34203088813,
    0.481696151994,
    0.157771307885,
    0.018294496078,
    0.000203061265088,
    2.84792676288e-06,
    2.81313922458e-06,
    -2.55151146621e-06,
    1.46994238116e-06,
    -6.62027617506e-07,
    1.97669858255e-07,
    -5.80866098112e-09,
    2.67899295175e-08,
    -2.25509121421e-07,
    5.73067927235e-07,
    -3.80249709169e-07,
];
/// Factors of the cosines under the bump.
pub const BUMP: [f64; TERMS] = [
    -0.0417611729741,
    -0.0575973070163,
    -0.0175413768608,
    -0.00170628107076,
    -9.03506203642e-06,
    2.99892806812e-07,
    -4.31936189166e-07,
    4.52920459483e-08,
    2.13951995007e-07,
    -3.97796366348e-07,
    4.74190420856e-07,
    -5.46977384939e-07,
    5.49486814302e-07,
    -5.50241333939e-07,
    4.29242709484e-07,
    2.75084929485e-08,
];
