//! The responses behind the filters, as functions of continuous time. Computed in f64.
//!
//! After A. V. Oppenheim, R. W. Schafer, "Discrete-Time Signal Processing", section 7.6 (the Kaiser window).

use super::fitted::{BUMP, SINC, TERMS};
use super::plan::Spec;
use std::f64::consts::PI;

/// A continuous impulse response; times are in input frames.
pub(super) struct Shape {
    /// The response is zero from here on, to both sides.
    half_width: f64,
    /// Middle of the transition over the input's Nyquist frequency.
    cutoff: f64,
    form: Form,
}

/// How the sinc of the cutoff fades.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// Under a Kaiser window with this parameter: equal ripple in the pass and the stop band.
    Kaiser(f64),
    /// As fitted: more ripple in the pass band, less in the stop band, for a tenth less time.
    Fitted,
}

impl Shape {
    pub fn new(spec: &Spec) -> Self {
        let form =
            if spec.fitted { Form::Fitted } else { Form::Kaiser(0.1102 * (spec.rejection - 8.7)) };
        Self { half_width: spec.half_width(), cutoff: (spec.pass + spec.stop) / 2.0, form }
    }

    /// Whole input frames that the response reaches to either side.
    pub fn ahead(&self) -> usize {
        self.half_width.ceil() as usize
    }

    /// Taps of the output at `phase` input frames after frame number `taps - 1 - ahead`, oldest input first, scaled
    /// to a gain of one at DC. What should be zero is.
    pub fn row(&self, phase: f64, taps: usize) -> Vec<f32> {
        let center = (taps - 1 - self.ahead()) as f64 + phase;
        let row: Vec<f64> = (0..taps).map(|tap| self.response(center - tap as f64)).collect();
        let gain: f64 = row.iter().sum();
        row.into_iter().map(|value| (value / gain) as f32).collect()
    }

    fn response(&self, time: f64) -> f64 {
        let reach = time / self.half_width;
        if reach.abs() >= 1.0 {
            return 0.0;
        }
        let angle = PI * self.cutoff * time;
        let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
        match self.form {
            Form::Kaiser(_) if sinc.abs() < 1e-12 => 0.0,
            Form::Kaiser(beta) => {
                sinc * bessel_i0_of_squared_half(beta * beta / 4.0 * (1.0 - reach * reach))
            }
            Form::Fitted => {
                let x = (PI * reach).cos();
                let bump = cosines(&BUMP, x) / (self.cutoff * self.half_width);
                sinc * cosines(&SINC, x) + angle.cos() * bump
            }
        }
    }
}

/// The sum of `factors[k] * cos(k a)` for `x = cos(a)`, by Clenshaw.
fn cosines(factors: &[f64; TERMS], x: f64) -> f64 {
    let (mut next, mut later) = (0.0, 0.0);
    for factor in factors[1..].iter().rev() {
        (next, later) = (factor + 2.0 * x * next - later, next);
    }
    factors[0] + x * next - later
}

/// The modified Bessel function I0(x), given (x / 2)^2: the sum of `quarter^k / k!^2`, by Horner.
fn bessel_i0_of_squared_half(quarter: f64) -> f64 {
    let mut sum = 1.0;
    for inverse_square in INVERSE_SQUARES.iter().rev() {
        sum = 1.0 + sum * quarter * inverse_square;
    }
    sum
}

/// 1 / k^2. Forty terms give I0(15) to full f64 precision.
const INVERSE_SQUARES: [f64; 40] = {
    let mut table = [0.0; 40];
    let mut k = 0;
    while k < table.len() {
        table[k] = 1.0 / ((k + 1) * (k + 1)) as f64;
        k += 1;
    }
    table
};
