"""Fit the response of the resampler's `hq` profile; print the tables of rust/voicecore/src/resample/fitted.rs.

    python benches/resampler_design.py

Needs numpy and scipy. Time t is in periods of 2 fN, frequency f in fN. The response is zero beyond T, and before that

    h(t) = c sinc(c t) A(t / T) + cos(pi c t) B(t / T) / T,   A and B sums of TERMS cosines, c the middle of both edges.

A alone is a windowed sinc, whose ripple is the same on both sides of c. B adds what is the same on both sides, so that
the pass band may have more of it, and the stop band less. The worst of the stop band is minimised by linear
programming, far frequencies counting FAR times as much, since the images of all phases add up there.
"""

import numpy as np
from scipy.optimize import linprog

PASS, STOP = 0.913, 1.0
#: Just below 96, so that arms of 96 taps, six vectors, are full in the stages between fN and 3/2 or 2 times fN.
HALF_WIDTH = 95.95
TERMS = 16
#: 20 log10 of the largest deviation from one in the pass band.
RIPPLE = -124.0
FAR = 3.0
STEPS_PER_PERIOD = 16
#: Errors of about 1e-7 would be within the solver's tolerance.
SCALE = 1e6


def main():
    cutoff = (PASS + STOP) / 2
    count = int(np.ceil(HALF_WIDTH * STEPS_PER_PERIOD))
    step = HALF_WIDTH / count
    times = (np.arange(count) + 0.5) * step
    cosines = np.cos(np.pi * np.outer(times, np.arange(TERMS)) / HALF_WIDTH)
    sinc = cutoff * np.sinc(cutoff * times)[:, None] * cosines
    bump = np.cos(np.pi * cutoff * times)[:, None] * cosines / HALF_WIDTH
    terms = np.hstack([sinc, bump])

    def spectrum(frequencies):
        return 2 * step * np.cos(np.pi * np.outer(frequencies, times)) @ terms

    edge = np.linspace(0, (TERMS + 3) / HALF_WIDTH, 16 * (TERMS + 3))
    passed = np.concatenate([np.linspace(0, PASS - edge[-1], 120)[:-1], PASS - edge])
    stopped = np.concatenate([STOP + edge, np.linspace(STOP + edge[-1], 6, 500)[1:]])
    start = np.concatenate([np.linalg.lstsq(cosines, kaiser(times), rcond=None)[0], np.zeros(TERMS)])

    stop, passing, unity = spectrum(stopped), spectrum(passed), spectrum(np.zeros(1))
    most = np.where(stopped < 1.35, 1, 1 / FAR)[:, None]
    ripple, off = 10 ** (RIPPLE / 20), passing @ start - 1
    free = np.zeros((len(passed), 1))
    errors, weights = np.vstack([stop, passing]), np.vstack([-most, free])
    rows = np.vstack([np.hstack([errors, weights]), np.hstack([-errors, weights])])
    bounds = SCALE * np.concatenate([-stop @ start, ripple - off, stop @ start, ripple + off])
    result = linprog(
        np.append(np.zeros(2 * TERMS), 1),
        A_ub=rows,
        b_ub=bounds,
        A_eq=np.append(unity, 0)[None],
        b_eq=SCALE * (1 - unity @ start),
        bounds=[(None, None)] * (2 * TERMS) + [(0, None)],
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    fitted = start + result.x[:-1] / SCALE
    print(f"// stop band {20 * np.log10(result.x[-1] / SCALE):.1f} dB")
    for name, values in (("SINC", fitted[:TERMS]), ("BUMP", fitted[TERMS:])):
        print(f"pub const {name}: [f64; TERMS] = [")
        print("\n".join(f"    {float(f'{value:.12}')!r}," for value in values))
        print("];")


def kaiser(times):
    beta = 0.1102 * (125 - 8.7)
    return np.i0(beta * np.sqrt(1 - (times / HALF_WIDTH) ** 2)) / np.i0(beta)


if __name__ == "__main__":
    main()
