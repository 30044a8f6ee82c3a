"""Measure the resampler's response with sines; print the table of docs/resampler.md and draw its plot.

    python benches/resampler_response.py [docs/resampler-response.svg]

Needs numpy and the built wheel. Frequencies are in fN, the lower of both Nyquist frequencies; levels are relative to
the sine that went in. In down-conversion a sine above fN has no business in the output at all; in up-conversion the
worst image is what remains when a sine of the pass band is taken away.
"""

import sys

import numpy as np

from voicecore import codec

RATIOS = [
    (48000, 8000), (48000, 16000), (44100, 16000), (24000, 8000), (22050, 8000),
    (8000, 16000), (16000, 48000), (44100, 48000), (44100, 47999),
]  # fmt: skip
STOP = {"hq": 1.0, "voice": 1.087, "low_latency": 1.2}
PASS = {"hq": 0.913, "voice": 0.913, "low_latency": 0.8}
COLORS = {"hq": "#1f5fa8", "voice": "#c2571a", "low_latency": "#3a8f4d"}


def respond(rates, quality, fraction):
    """Output of a sine at `fraction` of fN, settled, with its frames' times."""
    in_rate, out_rate = rates
    resampler = codec.Resampler(in_rate, out_rate, dtype="float32", quality=quality)
    frequency = fraction * min(rates) / 2
    edge = 2 * resampler.latency
    count = int((2 * edge + 600 / min(rates)) * in_rate)
    x = 0.5 * np.cos(2 * np.pi * frequency / in_rate * np.arange(count))
    y = np.concatenate([resampler.process(x.astype(np.float32)), resampler.flush()]).astype(float)
    margin = int(edge * out_rate) + 4
    times = np.arange(len(y))[margin:-margin] / out_rate
    return frequency, times, y[margin:-margin]


def decibels(power):
    return 10 * np.log10(power / 0.125 + 1e-30)


def split(rates, quality, fraction):
    """Level of the sine in the output, and of the rest."""
    frequency, times, y = respond(rates, quality, fraction)
    angle = 2 * np.pi * frequency * times
    basis = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    weights, *_ = np.linalg.lstsq(basis, y, rcond=None)
    return decibels((weights @ weights) / 2), decibels(np.mean((y - basis @ weights) ** 2))


def rejection(rates, quality):
    stop = STOP[quality]
    if rates[0] > rates[1]:
        top = 0.999 * rates[0] / rates[1]
        near = stop * np.array([1.0, 1.003, 1.01, 1.02, 1.05])
        tones = [f for f in (*near, *np.linspace(stop, top, 24)) if stop <= f <= top]
        return max(decibels(np.mean(respond(rates, quality, f)[2] ** 2)) for f in tones)
    return max(split(rates, quality, f)[1] for f in np.linspace(0.05, PASS[quality], 24))


def corner(rates, quality):
    low, high = 0.7, 0.9999
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if split(rates, quality, middle)[0] > -3.0103 else (low, middle)
    return low


def plot(path):
    """48 to 8 kHz: the level of whatever comes out for a sine at each frequency."""
    left, top, width, height = 60, 20, 640, 320
    tones = np.unique(np.concatenate([np.linspace(0.5, 1.3, 161), np.linspace(0, 3, 121)]))

    def place(f, level):
        return f"{left + width * f / 3:.1f},{top + height * min(-level, 160) / 160:.1f}"

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 390" font-family="sans-serif" '
        'font-size="12"><rect width="720" height="390" fill="#fff"/>'
    ]
    for level in range(0, -161, -20):
        y = top + height * -level / 160
        parts.append(f'<path d="M{left} {y}h{width}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{level}</text>')
    for f in (0, 0.5, 1, 1.5, 2, 2.5, 3):
        x = left + width * f / 3
        parts.append(f'<path d="M{x:.1f} {top}v{height}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{top + height + 16}" text-anchor="middle">{f}</text>')
    parts.append('<text x="380" y="378" text-anchor="middle">frequency of the sine, fN</text>')
    parts.append('<text x="66" y="15">level in the output, dB (48 to 8 kHz)</text>')
    for row, (quality, color) in enumerate(COLORS.items()):
        levels = [decibels(np.mean(respond((48000, 8000), quality, f)[2] ** 2)) for f in tones]
        levels[0] -= 3.01  # a constant has twice the power of a sine
        points = " ".join(map(place, tones, levels))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.3"/>')
        parts.append(f'<text x="600" y="{50 + 18 * row}" fill="{color}">{quality}</text>')
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(parts) + "\n</svg>\n")


def main():
    print("| ratio | profile | rejection dB | -3 dB at fN | latency ms |\n|---|---|---|---|---|")
    for rates in RATIOS:
        for quality in STOP:
            latency = 1e3 * codec.Resampler(*rates, quality=quality).latency
            cells = f"{rejection(rates, quality):.0f} | {corner(rates, quality):.3f} | {latency:.2f}"
            print(f"| {rates[0]} -> {rates[1]} | {quality} | {cells} |")
    if len(sys.argv) > 1:
        plot(sys.argv[1])


if __name__ == "__main__":
    main()
