//! The loops that every level shares, as a macro: a twin is a module with a vector type and this body.
//!
//! The module gives `Vector`, `WIDTH` (its lanes), `zero`, `splat`, `load`, `store`, `add`, `multiply_add`, `totals`
//! , `Offsets`, `load_offsets`,
//! `next_lanes`, `pick_lanes` and `Near`: what a window of less than `V * WIDTH + LANES` places has from any of its first [`LANES`](super::LANES) on.

/// Defines the kernels for one level.
macro_rules! kernels {
    ($(#[$feature:meta])* strip: $strip:literal, counts: $($count:literal)*) => {
        use super::{Arm, GroupsOf, LANES, Lanes, Next, RowsOf};

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
            let mut totals = [zero(); V];
            for arm in arms {
                let reach = V * WIDTH + arm.taps - 1;
                let window = &planes[arm.at.plane * stride + at + arm.at.offset..][..reach];
                let mirror = arm.mirror.unwrap_or(arm.at);
                let mirror = &planes[mirror.plane * stride + at + mirror.offset..][..reach];
                let taps = &coefficients[arm.first..][..arm.count];
                for (index, run) in taps[..arm.in_runs].chunks(arm.run).enumerate() {
                    let start = index * arm.run;
                    let (ahead, back) = (&window[start..], &mirror[..reach - start]);
                    let sums = match (arm.mirror.is_some(), run.len() / LANES) {
                        (true, 1) => sum_folded::<V, 1>(ahead, back, run),
                        (true, 2) => sum_folded::<V, 2>(ahead, back, run),
                        (true, 3) => sum_folded::<V, 3>(ahead, back, run),
                        (true, 4) => sum_folded::<V, 4>(ahead, back, run),
                        (true, 5) => sum_folded::<V, 5>(ahead, back, run),
                        (true, _) => sum_folded::<V, 6>(ahead, back, run),
                        (false, 1) => sum_run::<V, 1>(ahead, run),
                        (false, 2) => sum_run::<V, 2>(ahead, run),
                        (false, 3) => sum_run::<V, 3>(ahead, run),
                        (false, 4) => sum_run::<V, 4>(ahead, run),
                        (false, 5) => sum_run::<V, 5>(ahead, run),
                        (false, _) => sum_run::<V, 6>(ahead, run),
                    };
                    for v in 0..V {
                        totals[v] = add(totals[v], sums[v]);
                    }
                }
                let rest = &taps[arm.in_runs..];
                let (ahead, back) = (&window[arm.in_runs..], &mirror[..reach - arm.in_runs]);
                if arm.mirror.is_some() {
                    add_pairs::<V>(ahead, back, rest, &mut totals);
                } else {
                    add_singly::<V>(ahead, rest, &mut totals);
                }
            }
            for v in 0..V {
                let out = &mut out[v * WIDTH..][..WIDTH];
                store(out, totals[v]);
            }
        }

        /// The products of `G * LANES` taps with what the window begins with.
        $(#[$feature])*
        #[inline]
        fn sum_run<const V: usize, const G: usize>(window: &[f32], run: &[f32]) -> [Vector; V] {
            let window = &window[..V * WIDTH + G * LANES - 1];
            let mut sums = [zero(); V];
            for (residue, taps) in run.as_chunks::<G>().0.iter().enumerate().take(LANES) {
                let window = &window[residue..][..V * WIDTH + (G - 1) * LANES];
                let mut factors = [zero(); G];
                for g in 0..G {
                    factors[g] = splat(taps[g]);
                }
                for v in 0..V {
                    for g in 0..G {
                        let x = load(window, v * WIDTH + g * LANES);
                        sums[v] = multiply_add(x, factors[g], sums[v]);
                    }
                }
            }
            sums
        }

        /// The same with sums of inputs: one from where `ahead` begins, one from where `back` ends, and inwards.
        $(#[$feature])*
        #[inline]
        fn sum_folded<const V: usize, const G: usize>(
            ahead: &[f32],
            back: &[f32],
            run: &[f32],
        ) -> [Vector; V] {
            let ahead = &ahead[..V * WIDTH + G * LANES - 1];
            let back = &back[back.len() - (V * WIDTH + G * LANES - 1)..];
            let mut sums = [zero(); V];
            for (residue, taps) in run.as_chunks::<G>().0.iter().enumerate().take(LANES) {
                let ahead = &ahead[residue..][..V * WIDTH + (G - 1) * LANES];
                let back = &back[LANES - 1 - residue..][..V * WIDTH + (G - 1) * LANES];
                let mut factors = [zero(); G];
                for g in 0..G {
                    factors[g] = splat(taps[g]);
                }
                for v in 0..V {
                    for g in 0..G {
                        let x = load(ahead, v * WIDTH + g * LANES);
                        let y = load(back, v * WIDTH + (G - 1 - g) * LANES);
                        sums[v] = multiply_add(add(x, y), factors[g], sums[v]);
                    }
                }
            }
            sums
        }

        /// What the window begins with.
        $(#[$feature])*
        #[inline]
        fn load_all<const V: usize>(window: &[f32]) -> [Vector; V] {
            let window = &window[..V * WIDTH];
            let mut inputs = [zero(); V];
            for v in 0..V {
                inputs[v] = load(window, v * WIDTH);
            }
            inputs
        }

        $(#[$feature])*
        #[inline]
        fn add_singly<const V: usize>(window: &[f32], taps: &[f32], sums: &mut [Vector; V]) {
            for (block, taps) in taps.chunks(LANES).enumerate() {
                let window = &window[block * LANES..][..V * WIDTH + taps.len() - 1];
                if let [tap] = taps {
                    let inputs = load_all::<V>(window);
                    for v in 0..V {
                        sums[v] = multiply_add(inputs[v], splat(*tap), sums[v]);
                    }
                    continue;
                }
                let near = Near::<V>::new(window);
                for (place, tap) in taps.iter().enumerate() {
                    let even = place % 2 == 0;
                    let inputs = if even { load_all(&window[place..]) } else { near.at(place) };
                    for v in 0..V {
                        sums[v] = multiply_add(inputs[v], splat(*tap), sums[v]);
                    }
                }
            }
        }

        /// The same with sums of inputs, as in [`sum_folded`].
        $(#[$feature])*
        #[inline]
        fn add_pairs<const V: usize>(
            ahead: &[f32],
            back: &[f32],
            taps: &[f32],
            sums: &mut [Vector; V],
        ) {
            for (block, taps) in taps.chunks(LANES).enumerate() {
                let reach = V * WIDTH + taps.len() - 1;
                let ahead = &ahead[block * LANES..][..reach];
                let back = &back[back.len() - block * LANES - reach..][..reach];
                let near = Near::<V>::new(ahead);
                for (place, tap) in taps.iter().enumerate() {
                    let inputs = near.at(place);
                    let back = &back[taps.len() - 1 - place..][..V * WIDTH];
                    for v in 0..V {
                        let pair = add(inputs[v], load(back, v * WIDTH));
                        sums[v] = multiply_add(pair, splat(*tap), sums[v]);
                    }
                }
            }
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
                        sums[row][part] = multiply_add(x, h, sums[row][part]);
                    }
                }
            }
            totals(sums)
        }

        $(#[$feature])*
        pub(super) fn rows(out: &mut [f32], filter: &RowsOf, history: &[f32], next: Next) {
            let (len, up) = (filter.len, filter.up);
            let mut next = next;
            if out.len() > up {
                // Outputs `up` apart have the same row.
                for first in 0..up {
                    let row = &filter.rows[next.phase * len..][..len];
                    let mut at = next.start;
                    let mut index = first;
                    while index + 3 * up < out.len() {
                        let sums = column::<4>(row, history, at, filter.down);
                        for (i, sum) in sums.into_iter().enumerate() {
                            out[index + i * up] = sum;
                        }
                        index += 4 * up;
                        at += 4 * filter.down;
                    }
                    if index + up < out.len() {
                        let sums = column::<2>(row, history, at, filter.down);
                        (out[index], out[index + up]) = (sums[0], sums[1]);
                        index += 2 * up;
                        at += 2 * filter.down;
                    }
                    if index < out.len() {
                        out[index] = column::<1>(row, history, at, 0)[0];
                    }
                    next.advance(filter.up, filter.down);
                }
                return;
            }
            for four in out.chunks_mut(4) {
                let mut windows = [history; 4];
                let mut rows = [&filter.rows[..len]; 4];
                for (window, row) in windows.iter_mut().zip(&mut rows).take(four.len()) {
                    *window = &history[next.start..][..len * LANES];
                    *row = &filter.rows[next.phase * len..][..len];
                    next.advance(filter.up, filter.down);
                }
                four.copy_from_slice(&dots(windows, rows)[..four.len()]);
            }
        }

        /// Products of one row with `K` windows, `step` apart.
        $(#[$feature])*
        #[inline]
        fn column<const K: usize>(row: &[Lanes], history: &[f32], at: usize, step: usize) -> [f32; 4] {
            let mut sums = [[zero(); LANES / WIDTH]; 4];
            let history = &history[at..][..(K - 1) * step + row.len() * LANES];
            for (block, taps) in row.iter().enumerate() {
                for part in 0..LANES / WIDTH {
                    let h = load(&taps.0, part * WIDTH);
                    for k in 0..K {
                        let x = load(history, k * step + block * LANES + part * WIDTH);
                        sums[k][part] = multiply_add(x, h, sums[k][part]);
                    }
                }
            }
            totals(sums)
        }

        $(#[$feature])*
        pub(super) fn groups(
            out: &mut [f32],
            filter: &GroupsOf,
            history: &[f32],
            window: usize,
            first: usize,
        ) {
            let (mut index, mut skip) = (first / LANES, first % LANES);
            // The group's first window, perhaps of an output before `out`.
            let mut at = window - filter.groups[index].offsets[skip] as usize;
            let mut rest = out;
            while !rest.is_empty() {
                let (next, step) = ((index + 1) % filter.groups.len(), filter.groups[index].step);
                if skip == 0 && rest.len() >= 2 * LANES {
                    let (now, later) = rest.split_at_mut(2 * LANES);
                    sum_groups(filter, [index, next], [&history[at..], &history[at + step..]], now);
                    at += step + filter.groups[next].step;
                    (rest, index) = (later, (next + 1) % filter.groups.len());
                    continue;
                }
                let mut lanes = [0.0; LANES];
                sum_groups(filter, [index], [&history[at..]], &mut lanes);
                let count = rest.len().min(LANES - skip);
                let (now, later) = rest.split_at_mut(count);
                now.copy_from_slice(&lanes[skip..][..count]);
                at += step;
                (rest, skip, index) = (later, 0, next);
            }
        }

        /// The outputs of `K` groups. Two vectors of inputs serve as many taps as they have all lanes' inputs for.
        $(#[$feature])*
        #[inline]
        fn sum_groups<const K: usize>(
            filter: &GroupsOf,
            indices: [usize; K],
            windows: [&[f32]; K],
            out: &mut [f32],
        ) {
            let serves = 2 * WIDTH - ((WIDTH - 1) * filter.down).div_ceil(filter.up);
            for part in 0..LANES / WIDTH {
                // Every other tap has a sum of its own, so that none waits for the one before.
                let (mut sums, mut others) = ([zero(); K], [zero(); K]);
                let mut taps = [&filter.taps[..filter.len]; K];
                let mut inputs = windows;
                let mut first = [load_offsets(&filter.groups[0].offsets, 0); K];
                for k in 0..K {
                    taps[k] = &filter.taps[indices[k] * filter.len..][..filter.len];
                    let offsets = &filter.groups[indices[k]].offsets[part * WIDTH..][..WIDTH];
                    first[k] = load_offsets(offsets, offsets[0]);
                    inputs[k] = &windows[k][offsets[0] as usize..][..filter.len + 2 * WIDTH];
                }
                for begin in (0..filter.len).step_by(serves) {
                    let end = filter.len.min(begin + serves);
                    let mut from = [[zero(); 2]; K];
                    for k in 0..K {
                        from[k] = load_all::<2>(&inputs[k][begin..]);
                    }
                    let mut lanes = first;
                    for tap in begin..end {
                        for k in 0..K {
                            let x = pick_lanes(from[k], lanes[k]);
                            let sum = multiply_add(x, load(&taps[k][tap].0, part * WIDTH), sums[k]);
                            (sums[k], others[k]) = (others[k], sum);
                            lanes[k] = next_lanes(lanes[k]);
                        }
                    }
                }
                for k in 0..K {
                    store(&mut out[k * LANES + part * WIDTH..], add(sums[k], others[k]));
                }
            }
        }

        $(#[$feature])*
        pub(super) fn split(frames: &[f32], planes: &mut [f32], stride: usize, down: usize, at: usize) {
            match down {
                1 => planes[at..][..frames.len()].copy_from_slice(frames),
                2 => split_in::<2>(frames, planes, stride, at),
                3 => split_in::<3>(frames, planes, stride, at),
                4 => split_in::<4>(frames, planes, stride, at),
                6 => split_in::<6>(frames, planes, stride, at),
                _ => {
                    for (r, plane) in planes.chunks_exact_mut(stride).enumerate() {
                        let mine = frames.iter().skip(r).step_by(down);
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
            for (index, plane) in planes.chunks_exact_mut(stride).enumerate().take(M) {
                let plane = &mut plane[at..];
                for (place, group) in plane[..groups.len()].iter_mut().zip(groups) {
                    *place = group[index];
                }
                if let Some(x) = tail.get(index) {
                    plane[groups.len()] = *x;
                }
            }
        }

        $(#[$feature])*
        pub(super) fn join(planes: &[f32], out: &mut [f32], stride: usize, up: usize, at: usize) {
            match up {
                1 => out.copy_from_slice(&planes[at..][..out.len()]),
                2 => join_in::<2>(planes, out, stride, at),
                3 => join_in::<3>(planes, out, stride, at),
                _ => {
                    for (r, plane) in planes.chunks_exact(stride).enumerate().take(up) {
                        let mine = out.iter_mut().skip(r).step_by(up);
                        for (place, x) in mine.zip(&plane[at..]) {
                            *place = *x;
                        }
                    }
                }
            }
        }

        $(#[$feature])*
        #[inline]
        fn join_in<const L: usize>(planes: &[f32], out: &mut [f32], stride: usize, at: usize) {
            let (groups, tail) = out.as_chunks_mut::<L>();
            let count = groups.len();
            let mut sources = [planes; L];
            for (r, source) in sources.iter_mut().enumerate() {
                *source = &planes[r * stride + at..][..count + usize::from(r < tail.len())];
            }
            for (index, group) in groups.iter_mut().enumerate() {
                for r in 0..L {
                    group[r] = sources[r][index];
                }
            }
            for (place, source) in tail.iter_mut().zip(sources) {
                *place = source[count];
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
