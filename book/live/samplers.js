// `onebound.diffusion.samplers` and the denoisers that they ask. A set of images is one array.

/** What a network that puts out v says of x_0: sqrt(alpha_bar) x_t - sqrt(1 - alpha_bar) v. */
export function x0FromV(xT, v, alphaBar) {
  const [signal, noise] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
  return xT.map((x, i) => signal * x - noise * v[i]);
}

/** The other way round: the v that a guess of x_0 stands for. */
export function vFromX0(xT, x0, alphaBar) {
  const [signal, noise] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
  return Array.from(xT, (x, i) => (signal * x - x0[i]) / noise);
}

/** From the guess of a worse denoiser through that of a better one, and beyond. */
export function beyond(guess, worse, strength) {
  return guess.map((x, i) => worse[i] + strength * (x - worse[i]));
}

/** Cut to the range of images. */
export function clipped(x) {
  return x.map((value) => Math.min(1, Math.max(-1, value)));
}

/**
 * From x_T to x_0 in the steps of the schedule; eta = 0 draws no noise on the way, eta = 1 is the
 * ancestral sampler. `denoise` maps (x_t, step) to x_0_hat, `noise` a length to normal numbers.
 * Yields {t, xT, x0Hat, xS} at each step.
 */
export function* ddim(schedule, denoise, xT, eta, noise) {
  const {alphaBar, betaTilde} = schedule;
  for (let t = schedule.T; t > 0; t--) {
    const x0Hat = denoise(xT, t);
    const variance = eta ** 2 * betaTilde[t];
    const kept = Math.sqrt(Math.max(0, 1 - alphaBar[t - 1] - variance));
    const [signal, spread] = [Math.sqrt(alphaBar[t]), Math.sqrt(1 - alphaBar[t])];
    const [signalS, deviation] = [Math.sqrt(alphaBar[t - 1]), Math.sqrt(variance)];
    const fresh = deviation > 0 ? noise(xT.length) : null;
    const xS = xT.map((x, i) => signalS * x0Hat[i]
      + (kept * (x - signal * x0Hat[i])) / spread + (fresh ? deviation * fresh[i] : 0));
    yield {t, xT, x0Hat, xS};
    xT = xS;
  }
}
