// A drawing of 28 x 28 pixels, as numbers in [0, 1]: strokes, and the text that stands for one.

export const SIDE = 28;
export const PIXELS = SIDE * SIDE;
const RADIUS = 1.15; // of the pen, in pixels: strokes as thick as those of the data

/** Draw a stroke from one place to another, in pixels, onto `x`. */
export function stroke(x, [x1, y1], [x2, y2]) {
  const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
  for (let row = 0; row < SIDE; row++)
    for (let column = 0; column < SIDE; column++) {
      const [dx, dy] = [column + 0.5 - x1, row + 0.5 - y1];
      const along = length && Math.min(1, Math.max(0, (dx * (x2 - x1) + dy * (y2 - y1)) / length));
      const distance = Math.hypot(dx - along * (x2 - x1), dy - along * (y2 - y1));
      const at = row * SIDE + column;
      x[at] = Math.max(x[at], Math.min(1, Math.max(0, RADIUS + 0.5 - distance)));
    }
}

/** The drawing moved so that its centre of mass is in the middle, as those of the data are. */
export function centred(x) {
  let mass = 0, across = 0, down = 0;
  for (let i = 0; i < PIXELS; i++) {
    mass += x[i];
    across += x[i] * ((i % SIDE) + 0.5);
    down += x[i] * (Math.floor(i / SIDE) + 0.5);
  }
  const [right, below] = [across, down].map((sum) => (mass ? Math.round(SIDE / 2 - sum / mass) : 0));
  return Float32Array.from(x, (_, i) => {
    const [column, row] = [(i % SIDE) - right, Math.floor(i / SIDE) - below];
    return column >= 0 && column < SIDE && row >= 0 && row < SIDE ? x[row * SIDE + column] : 0;
  });
}

/** Zeros and ones. */
export const binary = (x) => Float32Array.from(x, (value) => (value > 0.5 ? 1 : 0));

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** A drawing as letters for an address: three pixels each, of four grey levels. */
export function lettersOf(x) {
  let text = "";
  for (let i = 0; i < PIXELS; i += 3) {
    let code = 0;
    for (let k = 0; k < 3; k++) code = 4 * code + Math.round(3 * (x[i + k] ?? 0));
    text += LETTERS[code];
  }
  return text;
}

/** What `lettersOf` wrote, or nothing if it did not. */
export function pixelsOf(text) {
  const codes = [...text].map((letter) => LETTERS.indexOf(letter));
  if (codes.length !== Math.ceil(PIXELS / 3) || codes.includes(-1)) return undefined;
  return Float32Array.from({length: PIXELS}, (_, i) =>
    ((codes[Math.floor(i / 3)] >> (4 - 2 * (i % 3))) & 3) / 3);
}

/** Put an image of numbers in [0, 1] onto a canvas, `size` wide, each pixel a square. */
export function show(context, x, left, top, size) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const small = canvas.getContext("2d");
  const picture = small.createImageData(SIDE, SIDE);
  for (let i = 0; i < PIXELS; i++) {
    const level = 255 * Math.min(1, Math.max(0, x[i]));
    picture.data.set([level, level, level, 255], 4 * i);
  }
  small.putImageData(picture, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, left, top, size, size);
}

/**
 * Let a pointer draw on a square of a figure's canvas: `place` gives its left, top and side. `begin`
 * gives the drawing to go on with, `changed` hears of each stroke, and `done` of the end.
 */
export function drawable(figure, place, {begin, changed, done}) {
  let drawing, last;
  const onPad = (x, y) => {
    const [left, top, side] = place(figure.canvas.clientWidth);
    return [((x - left) / side) * SIDE, ((y - top) / side) * SIDE];
  };
  const move = (x, y) => {
    const next = onPad(x, y);
    stroke(drawing, last, next);
    last = next;
    changed();
  };
  figure.canvas.classList.add("live-draw");
  figure.hold({
    take(x, y) {
      last = onPad(x, y);
      if (last.some((value) => value < 0 || value >= SIDE)) return false;
      drawing = begin();
      move(x, y);
      return true;
    },
    move,
    drop() {
      drawing.set(pixelsOf(lettersOf(drawing))); // what is seen is what the address says
      done();
    },
  });
}
