// `onebound.exact.toy.Parabola`: p(z) = N(0, 1), p(x|z) = N((z, z^2), sigma^2 I), solved on a grid.

const REACH = 20, POINTS = 8001; // as in the chapter
const CELL = (2 * REACH) / (POINTS - 1);
/** The grid of z that integrals are taken on. */
export const GRID = Float64Array.from({length: POINTS}, (_, i) => -REACH + i * CELL);

const LOG_TWO_PI = Math.log(2 * Math.PI);

/** Log-density of N(mean, deviation^2). */
export const logNormal = (z, mean, deviation) =>
  -0.5 * (LOG_TWO_PI + ((z - mean) / deviation) ** 2) - Math.log(deviation);

/** All about one observation x = (x_1, x_2) that does not depend on q. */
export class Posterior {
  constructor(x, sigma) {
    this.x = x;
    this.sigma = sigma;
    const logJoint = GRID.map((z) => logNormal(x[0], z, sigma) + logNormal(x[1], z * z, sigma)
      + logNormal(z, 0, 1));
    const most = Math.max(...logJoint);
    this.logP = most + Math.log(logJoint.reduce((sum, f) => sum + Math.exp(f - most), 0) * CELL);
    this.logDensity = logJoint.map((f) => f - this.logP);
    const moment = (f) => GRID.reduce((sum, z, i) => sum + Math.exp(this.logDensity[i]) * f(z), 0) * CELL;
    this.mean = moment((z) => z);
    this.deviation = Math.sqrt(moment((z) => (z - this.mean) ** 2));
  }

  /** The two terms of the bound under q = N(m, s^2), in closed form. */
  terms(m, s) {
    const {x, sigma} = this;
    const v = s * s;
    const squares = (x[0] - m) ** 2 + v
      + (x[1] - m * m - v) ** 2 + 4 * m * m * v + 2 * v * v;
    return {
      likelihood: -squares / (2 * sigma ** 2) - LOG_TWO_PI - 2 * Math.log(sigma),
      kl: 0.5 * (m * m + v - 1) - Math.log(s),
    };
  }

  elbo(m, s) {
    const {likelihood, kl} = this.terms(m, s);
    return likelihood - kl;
  }

  /** The gap on its own: KL from q to the posterior, an integral over the grid. */
  gap(m, s) {
    return CELL * GRID.reduce((sum, z, i) => {
      const log = logNormal(z, m, s);
      return sum + Math.exp(log) * (log - this.logDensity[i]);
    }, 0);
  }

  /** One step uphill in (m, log s), never past the top along the gradient. */
  climb(m, s) {
    const h = 1e-5;
    const slope = [
      (this.elbo(m + h, s) - this.elbo(m - h, s)) / (2 * h),
      (this.elbo(m, s * Math.exp(h)) - this.elbo(m, s * Math.exp(-h))) / (2 * h),
    ];
    const here = this.elbo(m, s);
    const length = Math.hypot(...slope);
    for (let rate = Math.min(0.05, 0.08 / length); rate > 1e-7; rate /= 2) {
      const next = [m + rate * slope[0], s * Math.exp(rate * slope[1])];
      if (this.elbo(...next) > here) return next;
    }
    return [m, s];
  }
}
