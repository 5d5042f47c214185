// `onebound.networks.unet.UNet`, one image at a time, from the weights that the zoo keeps.

import {linear, silu} from "./layers.js";
import {Machine} from "./machine.js";

const WAVES = 64;
const EPSILON = 1e-5;

/** Sines and cosines that describe step t of T, in the precision of the training. */
function waves(T, t) {
  const {fround} = Math;
  const described = new Float32Array(WAVES);
  for (let i = 0; i < WAVES / 2; i++) {
    const share = i / (WAVES / 2 - 1);
    const turns = fround(10 ** (Math.log10(1 / 8) * (1 - share) + Math.log10(125) * share));
    const angle = fround(fround(fround(2 * Math.PI * turns) * t) / T);
    described[i] = Math.sin(angle);
    described[i + WAVES / 2] = Math.cos(angle);
  }
  return described;
}

export class UNet {
  constructor(tensors, T) {
    this.tensors = tensors;
    this.T = T;
    this.width = tensors["stem.bias"].length;
    this.deep = tensors["down.bias"].length;
    this.classes = "label.weight" in tensors ? tensors["label.weight"].length / WAVES - 1 : 0;
    const size = Object.values(tensors).reduce((sum, tensor) => sum + tensor.length, 0);
    const machine = new Machine(1.2 * size + 200_000);
    this.machine = machine;
    const layer = (name, runs) => {
      const bias = tensors[`${name}.bias`];
      return machine.layer(tensors[`${name}.weight`], bias, bias.length, runs);
    };
    const near = (name, size, width) =>
      ({size, width, first: layer(`${name}.first`, 3), second: layer(`${name}.second`, 3)});
    this.stem = layer("stem", 3);
    this.encode = near("encode", 14, this.width);
    this.down = layer("down");
    this.middle = [];
    for (let i = 0; `middle.${i}.first.weight` in tensors; i += 2) {
      const far = `middle.${i + 1}`;
      this.middle.push(near(`middle.${i}`, 7, this.deep), {
        first: layer(`${far}.first`), second: layer(`${far}.second`),
        mixing: machine.mixing(tensors[`${far}.mix`], this.deep),
      });
    }
    this.up = layer("up");
    this.decode = [near("decode.0", 14, this.width), near("decode.1", 14, this.width)];
    this.head = layer("head", 3);
    const most = 196 * Math.max(this.width, 4);
    this.patches = machine.numbers(16 * 16 * 4);
    this.at14 = machine.numbers(most);
    this.at7 = machine.numbers(49 * Math.max(this.deep, 4 * this.width));
    this.kept = machine.numbers(most);
    this.bordered = {
      14: machine.numbers(16 * 16 * this.width), 7: machine.numbers(9 * 9 * this.deep),
    };
    // `mix` reads a few rows past the end, times 0.
    this.inner = machine.numbers(Math.max(most, 52 * Math.max(this.deep, 4 * this.width)));
    this.outer = machine.numbers(Math.max(most, 52 * this.deep));
  }

  /** What the blocks are told of step t and class y; y may be undefined. */
  told(t, y) {
    const {tensors, T} = this;
    const known = waves(T, t);
    if (y !== undefined && y < this.classes)
      for (let i = 0; i < WAVES; i++) known[i] += tensors["label.weight"][y * WAVES + i];
    const hidden = linear(tensors["time.0.weight"], tensors["time.0.bias"], known).map(silu);
    return linear(tensors["time.2.weight"], tensors["time.2.bias"], hidden);
  }

