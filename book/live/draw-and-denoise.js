// Your drawing, with noise up to level t, finished by the network.

import {Figure, number} from "./figure.js";
import {centred, drawable, lettersOf, pixelsOf, PIXELS, show, stroke} from "./pad.js";
import {cosineSchedule} from "./schedules.js";

const MODEL = "unet_classes";
const COUNT = 6, STEPS = 50, T = 1000;
const circle = (radius, turns, growth = 0) => Array.from({length: 40 * turns + 1}, (_, i) => {
  const r = radius + growth * i;
  return [14 + r * Math.cos((Math.PI * i) / 20), 14 + r * Math.sin((Math.PI * i) / 20)];
});
/** Drawings to begin with, of one or more strokes: for who can't draw here, too. */
const SHAPES = {
  zigzag: [[[7, 8], [20, 8], [8, 20], [21, 20]]],
  house: [[[8, 21], [8, 13], [14, 7], [20, 13], [20, 21], [8, 21]]],
  spiral: [circle(1, 2, 0.09)],
  cross: [[[8, 8], [20, 20]], [[20, 8], [8, 20]]],
  face: [circle(8.5, 1), [[11, 10], [11, 12]], [[17, 10], [17, 12]], [[10, 17], [14, 19], [18, 17]]],
};

export async function drawAndDenoise(root, {helper, files}) {
  await helper.load(MODEL, files[MODEL]);
  const {alphaBar} = cosineSchedule(T);
  let now, run = 0, waiting;
  const figure = new Figure(root, {
    label: "Left a pad with your drawing, in the middle the drawing with noise, right six endings",
    defaults: {t: 700, seed: 1, digit: "any", shape: "zigzag", drawn: ""},
    height: (width) => {
      const {narrow, side, small} = layout(width);
      return narrow ? 24 + side + 34 + 2 * small + 6 : 24 + side;
    },
    draw,
  });
  const {state} = figure;
  let drawn = pixelsOf(state.drawn);

  function take() {
    drawn = new Float32Array(PIXELS);
    for (const places of SHAPES[state.shape] ?? [])
      for (let i = 1; i < places.length; i++) stroke(drawn, places[i - 1], places[i]);
  }

  function layout(width) {
    if (width < 500) {
      const side = Math.floor((width - 10) / 2);
      const small = Math.floor((width - 12) / 3);
      const top = 24 + side + 34;
      return {narrow: true, side, small, pad: [0, 24], noisy: [side + 10, 24], titles: top - 9,
        ends: Array.from({length: COUNT}, (_, i) =>
          [(i % 3) * (small + 6), top + Math.floor(i / 3) * (small + 6)])};
    }
    const side = Math.floor(Math.min((width - 48 - 12) / 3.5, 220));
    const small = (side - 6) / 2;
    const left = 2 * (side + 24);
    return {side, small, pad: [0, 24], noisy: [side + 24, 24], titles: 15,
      ends: Array.from({length: COUNT}, (_, i) =>
        [left + (i % 3) * (small + 6), 24 + Math.floor(i / 3) * (small + 6)])};
  }

  function draw(context, width, height, ink) {
    const {side, small, pad, noisy, ends, titles} = layout(width);
    context.fillStyle = ink;
    context.textAlign = "left";
    context.fillText("draw here", pad[0], 15);
    context.fillText(`with noise, t = ${state.t}`, noisy[0], 15);
    context.fillText("six endings", ends[0][0], titles);
    show(context, drawn, ...pad, side);
    const part = (levels, n) =>
      Array.from(levels.subarray(n * PIXELS, (n + 1) * PIXELS), (level) => level / 255);
    const black = new Float32Array(PIXELS);
    show(context, now ? part(now.begun, 0) : black, ...noisy, side);
    ends.forEach(([x, y], n) => show(context, now ? part(now.levels, n) : black, x, y, small));
  }

  const percent = () => Math.round(100 * alphaBar[state.t]);

  async function finish() {
    const mine = ++run;
    figure.busy = true;
    figure.values.textContent = "Drawing the endings …";
    const digits = state.digit === "any" ? undefined : Array(COUNT).fill(Number(state.digit));
    const x0 = centred(drawn).map((value) => 2 * value - 1);
    await helper.ask("begin", {model: MODEL, options:
      {count: COUNT, steps: STEPS, seed: state.seed, eta: 1, digits, from: {x0, t: state.t}}});
    for (let begun; ;) {
      const step = await helper.ask("next");
      if (mine !== run) return;
      if (!step) break;
      begun ??= step.xT;
      now = {begun, levels: step.t === T / STEPS ? step.xS : step.x0Hat};
      figure.redraw();
    }
    figure.busy = false;
    figure.values.textContent = `At t = ${state.t} the signal’s share is ${percent()} %. `
      + `Six endings, each in ${number(state.t / (T / STEPS), 0)} steps of the network.`;
    figure.settle();
  }

  const start = () => finish().catch((error) => figure.fail(error));
  const soon = () => {
    clearTimeout(waiting);
    figure.busy = true;
    waiting = setTimeout(start, 250);
  };
  figure.slider("t", "noise up to t", {min: T / STEPS, max: T, step: T / STEPS, changed: soon});
  figure.choice("shape", "drawing", [["zigzag", "a zigzag"], ["house", "a house"],
    ["spiral", "a spiral"], ["cross", "a cross"], ["face", "a face"], ["yours", "yours"]], () => {
    state.drawn = "";
    take();
    figure.redraw();
    soon();
  });
  const named = Array.from({length: 10}, (_, digit) => [digit, `the digit ${digit}`]);
  figure.choice("digit", "make it", [["any", "any digit"], ...named], soon);
  figure.buttons(
    ["Clear the pad", () => {
      state.drawn = "";
      figure.set("shape", "yours");
      take();
      figure.redraw();
    }],
    ["Other endings", () => {
      figure.set("seed", (state.seed % 999) + 1);
      start();
    }],
  );

  drawable(figure, (width) => {
    const {side, pad} = layout(width);
    return [...pad, side];
  }, {
    begin() {
      if (!state.drawn) drawn = new Float32Array(PIXELS);
      return drawn;
    },
    changed() {
      state.drawn = lettersOf(drawn);
      figure.set("shape", "yours");
      figure.redraw();
    },
    done: start,
  });
  if (!drawn) take();
  start();
  return figure;
}
