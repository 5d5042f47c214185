// Sixteen digits out of noise, with the book's own network, in the reader's browser.

import {Figure, number, still} from "./figure.js";

const SIDE = 28, COLUMNS = 4, COUNT = 16, GAP = 2;
const SLOWEST = 70; // milliseconds for which a step is shown, at least
const WAIT = 250; // before a setting that may change further starts a new run

const MODEL = "unet_classes";

export async function firstLook(root, {helper, files}) {
  await helper.load(MODEL, files[MODEL]);
  let taken = [], run = 0, playing = false, seconds = 0, waiting;
  const figure = new Figure(root, {
    label: "Two squares of sixteen pictures: left what the network is shown, right its guesses",
    defaults: {digit: "each", steps: 20, strength: 1.25, noise: 0, seed: 1, k: -1},
    height: (width) => 26 + side(width),
    draw,
  });
  const {state} = figure;

  const side = (width) => Math.min(Math.floor((width - 16) / 2), 400);

  function draw(context, width, height, ink) {
    const wide = side(width), middle = width / 2;
    context.fillStyle = ink;
    context.textAlign = "left";
    const titles = width < 500
      ? ["noisy picture", "the guess"] : ["what the network is shown, xₜ", "its guess of the digit, x̂₀"];
    const lefts = [middle - 8 - wide, middle + 8];
    lefts.forEach((left, i) => context.fillText(titles[i], left, 16));
    const now = taken[Math.min(state.k, taken.length - 1)];
    const images = !now ? [] : state.k < state.steps ? [now.xT, now.x0Hat] : [now.xS, now.x0Hat];
    lefts.forEach((left, i) => grid(context, images[i], left, 26, wide));
  }

  function grid(context, levels, left, top, wide) {
    const canvas = document.createElement("canvas");
    const pitch = SIDE + GAP;
    canvas.width = canvas.height = COLUMNS * pitch - GAP;
    const small = canvas.getContext("2d");
    for (let n = 0; n < COUNT; n++) {
      const picture = small.createImageData(SIDE, SIDE);
      for (let i = 0; i < SIDE * SIDE; i++) {
        const level = levels ? levels[n * SIDE * SIDE + i] : 0;
        picture.data.set([level, level, level, 255], 4 * i);
      }
      small.putImageData(picture, (n % COLUMNS) * pitch, Math.floor(n / COLUMNS) * pitch);
    }
    context.imageSmoothingEnabled = false;
    context.drawImage(canvas, left, top, wide, wide);
  }

  function tell() {
    const now = taken[Math.min(state.k, taken.length - 1)];
    if (!now) figure.values.textContent = "Drawing noise …";
    else if (state.k >= state.steps)
      figure.values.textContent = `Sixteen digits in ${state.steps} steps; `
        + `computing them took ${number(seconds, 1)} seconds here.`;
    else figure.values.textContent = `Step ${state.k} of ${state.steps}: t = ${now.t}, `
        + `and ${Math.round(100 * now.signal)} % of the variance is signal.`;
    figure.inputs.k(state.k);
    play.textContent = playing ? "Pause" : state.k >= state.steps ? "Again, from another seed" : "Go on";
  }

  function show() {
    tell();
    figure.redraw();
  }

  const digits = () => state.digit === "any" ? undefined
    : Array.from({length: COUNT}, (_, i) => (state.digit === "each" ? i % 10 : Number(state.digit)));

  /** Compute until step `wanted` is there; whether this run is still the one to show. */
  async function reach(wanted, mine) {
    while (mine === run && taken.length <= Math.min(wanted, state.steps - 1)) {
      const started = performance.now();
      const step = await helper.ask("next");
      if (mine !== run) return false;
      seconds += (performance.now() - started) / 1000;
      if (step) taken.push(step);
    }
    return mine === run;
  }

  async function goOn() {
    const mine = run;
    playing = figure.busy = true;
    for (;;) {
      const rest = new Promise((done) => setTimeout(done, still() ? 0 : SLOWEST));
      if (!(await reach(state.k, mine))) return;
      if (!playing) break;
      if (!still()) show();
      await rest;
      if (mine !== run) return;
      if (!playing || state.k >= state.steps) break;
      state.k++;
    }
    playing = figure.busy = false;
    show();
    figure.settle();
  }

  /** Begin anew, and go to the end, or to step `to` alone. */
  async function begin(to) {
    run++;
    [taken, state.k, seconds, playing] = [[], 0, 0, to === undefined];
    const {steps, strength, seed, noise} = state;
    const options = {count: COUNT, steps, seed, eta: noise, strength, digits: digits()};
    figure.busy = true;
    show();
    await helper.ask("begin", {model: MODEL, options});
    return to === undefined ? goOn() : move(to);
  }

  const fails = (error) => figure.fail(error);
  const start = (to) => begin(to).catch(fails);
  const restart = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => start(), WAIT);
  };

  async function move(to) {
    const mine = run;
    playing = false;
    figure.busy = true;
    state.k = Math.max(0, Math.min(state.steps, to));
    show();
    if (!(await reach(state.k, mine))) return;
    figure.busy = false;
    show();
    figure.settle();
  }

  const [play] = figure.buttons(
    ["Pause", () => {
      if (playing) {
        playing = false;
        show();
      } else if (state.k >= state.steps) {
        figure.set("seed", (state.seed % 999) + 1);
        figure.settle();
        start();
      } else goOn().catch(fails);
    }],
    ["Step back", () => move(state.k - 1).catch(fails)],
    ["Step", () => move(state.k + 1).catch(fails)],
  );
  const asked = state.k;
  figure.slider("k", "go to step", {
    min: 0, max: () => state.steps, step: 1, changed: () => move(state.k).catch(fails),
  });
  const named = Array.from({length: 10}, (_, digit) => [digit, `the digit ${digit}`]);
  figure.choice("digit", "ask for", [["each", "0 to 9 in turn"], ["any", "any digit"], ...named],
    () => start());
  figure.choice("steps", "number of steps", [3, 5, 10, 20, 50].map((n) => [n, n]), () => start());
  figure.slider("strength", "strength of guidance", {
    min: 0, max: 4, step: 0.25, format: (value) => number(value, 2), changed: restart,
  });
  figure.choice("noise", "noise on the way", [[0, "none"], [1, "fresh in each step"]], () => start());
  figure.slider("seed", "seed of the noise", {min: 1, max: 999, step: 1, changed: restart});
  start(asked < 0 ? undefined : asked);
  return figure;
}
