// A trained network of the zoo and its schedule, as a sampler asks them.

import {normal} from "./random.js";
import {beyond, clipped, ddim, x0FromV} from "./samplers.js";
import {cosineSchedule, evenSteps} from "./schedules.js";
import {UNet} from "./unet.js";

export const PIXELS = 784;
const T = 1000;

export class PixelModel {
  constructor(tensors) {
    this.schedule = cosineSchedule(T);
    this.network = new UNet(tensors, T);
  }

  /** x_0_hat of each image of `xT` at step t; `digits` has a class for each, or is absent. */
  denoise(xT, t, digits) {
    const told = new Map();
    const v = new Float32Array(xT.length);
    for (let i = 0; i < xT.length / PIXELS; i++) {
      const y = digits?.[i];
      if (!told.has(y)) told.set(y, this.network.told(t, y));
      const [from, to] = [i * PIXELS, (i + 1) * PIXELS];
      this.network.run(xT.subarray(from, to), told.get(y), v.subarray(from, to));
    }
    return x0FromV(xT, v, this.schedule.alphaBar[t]);
  }

  /** The same, led away from what the network says when it is not told the digits. */
  guided(xT, t, digits, strength) {
    const guess = this.denoise(xT, t, digits);
    return digits && strength !== 1 ? beyond(guess, this.denoise(xT, t), strength) : guess;
  }

  /**
   * Steps from noise to `count` images. Yields what `ddim` does, with the step of the network.
   * With `from`, {x0, t}: from these images with noise up to step t. `noise` maps a length to normal
   * numbers; without it they follow from the seed.
   */
  * draw({count, steps, seed, eta = 0, digits, strength = 1, from, noise = normal(seed)}) {
    const kept = evenSteps(T, steps).filter((t) => !from || t <= from.t);
    const coarse = this.schedule.respaced(kept);
    let xT = noise(count * PIXELS);
    if (from) {
      const alphaBar = coarse.alphaBar[coarse.T];
      xT = xT.map((eps, i) =>
        Math.sqrt(alphaBar) * from.x0[i % from.x0.length] + Math.sqrt(1 - alphaBar) * eps);
    }
    const denoise = (x, k) => clipped(this.guided(x, kept[k - 1], digits, strength));
    for (const step of ddim(coarse, denoise, xT, eta, noise))
      yield {...step, t: kept[step.t - 1], signal: coarse.alphaBar[step.t]};
  }
}
