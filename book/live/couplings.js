// On a line, pairs of a point and noise: independent, paired at best within batches, or rectified. What
// their mean velocity is, exactly, and where it leads.

import {LINE} from "./mixtures.js";
import {normal, uniform} from "./random.js";

const [NOISE, DATA] = [LINE.noised(0, 1), LINE.noised(1, 0)];
const REACH = 8, CELL = 1 / 512; // of the tables
const FASTEST = 7, STEP = 1 / 25; // of the velocities that the mean is taken over

/** A density and the share below, at places REACH on either side, for interpolation. */
function tabled(level) {
  const length = (2 * REACH) / CELL + 2;
  const density = new Float64Array(length).map((_, i) => level.density([i * CELL - REACH], 0));
  let below = 0;
  return {density, share: density.map((now, i) => (below += i ? (CELL * (density[i - 1] + now)) / 2 : 0))};
}

/** Where the exact path of noise ends, whoever is paired with whom: on a line, paths keep their order. */
export const carried = (eps) => DATA.placeOf(NOISE.shareBelow(eps));

/**
 * The velocity E[eps - x_0 | x_tau = x] if the best pairing is sought within batches of `size`; 1 leaves
 * the pairs independent.
 *
 * On a line the best pairing is that of equal ranks. Given the rank r, both are independent, and the
 * shares U and V below them have the density of the r-th of `size` uniform numbers. So the density of a
 * pair is p(x_0) p(eps) times size * sum over r of C(size - 1, r)^2 (U V)^r ((1 - U) (1 - V))^(size - 1 - r).
 * A pair that passes x at tau with the velocity d has x_0 = x - tau d and eps = x + (1 - tau) d: the mean
 * is an integral over d.
 */
export function velocityOf(size) {
  const [noise, data] = (velocityOf.tables ??= [NOISE, DATA].map(tabled));
  const n = size - 1;
  const squares = [1];
  for (let r = 1; r <= n; r++) squares.push(squares[r - 1] * ((n - r + 1) / r) ** 2);
  const together = (u, v) => {
    const both = u * v, neither = (1 - u) * (1 - v);
    const most = Math.max(both, neither), ratio = Math.min(both, neither) / most;
    let total = 0; // by Horner's rule; the squares are the same from either end
    for (let r = n; r >= 0; r--) total = total * ratio + squares[r];
    return total * most ** n;
  };
  return (x, tau) => {
    let mass = 0, moved = 0;
    for (let d = -FASTEST; d <= FASTEST; d += STEP) {
      const at = (x - tau * d + REACH) / CELL, other = (x + (1 - tau) * d + REACH) / CELL;
      const [i, j] = [Math.floor(at), Math.floor(other)];
      if (i < 0 || j < 0 || i + 1 >= data.share.length || j + 1 >= noise.share.length) continue;
      const p = data.density[i] + (at - i) * (data.density[i + 1] - data.density[i]);
      const q = noise.density[j] + (other - j) * (noise.density[j + 1] - noise.density[j]);
      if (p * q < 1e-100) continue;
      const u = data.share[i] + (at - i) * (data.share[i + 1] - data.share[i]);
      const v = noise.share[j] + (other - j) * (noise.share[j + 1] - noise.share[j]);
      const weight = n ? p * q * together(u, v) : p * q;
      mass += weight;
      moved += weight * d;
    }
    return moved / mass;
  };
}

/** Places of points after each of K Euler steps from tau = 1 to 0; `velocity` is asked for each. */
export function* euler(velocity, starts, K) {
  let x = Float64Array.from(starts);
  yield x;
  for (let k = K; k > 0; k--) {
    const from = x;
    x = from.map((place, i) => place - velocity(place, k / K, i) / K);
    yield x;
  }
}

/** Curvature of paths with equal steps: the mean square of the velocity over that of the way, less 1. */
export function curvatureOf(path) {
  const K = path.length - 1;
  let speed = 0, whole = 0;
  path[0].forEach((start, i) => {
    for (let k = 0; k < K; k++) speed += K * (path[k + 1][i] - path[k][i]) ** 2;
    whole += (path[K][i] - start) ** 2;
  });
  return speed / whole - 1;
}

/** Pairs [x_0, eps], `count` in all, the best within batches of `size`. */
export function pairsOf(size, count, seed) {
  const [share, noise] = [uniform(seed), normal(seed + 1)];
  const rising = (values) => values.sort((a, b) => a - b);
  const pairs = [];
  while (pairs.length < count) {
    const eps = rising(noise(size));
    const x0 = rising(Float64Array.from({length: size}, () => DATA.placeOf(share())));
    pairs.push(...Array.from(x0, (x, i) => [x, eps[i]]));
  }
  return pairs.slice(0, count);
}
