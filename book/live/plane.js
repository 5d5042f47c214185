// `onebound.zoo.vae_plane`: a VAE with two latents, small enough to answer while a pointer moves.

import {linear, silu} from "./layers.js";

// Nodes and weights of Gauss and Hermite for the mean under N(0, 1), exact up to degree 13.
const NODES = [0, 1.1544053947399682, 2.3667594107345415, 3.7504397177257425];
const WEIGHTS = [0.457142857142857, 0.240123178605013, 0.0307571239675865, 0.000548268855972218];
const RULE = NODES.flatMap((node, i) =>
  (i ? [[node, WEIGHTS[i]], [-node, WEIGHTS[i]]] : [[node, WEIGHTS[i]]]));

export class PlaneVAE {
  constructor(tensors) {
    this.layers = ["encoder.net.1", "encoder.net.3", "decoder.net.0", "decoder.net.2"]
      .map((name) => [tensors[`${name}.weight`], tensors[`${name}.bias`]]);
  }

  /** Mean and log-variance of q(z|x), two numbers each, for an image of 784 numbers. */
  encode(x) {
    const [first, second] = this.layers;
    const both = linear(...second, linear(...first, x).map(silu));
    return {mean: both.subarray(0, 2), logvar: both.subarray(2)};
  }

  /** Logits of the pixels. */
  decode(z) {
    const [, , first, second] = this.layers;
    return linear(...second, linear(...first, z).map(silu));
  }

  /** log p(x|z) of an image of zeros and ones. */
  logLikelihood(x, z) {
    return this.decode(z).reduce((sum, logit, i) =>
      sum + (x[i] ? logit : 0) - (logit > 0 ? logit + Math.log1p(Math.exp(-logit))
        : Math.log1p(Math.exp(logit))), 0);
  }

  /** The bound of an image of zeros and ones, its first term by quadrature, nats. */
  bound(x) {
    const {mean, logvar} = this.encode(x);
    const deviation = Array.from(logvar, (v) => Math.exp(v / 2));
    let likelihood = 0;
    for (const [a, p] of RULE)
      for (const [b, q] of RULE)
        likelihood +=
          p * q * this.logLikelihood(x, [mean[0] + deviation[0] * a, mean[1] + deviation[1] * b]);
    const kl = Array.from(mean, (m, i) => 0.5 * (m * m + Math.exp(logvar[i]) - 1 - logvar[i]));
    return {mean, deviation, likelihood, kl, elbo: likelihood - kl[0] - kl[1]};
  }
}
