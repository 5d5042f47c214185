// A small network of points in the plane, and its training: it learns in the page what the large ones
// learned before. It puts out v, as those of the zoo do, and is told the step by waves.

import {normal, uniform} from "./random.js";
import {vFromX0} from "./samplers.js";

const SIZES = [12, 64, 64, 2];
const T = 1000;
const RATE = 1e-2, BATCH = 128;
const [KEEP, KEEP_SQUARES, SMALL] = [0.9, 0.99, 1e-8]; // of Adam

/** What the network sees of a point at step t: both numbers, and waves of the step. */
function describe(x, y, t, into, at) {
  into[at] = x;
  into[at + 1] = y;
  for (let i = 0; i < 5; i++) {
    const angle = (Math.PI / 4) * 2 ** i * (t / T);
    into[at + 2 + 2 * i] = Math.sin(angle);
    into[at + 3 + 2 * i] = Math.cos(angle);
  }
}

export class ToyNetwork {
  /** With weights drawn from a seed, or given: one array for each layer, biases last. */
  constructor(seed, weights) {
    const draw = normal(seed);
    this.weights = weights ?? SIZES.slice(1).map((out, l) =>
      draw((SIZES[l] + 1) * out).map((w, i) => (i < SIZES[l] * out ? w / Math.sqrt(SIZES[l]) : 0)));
  }

  /** What every layer puts out, for `n` described points. */
  layers(inputs, n) {
    const kept = [{active: inputs}];
    this.weights.forEach((weight, l) => {
      const [inner, out] = [SIZES[l], SIZES[l + 1]];
      const last = l === this.weights.length - 1;
      const x = kept[l].active;
      const before = new Float32Array(n * out), active = last ? before : new Float32Array(n * out);
      for (let b = 0; b < n; b++)
        for (let o = 0; o < out; o++) {
          let sum = weight[inner * out + o];
          for (let k = 0; k < inner; k++) sum += weight[o * inner + k] * x[b * inner + k];
          before[b * out + o] = sum;
          if (!last) active[b * out + o] = sum / (1 + Math.exp(-sum));
        }
      kept.push({before, active});
    });
    return kept;
  }

  /** v of points (x, y, x, y, ...) at step t. */
  v(points, t) {
    const n = points.length / 2;
    const inputs = new Float32Array(n * SIZES[0]);
    for (let i = 0; i < n; i++) describe(points[2 * i], points[2 * i + 1], t, inputs, i * SIZES[0]);
    return this.layers(inputs, n).at(-1).active;
  }

  /** Mean squared error of v over a batch, and its gradient for each array of weights. */
  gradient(inputs, targets, n) {
    const kept = this.layers(inputs, n);
    const answer = kept.at(-1).active;
    let loss = 0;
    let back = answer.map((value, i) => {
      loss += (value - targets[i]) ** 2 / answer.length;
      return (2 * (value - targets[i])) / answer.length;
    });
    const gradients = [];
    for (let l = this.weights.length - 1; l >= 0; l--) {
      const [inner, out, weight, x] = [SIZES[l], SIZES[l + 1], this.weights[l], kept[l].active];
      const gradient = new Float32Array(weight.length), below = new Float32Array(n * inner);
      for (let b = 0; b < n; b++)
        for (let o = 0; o < out; o++) {
          const slope = back[b * out + o];
          gradient[inner * out + o] += slope;
          for (let k = 0; k < inner; k++) {
            gradient[o * inner + k] += slope * x[b * inner + k];
            below[b * inner + k] += slope * weight[o * inner + k];
          }
        }
      gradients.unshift(gradient);
      if (l > 0)
        back = below.map((slope, i) => {
          const value = kept[l].before[i], share = 1 / (1 + Math.exp(-value));
          return slope * share * (1 + value * (1 - share));
        });
    }
    return {loss, gradients};
  }
}

/** Trains a network on points with noise of all levels of a schedule, by Adam. */
export class Training {
  constructor({points, spread, alphaBar, steps, seed}) {
    Object.assign(this, {points, spread, alphaBar, steps, step: 0});
    this.network = new ToyNetwork(seed);
    [this.noise, this.chance] = [normal(seed + 1), uniform(seed + 2)];
    const zeros = () => this.network.weights.map((weight) => new Float32Array(weight.length));
    [this.means, this.squares] = [zeros(), zeros()];
  }

