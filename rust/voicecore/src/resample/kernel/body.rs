//! The loops that every level shares, as a macro: a twin is a module with a vector type and this body.
//!
//! The module gives `Vector`, `WIDTH` (its lanes), `zero`, `splat`, `load`, `store`, `add`, `multiply` and `totals`.

/// Defines the kernels for one level.
macro_rules! kernels {
    ($(#[$feature:meta])* strip: $strip:literal, counts: $($count:literal)*) => {
        use super::{Arm, GROUP, LANES, Lanes, RUN};

        $(#[$feature])*
        pub(super) fn bank(
            arms: &[Arm],
            coefficients: &[f32],
            planes: &[f32],
            stride: usize,
            at: usize,
            out: &mut [f32],
        ) {
            let vectors = out.len() / WIDTH;
            let strips = vectors.div_ceil($strip);
            let mut rest = out;
            for left in (1..=strips).rev() {
                let count = (rest.len() / WIDTH).div_ceil(left);
                let (now, later) = rest.split_at_mut(count * WIDTH);
                let at = at + (vectors - (now.len() + later.len()) / WIDTH) * WIDTH;
                match count {
                    $($count => strip::<$count>(arms, coefficients, planes, stride, at, now),)*
                    _ => strip::<$strip>(arms, coefficients, planes, stride, at, now),
                }
                rest = later;
            }
        }

        /// `V` vectors of outputs.
        $(#[$feature])*
        #[inline]
        fn strip<const V: usize>(
            arms: &[Arm],
            coefficients: &[f32],
            planes: &[f32],
            stride: usize,
            at: usize,
            out: &mut [f32],
        ) {
            out.fill(0.0);
            for arm in arms {
                let start = arm.plane * stride + at + arm.offset;
                let window = &planes[start..][..V * WIDTH + arm.taps - 1];
                let taps = &coefficients[arm.first..][..arm.taps];
                for (index, run) in taps.chunks(RUN).enumerate() {
                    let window = &window[index * RUN..];
                    let sums = match run.as_array::<RUN>() {
                        Some(run) => sum_run::<V>(window, run),
                        None => sum_last_run::<V>(window, run),
                    };
                    for v in 0..V {
                        let out = &mut out[v * WIDTH..][..WIDTH];
                        store(out, add(load(out, 0), sums[v]));
                    }
                }
            }
        }

        $(#[$feature])*
        #[inline]
        fn sum_run<const V: usize>(window: &[f32], run: &[f32; RUN]) -> [Vector; V] {
            let window = &window[..V * WIDTH + RUN - 1];
            let mut sums = [zero(); V];
            for (residue, taps) in run.as_chunks::<GROUP>().0.iter().enumerate() {
                let window = &window[residue..][..V * WIDTH + RUN - LANES];
                let [a, b, c, d] = [splat(taps[0]), splat(taps[1]), splat(taps[2]), splat(taps[3])];
                for v in 0..V {
                    let left = add(
                        multiply(load(window, v * WIDTH), a),
                        multiply(load(window, v * WIDTH + LANES), b),
                    );
                    let right = add(
                        multiply(load(window, v * WIDTH + 2 * LANES), c),
                        multiply(load(window, v * WIDTH + 3 * LANES), d),
                    );
                    sums[v] = add(sums[v], add(left, right));
                }
            }
            sums
        }

        $(#[$feature])*
        #[inline]
        fn sum_last_run<const V: usize>(window: &[f32], run: &[f32]) -> [Vector; V] {
            let mut sums = [zero(); V];
            for (place, tap) in run.iter().enumerate() {
                let window = &window[place..][..V * WIDTH];
                let tap = splat(*tap);
                for v in 0..V {
                    sums[v] = add(sums[v], multiply(load(window, v * WIDTH), tap));
                }
            }
            sums
        }

        $(#[$feature])*
        #[inline]
        pub(super) fn dots(windows: [&[f32]; 4], rows: [&[Lanes]; 4]) -> [f32; 4] {
            let mut sums = [[zero(); LANES / WIDTH]; 4];
            let len = rows[0].len();
            let windows = [
                &windows[0][..len * LANES],
                &windows[1][..len * LANES],
                &windows[2][..len * LANES],
                &windows[3][..len * LANES],
            ];
            let rows = [&rows[0][..len], &rows[1][..len], &rows[2][..len], &rows[3][..len]];
            for block in 0..len {
                for row in 0..4 {
                    for part in 0..LANES / WIDTH {
                        let x = load(windows[row], block * LANES + part * WIDTH);
                        let h = load(&rows[row][block].0, part * WIDTH);
                        sums[row][part] = add(sums[row][part], multiply(x, h));
                    }
                }
            }
            totals(sums)
        }

        $(#[$feature])*
        pub(super) fn rows(
            out: &mut [f32],
            rows: &[Lanes],
            len: usize,
            history: &[f32],
            mut place: impl FnMut() -> (usize, usize),
        ) {
            let (fours, tail) = out.as_chunks_mut::<4>();
            for four in fours {
                let places = [place(), place(), place(), place()];
                *four = row_dots(rows, len, history, places);
            }
            let count = tail.len();
            let mut places = [(0, 0); 4];
            for slot in &mut places[..count] {
                *slot = place();
            }
            tail.copy_from_slice(&row_dots(rows, len, history, places)[..count]);
        }

        $(#[$feature])*
        #[inline]
        fn row_dots(
            rows: &[Lanes],
            len: usize,
            history: &[f32],
            places: [(usize, usize); 4],
        ) -> [f32; 4] {
            let [a, b, c, d] = places;
            let row = (&rows[a.1 * len..], &rows[b.1 * len..], &rows[c.1 * len..], &rows[d.1 * len..]);
            dots(
                [&history[a.0..], &history[b.0..], &history[c.0..], &history[d.0..]],
                [&row.0[..len], &row.1[..len], &row.2[..len], &row.3[..len]],
            )
        }

        $(#[$feature])*
        pub(super) fn split(frames: &[f32], planes: &mut [f32], stride: usize, down: usize, len: usize) {
            // Single frames up to a whole group of planes, then groups, then the rest.
            let lead = ((down - len % down) % down).min(frames.len());
            let (head, body) = frames.split_at(lead);
            for (i, &x) in head.iter().enumerate() {
                planes[(len + i) % down * stride + (len + i) / down] = x;
            }
            let at = (len + lead) / down;
            match down {
                1 => planes[at..][..body.len()].copy_from_slice(body),
                2 => split_in::<2>(body, planes, stride, at),
                3 => split_in::<3>(body, planes, stride, at),
                4 => split_in::<4>(body, planes, stride, at),
                5 => split_in::<5>(body, planes, stride, at),
                6 => split_in::<6>(body, planes, stride, at),
                _ => {
                    for (r, plane) in planes.chunks_exact_mut(stride).enumerate() {
                        let mine = body.iter().skip(r).step_by(down);
                        for (place, x) in plane[at..].iter_mut().zip(mine) {
                            *place = *x;
                        }
                    }
                }
            }
        }

        $(#[$feature])*
        #[inline]
        fn split_in<const M: usize>(frames: &[f32], planes: &mut [f32], stride: usize, at: usize) {
            let (groups, tail) = frames.as_chunks::<M>();
            let mut index = 0;
            while index < M {
                let plane = &mut planes[index * stride + at..];
                for (place, group) in plane[..groups.len()].iter_mut().zip(groups) {
                    *place = group[index];
                }
                if let Some(x) = tail.get(index) {
                    plane[groups.len()] = *x;
                }
                index += 1;
            }
        }

        $(#[$feature])*
        pub(super) fn scatter(from: &[f32], to: &mut [f32], step: usize) {
            if step == 1 {
                to[..from.len()].copy_from_slice(from);
                return;
            }
            for (x, place) in from.iter().zip(to.iter_mut().step_by(step)) {
                *place = *x;
            }
        }

        $(#[$feature])*
        pub(super) fn widen(from: &[i16], to: &mut [f32]) {
            use super::super::sample::sealed::Sealed;
            for (y, x) in to.iter_mut().zip(from) {
                *y = x.to_f32();
            }
        }

        $(#[$feature])*
        pub(super) fn narrow(from: &[f32], to: &mut [i16]) {
            use super::super::sample::sealed::Sealed;
            for (y, x) in to.iter_mut().zip(from) {
                *y = i16::from_f32(*x);
            }
        }
    };
}

pub(super) use kernels;
