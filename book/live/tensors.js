// The zoo's own files of weights: safetensors in half precision, here in base64.

/** The value of each half-precision number, by its bits. */
function halves() {
  const values = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const [sign, exponent, fraction] = [bits >> 15, (bits >> 10) & 31, bits & 1023];
    const size = exponent === 0
      ? fraction * 2 ** -24
      : exponent === 31 ? NaN : (1 + fraction / 1024) * 2 ** (exponent - 15);
    values[bits] = sign ? -size : size;
  }
  return values;
}

/** Bytes from base64. */
export function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The tensors of a file by their names, each a Float32Array. */
export function tensorsOf(bytes) {
  const head = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + head)));
  const table = halves();
  const tensors = {};
  for (const [name, {dtype, data_offsets: [from, to]}] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (dtype !== "F16") throw new Error(`${name} is ${dtype}, not in half precision`);
    const bits = new Uint16Array(bytes.slice(8 + head + from, 8 + head + to).buffer);
    tensors[name] = Float32Array.from(bits, (b) => table[b]);
  }
  return tensors;
}
