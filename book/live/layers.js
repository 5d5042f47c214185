// Layers of few numbers, in plain JavaScript.

export const silu = (x) => x / (1 + Math.exp(-x));

/** weight (out, in) times x, plus bias. */
export function linear(weight, bias, x) {
  const sums = new Float32Array(bias.length);
  for (let o = 0, at = 0; o < bias.length; o++) {
    let sum = bias[o];
    for (let k = 0; k < x.length; k++, at++) sum += weight[at] * x[k];
    sums[o] = sum;
  }
  return sums;
}
