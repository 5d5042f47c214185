// Denoising solved exactly, for data that are a finite set of images in [-1, 1].

/**
 * The probability of each image given x_t = signal x_0 + noise eps, and the mean of x_0: what the
 * best denoiser answers that there is for these data (`onebound.exact`).
 */
export function exactPosterior(images, xT, signal, noise) {
  const logs = images.map((x0) => {
    let squares = 0;
    for (let i = 0; i < xT.length; i++) squares += (xT[i] - signal * x0[i]) ** 2;
    return -squares / (2 * noise ** 2);
  });
  const most = Math.max(...logs);
  const weights = logs.map((log) => Math.exp(log - most));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

/** The mean of the images under such probabilities. */
export function meanOf(images, probabilities) {
  const mean = new Float32Array(images[0].length);
  probabilities.forEach((p, n) => {
    if (p > 1e-9) for (let i = 0; i < mean.length; i++) mean[i] += p * images[n][i];
  });
  return mean;
}
