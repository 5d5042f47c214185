// `onebound.diffusion.schedules`: entry t is step t, entry 0 the clean image.

/** The log of signal to noise for a share of signal. */
export const logSnrOf = (alphaBar) => Math.log(alphaBar) - Math.log1p(-alphaBar);

export class Schedule {
  /** From alpha_bar_0 = 1 downwards. */
  constructor(alphaBar) {
    this.alphaBar = Float64Array.from(alphaBar);
    this.T = alphaBar.length - 1;
  }

  /** Variance of q(x_s|x_t, x_0); 0 in entries 0 and 1. */
  get betaTilde() {
    const a = this.alphaBar;
    return a.map((now, t) => (t < 2 ? 0 : (((1 - a[t - 1]) / (1 - now)) * (a[t - 1] - now)) / a[t - 1]));
  }

  get logSnr() {
    return this.alphaBar.map(logSnrOf);
  }

  /** The schedule of those steps alone, which rise. */
  respaced(steps) {
    return new Schedule([1, ...steps.map((t) => this.alphaBar[t])]);
  }
}

/** The schedule that the variances of single steps multiply up to. */
export function fromBeta(beta) {
  let left = 1;
  return new Schedule([1, ...Array.from(beta, (b) => (left *= 1 - b))]);
}

export function linearSchedule(T, first = 1e-4, last = 0.02) {
  return fromBeta(Array.from({length: T}, (_, i) => first + ((last - first) * i) / (T - 1)));
}

const MAX_BETA = 0.999;

export function cosineSchedule(T, offset = 0.008) {
  const f = Array.from({length: T + 1},
    (_, t) => Math.cos(((Math.PI / 2) * (t / T + offset)) / (1 + offset)) ** 2);
  return fromBeta(f.slice(1).map((after, i) => Math.min((f[i] - after) / f[i], MAX_BETA)));
}

/** K of the steps 1 to T at equal distances up to rounding, T the last. */
export function evenSteps(T, K) {
  return Array.from({length: K}, (_, k) => Math.floor(((k + 1) * T) / K));
}