  /**
   * The answer for one image of 784 numbers, into `answer`; `told` as `this.told` says it. What each
   * layer puts out is shown to `watch`.
   */
  run(image, told, answer, watch = () => {}) {
    const {machine, width, deep, at14, at7, kept} = this;
    let next = 0;
    const take = (n) => told.subarray(next, (next += n));
    for (let y = 0; y < 28; y++)
      for (let x = 0; x < 28; x++)
        this.patches.values[(((y >> 1) + 1) * 16 + (x >> 1) + 1) * 4 + 2 * (y & 1) + (x & 1)] =
          image[28 * y + x];
    machine.near(this.stem, this.patches, at14, 14, 4);
    watch("stem", at14.values);
    this.nearBlock(this.encode, at14.values, take(width), take(width));
    watch("encode", at14.values);
    kept.values.set(at14.values);
    // Patches of 2 x 2 places become channels.
    const patches = this.inner.values;
    for (let y = 0; y < 14; y++)
      for (let x = 0; x < 14; x++)
        patches.set(at14.values.subarray((14 * y + x) * width, (14 * y + x + 1) * width),
          (7 * (y >> 1) + (x >> 1)) * 4 * width + (2 * (y & 1) + (x & 1)) * width);
    machine.apply(this.down, this.inner.at, 4 * width, at7.at, deep, 49);
    const h = at7.values.subarray(0, 49 * deep);
    watch("down", h);
    this.middle.forEach((block, i) => {
      if (block.mixing) this.farBlock(block, h, take(deep), take(deep));
      else this.nearBlock(block, h, take(deep), take(deep));
      watch(`middle.${i}`, h);
    });
    machine.apply(this.up, at7.at, deep, this.inner.at, 4 * width, 49);
    for (let y = 0; y < 14; y++)
      for (let x = 0; x < 14; x++) {
        const from = (7 * (y >> 1) + (x >> 1)) * 4 * width + (2 * (y & 1) + (x & 1)) * width;
        const to = (14 * y + x) * width;
        for (let c = 0; c < width; c++)
          at14.values[to + c] = kept.values[to + c] + this.inner.values[from + c];
      }
    watch("up", at14.values);
    this.decode.forEach((block, i) => {
      this.nearBlock(block, at14.values, take(width), take(width));
      watch(`decode.${i}`, at14.values);
    });
    this.border(at14.values, 14, width);
    machine.near(this.head, this.bordered[14], this.outer, 14, width);
    const [scale, skip] = [1 + take(1)[0], take(1)[0]];
    for (let y = 0; y < 28; y++)
      for (let x = 0; x < 28; x++) {
        const f = this.outer.values[(14 * (y >> 1) + (x >> 1)) * 4 + 2 * (y & 1) + (x & 1)];
        answer[28 * y + x] = scale * f + skip * image[28 * y + x];
      }
    watch("head", answer);
  }

  /** SiLU of what is in `x`, scaled and shifted, with a border of zeros. */
  border(x, size, width, scale, shift) {
    const to = this.bordered[size].values;
    const {mean, deviation} = scale ? moments(x) : {};
    for (let y = 0, from = 0; y < size; y++)
      for (let place = 0, at = ((y + 1) * (size + 2) + 1) * width; place < size; place++)
        for (let c = 0; c < width; c++, from++, at++) {
          const value = scale
            ? ((x[from] - mean) / deviation) * (1 + scale[c]) + shift[c] : x[from];
          to[at] = value / (1 + Math.exp(-value));
        }
  }

  nearBlock({first, second, size, width}, x, scale, shift) {
    this.border(x, size, width, scale, shift);
    this.machine.near(first, this.bordered[size], this.inner, size, width);
    this.border(this.inner.values, size, width);
    this.machine.near(second, this.bordered[size], this.inner, size, width);
    for (let i = 0; i < x.length; i++) x[i] += this.inner.values[i];
  }

  farBlock({first, second, mixing}, x, scale, shift) {
    const {machine, inner, outer, deep} = this;
    const {mean, deviation} = moments(x);
    for (let i = 0; i < x.length;)
      for (let c = 0; c < deep; c++, i++)
        inner.values[i] = ((x[i] - mean) / deviation) * (1 + scale[c]) + shift[c];
    machine.apply(first, inner.at, deep, outer.at, deep, 49);
    machine.mix(mixing, outer, inner, deep);
    for (let i = 0; i < x.length; i++) inner.values[i] = silu(inner.values[i]);
    machine.apply(second, inner.at, deep, outer.at, deep, 49);
    for (let i = 0; i < x.length; i++) x[i] += outer.values[i];
  }
}

/** Mean and standard deviation of all numbers, as a group norm of one group takes them. */
function moments(x) {
  let sum = 0, squares = 0;
  for (let i = 0; i < x.length; i++) sum += x[i];
  const mean = sum / x.length;
  for (let i = 0; i < x.length; i++) squares += (x[i] - mean) ** 2;
  return {mean, deviation: Math.sqrt(squares / x.length + EPSILON)};
}
