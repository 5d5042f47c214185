// Memory, and on it the few operations that the networks are made of. Images are channels last.

import {assemble} from "./assembler.js";

const PAGE = 65536;
/** Rows that are worked on together: 7 x 7 and 14 x 14 places are multiples. */
const ROWS = 7;

/** Numbers in a memory that WebAssembly sees: `at` is the address of the first, in bytes. */
class Numbers {
  constructor(memory, at, length) {
    this.at = at;
    this.values = new Float32Array(memory.buffer, at, length);
  }
}

export class Machine {
  /** With room for so many numbers. */
  constructor(room) {
    if (typeof WebAssembly === "undefined") throw new Error("this browser has no WebAssembly");
    const fusing = assemble([1, ROWS], true);
    const code = WebAssembly.validate(fusing) ? fusing : assemble([1, ROWS], false);
    if (!WebAssembly.validate(code)) throw new Error("this browser's WebAssembly has no vectors");
    this.memory = new WebAssembly.Memory({initial: Math.ceil((4 * room) / PAGE) + 1});
    this.end = 16;
    const {exports} = new WebAssembly.Instance(new WebAssembly.Module(code), {book: this});
    this.products = {1: exports.product1, [ROWS]: exports[`product${ROWS}`]};
  }

  /** Room for `length` numbers, all 0. */
  numbers(length) {
    const taken = new Numbers(this.memory, this.end, length);
    this.end += 16 * Math.ceil(length / 4);
    return taken;
  }

  /**
   * A layer's weights (out, runs, run length), ready for `product`: four columns side by side, and
   * what does not fill a run of four filled up with zeros.
   */
  layer(weight, bias, out, runs = 1) {
    const run = weight.length / out / runs;
    const [length, blocks] = [4 * Math.ceil(run / 4), Math.ceil(out / 4)];
    const packed = this.numbers(blocks * runs * length * 4);
    for (let o = 0; o < out; o++)
      for (let s = 0; s < runs; s++)
        for (let k = 0; k < run; k++)
          packed.values[(((o >> 2) * runs + s) * length + k) * 4 + (o & 3)] =
            weight[(o * runs + s) * run + k];
    const shift = this.numbers(4 * blocks);
    shift.values.set(bias ?? []);
    return {b: packed.at, bias: shift.at, out: 4 * blocks, runs, length};
  }

  /** c = a times a layer, `rows` rows; `aStep` and `cStep` numbers from row to row. */
  apply(layer, a, aStep, c, cStep, rows, runStep = 0) {
    const {b, bias, out, runs, length} = layer;
    for (let r = 0; r < rows;) {
      const n = rows - r >= ROWS ? ROWS : 1;
      this.products[n](a + 4 * r * aStep, 4 * aStep, b, 16, 16 * runs * length, bias,
        c + 4 * r * cStep, 4 * cStep, runs, 4 * length, 4 * runStep, out / 4);
      r += n;
    }
  }

  /** A convolution of 3 x 3 places: from an image with a border of one place to one without. */
  near(layer, bordered, out, size, channels) {
    const pitch = (size + 2) * channels;
    for (let y = 0; y < size; y++)
      this.apply(layer, bordered.at + 4 * y * pitch, channels,
        out.at + 4 * y * size * layer.out, layer.out, size, pitch);
  }

  /** c = a b for matrices in memory; a is (rows, inner), and the rest as `mixing` prepares it. */
  mix(mixing, b, c, channels) {
    const {a, rows, inner, zeros} = mixing;
    for (let r = 0; r < rows; r += ROWS)
      this.products[ROWS](a + 4 * r * inner, 4 * inner, b.at, 4 * channels, 16, zeros,
        c.at + 4 * r * channels, 4 * channels, 1, 4 * inner, 0, channels / 4);
  }

  /** A square matrix that `mix` multiplies from the left; its rows are a multiple of 7. */
  mixing(matrix, channels) {
    const rows = Math.sqrt(matrix.length);
    const inner = 4 * Math.ceil(rows / 4);
    const a = this.numbers(rows * inner);
    for (let r = 0; r < rows; r++)
      a.values.set(matrix.subarray(r * rows, (r + 1) * rows), r * inner);
    return {a: a.at, rows, inner, zeros: this.numbers(channels).at};
  }
}