  batch() {
    const {points, spread, alphaBar} = this;
    const inputs = new Float32Array(BATCH * SIZES[0]), targets = new Float32Array(2 * BATCH);
    const steps = new Uint16Array(BATCH);
    const [blur, eps] = [this.noise(2 * BATCH), this.noise(2 * BATCH)];
    const start = this.chance();
    for (let i = 0; i < BATCH; i++) {
      const n = Math.floor((this.chance() * points.length) / 2);
      const t = 1 + Math.floor(((start + i / BATCH) % 1) * T); // spread evenly
      const [signal, deviation] = [Math.sqrt(alphaBar[t]), Math.sqrt(1 - alphaBar[t])];
      const noisy = [0, 1].map((c) => {
        const x0 = points[2 * n + c] + spread * blur[2 * i + c];
        targets[2 * i + c] = signal * eps[2 * i + c] - deviation * x0;
        return signal * x0 + deviation * eps[2 * i + c];
      });
      describe(...noisy, t, inputs, i * SIZES[0]);
      steps[i] = t;
    }
    return {inputs, targets, steps};
  }

  /** Take `count` steps; the mean loss of them. */
  run(count) {
    let total = 0;
    for (let i = 0; i < count; i++) {
      const {inputs, targets} = this.batch();
      const {loss, gradients} = this.network.gradient(inputs, targets, BATCH);
      total += loss / count;
      this.step++;
      const rate = RATE * Math.max(0, 1 - this.step / this.steps);
      const [first, second] = [1 - KEEP ** this.step, 1 - KEEP_SQUARES ** this.step];
      gradients.forEach((gradient, l) => {
        const [weight, mean, square] = [this.network.weights[l], this.means[l], this.squares[l]];
        for (let j = 0; j < gradient.length; j++) {
          mean[j] += (1 - KEEP) * (gradient[j] - mean[j]);
          square[j] += (1 - KEEP_SQUARES) * (gradient[j] ** 2 - square[j]);
          weight[j] -= (rate * (mean[j] / first)) / (Math.sqrt(square[j] / second) + SMALL);
        }
      });
    }
    return total;
  }

  /** The loss of the network on so many new batches, and that of the best denoiser. */
  judge(count) {
    const {points, spread, alphaBar} = this;
    let network = 0, exact = 0;
    for (let i = 0; i < count; i++) {
      const {inputs, targets, steps} = this.batch();
      network += apart(this.network.layers(inputs, BATCH).at(-1).active, targets) / count;
      const best = Array.from(steps).flatMap((t, b) => {
        const xT = inputs.subarray(b * SIZES[0], b * SIZES[0] + 2), a = alphaBar[t];
        return vFromX0(xT, bestGuess(points, spread, xT, a), a);
      });
      exact += apart(best, targets) / count;
    }
    return {network, exact};
  }
}

/** Mean squared difference of two arrays. */
const apart = (x, y) => x.reduce((sum, value, i) => sum + (value - y[i]) ** 2 / x.length, 0);

/** x_0_hat of the best denoiser: the data are the points, each blurred by `spread`. */
export function bestGuess(points, spread, at, alphaBar) {
  const [signal, variance] = [Math.sqrt(alphaBar), 1 - alphaBar + alphaBar * spread ** 2];
  const pull = (signal * spread ** 2) / variance;
  const guess = new Float32Array(at.length);
  const n = points.length / 2, logs = new Float64Array(n);
  for (let i = 0; i < at.length; i += 2) {
    let most = -Infinity, sum = 0, x = 0, y = 0;
    for (let k = 0; k < n; k++) {
      logs[k] = -((at[i] - signal * points[2 * k]) ** 2 + (at[i + 1] - signal * points[2 * k + 1]) ** 2)
        / (2 * variance);
      most = Math.max(most, logs[k]);
    }
    for (let k = 0; k < n; k++) {
      const weight = Math.exp(logs[k] - most);
      sum += weight;
      x += weight * (points[2 * k] + pull * (at[i] - signal * points[2 * k]));
      y += weight * (points[2 * k + 1] + pull * (at[i + 1] - signal * points[2 * k + 1]));
    }
    guess[i] = x / sum;
    guess[i + 1] = y / sum;
  }
  return guess;
}
