// `onebound.diffusion.solvers`: methods of second order, and grids of the ratio of noise to signal.

import {Schedule} from "./schedules.js";

/** K ratios from `low` to `high`, evenly in their roots. */
export function rootRatios(K, low, high, power = 7) {
  const [first, last] = [low ** (1 / power), high ** (1 / power)];
  return Float64Array.from({length: K}, (_, k) => (first + ((last - first) * k) / (K - 1)) ** power);
}

/** K ratios that rise by the same factor each time. */
export function logSnrRatios(K, low, high) {
  return Float64Array.from({length: K}, (_, k) => low * (high / low) ** (k / (K - 1)));
}

/** The schedule of K steps with these ratios. */
export function scheduleOf(ratios) {
  return new Schedule([1, ...Array.from(ratios, (ratio) => 1 / (1 + ratio * ratio))]);
}

const amplitudes = ({alphaBar}, t) => [Math.sqrt(alphaBar[t]), Math.sqrt(1 - alphaBar[t])];

/** Euler's step, a look at the slope there, and a step with the mean of both. Yields what `ddim` does. */
export function* heun(schedule, denoise, xT) {
  for (let t = schedule.T; t > 0; t--) {
    const [signal, noise] = amplitudes(schedule, t);
    const [signalS, noiseS] = amplitudes(schedule, t - 1);
    const x0Hat = denoise(xT, t);
    const epsHat = xT.map((x, i) => (x - signal * x0Hat[i]) / noise);
    let xS = x0Hat.map((x0, i) => signalS * x0 + noiseS * epsHat[i]);
    if (t > 1) {
      const half = (noiseS - (signalS * noise) / signal) / 2;
      const there = denoise(xS, t - 1);
      xS = xS.map((x, i) => x + half * ((x - signalS * there[i]) / noiseS - epsHat[i]));
    }
    yield {t, xT, x0Hat, xS};
    xT = xS;
  }
}

/** The step of `ddim` with a guess that the last two foretell for its middle. */
export function* multistep(schedule, denoise, xT) {
  const {logSnr} = schedule;
  let before;
  for (let t = schedule.T; t > 0; t--) {
    const [signal, noise] = amplitudes(schedule, t);
    const [signalS, noiseS] = amplitudes(schedule, t - 1);
    const x0Hat = denoise(xT, t);
    const ahead = before && t > 1
      ? (logSnr[t - 1] - logSnr[t]) / (logSnr[t] - logSnr[t + 1]) / 2 : 0;
    const kept = noiseS / noise;
    const xS = xT.map((x, i) => kept * x
      + (signalS - signal * kept) * (x0Hat[i] + (ahead ? ahead * (x0Hat[i] - before[i]) : 0)));
    yield {t, xT, x0Hat, xS};
    [xT, before] = [xS, x0Hat];
  }
}
