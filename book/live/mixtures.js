// `onebound.exact.mixture` and `onebound.exact.transport`: mixtures of normals under any amount of noise.

const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Clusters with their weights, means, deviations along their axes, and how far those are turned. */
export class Mixture {
  constructor(weights, means, deviations, angles) {
    this.D = means[0].length;
    this.clusters = weights.map((weight, k) => {
      const [c, s] = [Math.cos(angles[k]), Math.sin(angles[k])];
      const axes = this.D === 1 ? [[1]] : [[c, s], [-s, c]];
      return {weight, mean: means[k], variances: deviations[k].map((d) => d * d), axes};
    });
  }

  /** The mixture of a x_0 + sigma eps. */
  noised(a, sigma) {
    return new Noised(this, a, sigma);
  }

  /** E[x_0|x_t] for the steps of a schedule, as samplers ask it. */
  denoiser({alphaBar}) {
    const levels = Array.from(alphaBar, (a) => this.noised(Math.sqrt(a), Math.sqrt(1 - a)));
    return (x, t) => levels[t].guess(x);
  }
}

/** What is known of a x_0 + sigma eps. Points are arrays x, y, x, y, ..., and `i` is where one begins. */
class Noised {
  constructor({clusters, D}, a, sigma) {
    Object.assign(this, {D, a, sigma});
    this.clusters = clusters.map(({weight, mean, variances, axes}) => {
      const spread = variances.map((v) => a * a * v + sigma * sigma);
      return {
        weight, mean, axes,
        centre: mean.map((m) => a * m),
        deviations: spread.map(Math.sqrt),
        rates: spread.map((s) => 0.5 / s),
        gains: variances.map((v, j) => (a * v) / spread[j]),
        log: Math.log(weight) - 0.5 * sum(spread.map((s) => Math.log(2 * Math.PI * s))),
      };
    });
  }

  /** How far the point is from the centre of a cluster, along its axis `j`. */
  along({axes, centre}, j, x, i) {
    let moved = 0;
    for (let c = 0; c < this.D; c++) moved += axes[j][c] * (x[i + c] - centre[c]);
    return moved;
  }

  density(x, i) {
    let total = 0;
    for (const cluster of this.clusters) {
      let {log} = cluster;
      for (let j = 0; j < this.D; j++) log -= cluster.rates[j] * this.along(cluster, j, x, i) ** 2;
      total += Math.exp(log);
    }
    return total;
  }

  /** The chances of the clusters that the point came from. */
  chances(x, i) {
    const logs = this.clusters.map((cluster) => {
      let {log} = cluster;
      for (let j = 0; j < this.D; j++) log -= cluster.rates[j] * this.along(cluster, j, x, i) ** 2;
      return log;
    });
    const most = Math.max(...logs);
    const shares = logs.map((log) => Math.exp(log - most));
    const all = sum(shares);
    return shares.map((share) => share / all);
  }

  /** E[x_0|x] of each point. */
  guess(x) {
    const guess = new Float64Array(x.length);
    for (let i = 0; i < x.length; i += this.D)
      this.chances(x, i).forEach((chance, k) => {
        const cluster = this.clusters[k];
        for (let c = 0; c < this.D; c++) guess[i + c] += chance * cluster.mean[c];
        for (let j = 0; j < this.D; j++) {
          const pull = chance * cluster.gains[j] * this.along(cluster, j, x, i);
          for (let c = 0; c < this.D; c++) guess[i + c] += pull * cluster.axes[j][c];
        }
      });
    return guess;
  }

  /** The gradient of the log-density at each point. */
  score(x) {
    return this.guess(x).map((x0, i) => (this.a * x0 - x[i]) / this.sigma ** 2);
  }

  /** On a line, the share of the probability below x. */
  shareBelow(x) {
    return sum(this.clusters.map(({weight, centre, deviations}) =>
      weight * ndtr((x - centre[0]) / deviations[0])));
  }

  /** On a line, the place that has this share below it, by bisection. */
  placeOf(share) {
    let [low, high] = [-40, 40];
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (this.shareBelow(middle) < share) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }
}

/** The distribution function of N(0, 1), to rounding: a series near 0, a continued fraction far away. */
export function ndtr(x) {
  const z = Math.abs(x);
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (z < 3) {
    let term = z, total = z;
    for (let n = 3; term > 1e-17 * total; n += 2) total += term *= (z * z) / n;
    return 0.5 + Math.sign(x) * density * total;
  }
  let below = z;
  for (let n = 80; n > 0; n--) below = z + n / below;
  return x < 0 ? density / below : 1 - density / below;
}

/** n places that have equal shares of N(0, 1) between them. */
export function normalQuantiles(n, low = 0.02) {
  const noise = LINE.noised(0, 1);
  return Float64Array.from({length: n}, (_, i) => noise.placeOf(low + ((1 - 2 * low) * i) / (n - 1)));
}

/** `mixture_1d` of the package. */
export const LINE = new Mixture([0.5, 0.3, 0.2], [[-0.9], [0.5], [1.5]], [[0.2], [0.3], [0.1]], [0, 0, 0]);

/** `mixture_2d` of the package. */
export const PLANE = new Mixture(
  [0.3, 0.25, 0.2, 0.15, 0.1],
  [[-1.1, -0.6], [1.0, 0.9], [0.8, -1.2], [-0.4, 1.4], [-0.2, -0.15]],
  [[0.4, 0.12], [0.2, 0.2], [0.35, 0.1], [0.3, 0.12], [0.1, 0.1]],
  [0.9, 0, -0.5, 0.2, 0],
);
