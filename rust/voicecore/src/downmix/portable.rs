//! Downmix and up-mix in plain loops: the specification, vectorised by the compiler.

/// Floored half sums.
#[inline(always)]
pub(super) fn stereo_i16(frames: &[i16], out: &mut [i16]) {
    per_frame(frames, out, |[left, right]| ((i32::from(left) + i32::from(right)) >> 1) as i16);
}

/// Half sums, halved before the sum so that two huge samples cannot overflow.
#[inline(always)]
pub(super) fn stereo_f32(frames: &[f32], out: &mut [f32]) {
    per_frame(frames, out, |[left, right]| 0.5 * left + 0.5 * right);
}

/// Each sample twice.
#[inline(always)]
pub(super) fn twice<T: Copy>(mono: &[T], out: &mut [T]) {
    for (frame, &sample) in out.as_chunks_mut().0.iter_mut().zip(mono) {
        *frame = [sample; 2];
    }
}

/// A channel count that the compiler knows, so that the loop vectorises.
#[inline(always)]
fn per_frame<T: Copy>(frames: &[T], out: &mut [T], mix: impl Fn([T; 2]) -> T) {
    for (to, &frame) in out.iter_mut().zip(frames.as_chunks().0) {
        *to = mix(frame);
    }
}
