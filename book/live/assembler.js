// Writes the one WebAssembly function that all networks spend their time in, byte by byte: the
// format is simple, so no tool is needed, and the number of rows is a parameter.

const I32 = 0x7f, V128 = 0x7b, VOID = 0x40;

/** A number in LEB128, as WebAssembly writes all its whole numbers. */
function leb(n) {
  const bytes = [];
  for (; n > 127; n >>>= 7) bytes.push((n & 127) | 128);
  return [...bytes, n];
}

/** A signed one, for constants. */
function sleb(n) {
  const bytes = [];
  for (; n < -64 || n > 63; n >>= 7) bytes.push((n & 127) | 128);
  return [...bytes, n & 127];
}

const vector = (items) => [...leb(items.length), ...items.flat()];
const section = (id, body) => [id, ...leb(body.length), ...body];
const simd = (code, ...rest) => [0xfd, ...leb(code), ...rest];

const get = (local) => [0x20, ...leb(local)];
const set = (local) => [0x21, ...leb(local)];
const constant = (n) => [0x41, ...sleb(n)];
const add = [0x6a], subtract = [0x6b], less = [0x49];
const load = (offset) => simd(0x00, 4, ...leb(offset));
const splat = (offset) => simd(0x09, 2, ...leb(offset));
const store = simd(0x0b, 4, 0);
const times = simd(0xe6), plus = simd(0xe4), fused = simd(0x105);
/** Repeat while the condition, the last thing on the stack, is not 0. */
const loop = (...body) => [0x03, VOID, ...body.flat(), 0x0d, 0, 0x0b];
const raise = (local, ...by) => [...get(local), ...by.flat(), ...add, ...set(local)];

const PARAMETERS = ["a", "aStep", "b", "bStep", "bBlock", "bias", "c", "cStep", "segments", "length",
  "segmentStep", "blocks"];

/**
 * The body of `product`: `rows` rows of A times B, plus a bias, for `blocks` columns of four numbers.
 *
 * A row of A is `segments` runs of `length` bytes, `segmentStep` bytes apart: one run for a matrix,
 * three for a 3 x 3 convolution on an image with a border, whose rows of three places are runs. The
 * steps are bytes: from row to row of A and C, from number to number of a column of B, and from one
 * block of B to the next. A run is a multiple of four numbers long.
 */
function product(rows, canFuse) {
  const local = Object.fromEntries(PARAMETERS.map((name, i) => [name, i]));
  const places = Array.from({length: rows}, (_, r) => PARAMETERS.length + r);
  const [from, end, left, b] = [0, 1, 2, 3].map((i) => PARAMETERS.length + rows + i);
  const factor = PARAMETERS.length + rows + 4;
  const sums = places.map((_, r) => factor + 1 + r);
  const accumulate = (offset) => [
    ...get(b), ...load(0), ...set(factor), ...raise(b, get(local.bStep)),
    ...places.flatMap((place, r) => canFuse
      ? [...get(place), ...splat(offset), ...get(factor), ...get(sums[r]), ...fused, ...set(sums[r])]
      : [...get(place), ...splat(offset), ...get(factor), ...times, ...get(sums[r]), ...plus,
        ...set(sums[r])]),
  ];
  const walk = (start, step, visit) => [
    ...get(start), ...set(from),
    ...places.flatMap((place, r) => [...visit(place, r), ...raise(from, get(step))]),
  ];
  const code = loop(
    get(local.bias), load(0), set(sums[0]),
    sums.slice(1).flatMap((sum) => [...get(sums[0]), ...set(sum)]),
    walk(local.a, local.aStep, (place) => [...get(from), ...set(place)]),
    get(local.b), set(b),
    get(local.segments), set(left),
    loop(
      get(places[0]), get(local.length), add, set(end),
      loop(
        [0, 4, 8, 12].flatMap(accumulate),
        places.flatMap((place) => raise(place, constant(16))),
        get(places[0]), get(end), less,
      ),
      places.flatMap((place) => raise(place, get(local.segmentStep), get(local.length), subtract)),
      raise(left, constant(-1)), get(left),
    ),
    walk(local.c, local.cStep, (_, r) => [...get(from), ...get(sums[r]), ...store]),
    raise(local.b, get(local.bBlock)), raise(local.bias, constant(16)), raise(local.c, constant(16)),
    raise(local.blocks, constant(-1)), get(local.blocks),
  );
  const locals = [[...leb(rows + 4), I32], [...leb(rows + 1), V128]];
  const body = [...vector(locals), ...code, 0x0b];
  return [...leb(body.length), ...body];
}

const name = (text) => vector([...text].map((letter) => [letter.charCodeAt(0)]));

/** A module that takes a memory and gives `product1`, `product7`, ...: one for each number of rows. */
export function assemble(rows, canFuse) {
  const type = [0x60, ...vector(PARAMETERS.map(() => [I32])), 0];
  return new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, vector([type])),
    ...section(2, vector([[...name("book"), ...name("memory"), 2, 0, 1]])),
    ...section(3, vector(rows.map(() => [0]))),
    ...section(7, vector(rows.map((n, i) => [...name(`product${n}`), 0, ...leb(i)]))),
    ...section(10, vector(rows.map((n) => product(n, canFuse)))),
  ]);
}
