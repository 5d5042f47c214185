// One step of noise of any size, what a network makes of it, and the best answer that there is.

import {digitsOf} from "./digits.js";
import {exactPosterior, meanOf} from "./exact.js";
import {Figure, number} from "./figure.js";
import {drawable, lettersOf, pixelsOf, PIXELS, show} from "./pad.js";
import {normal} from "./random.js";
import {cosineSchedule} from "./schedules.js";

const MODEL = "unet_small";
const T = 1000;
const SHOWN = 8; // of the digits that the best answer mixes, at most

export async function oneStep(root, {helper, files}) {
  await helper.load(MODEL, files[MODEL]);
  const digits = await digitsOf(files.digits);
  const data = digits.images.map((levels) => Float32Array.from(levels, (level) => level / 127.5 - 1));
  const {alphaBar} = cosineSchedule(T);
  let run = 0, drawn, shown;
  const figure = new Figure(root, {
    label: "Four pictures: a digit, the digit with noise, the network’s answer, and the best answer; "
      + "below, the digits that the best answer mixes, with their weights",
    defaults: {log: -1.5, digit: 9, seed: 1, drawn: ""},
    height: (width) => {
      const {side, down, small} = layout(width);
      return down * (side + 30) + small + 48;
    },
    draw,
  });
  const {state} = figure;

  const layout = (width) => {
    const across = width < 500 ? 2 : 4;
    const many = width < 500 ? SHOWN / 2 : SHOWN;
    return {across, down: 4 / across, side: Math.floor((width - 12 * (across - 1)) / across),
      many, small: Math.floor(Math.min(56, width / many - 8))};
  };
  const place = (width, i) => {
    const {across, side} = layout(width);
    return [(i % across) * (side + 12), 24 + Math.floor(i / across) * (side + 30), side];
  };

  function draw(context, width, height, ink) {
    const {x0, x1, network, exact} = shown;
    ["a digit: draw here", "with noise", "the network’s answer", "the best answer"].forEach((title, i) => {
      const [left, top, side] = place(width, i);
      context.fillStyle = ink;
      context.textAlign = "left";
      context.fillText(title, left, top - 9);
      show(context, [x0, x1, network, exact][i].map((x) => (x + 1) / 2), left, top, side);
    });
    mixed(context, width, ink);
  }

  /** The digits that weigh most in the best answer, and how much. */
  function mixed(context, width, ink) {
    const {side, down, many, small} = layout(width);
    const top = down * (side + 30) + 24;
    const first = Array.from(shown.probabilities.keys())
      .sort((a, b) => shown.probabilities[b] - shown.probabilities[a])
      .slice(0, many)
      .filter((n) => shown.probabilities[n] > 0.005);
    context.fillStyle = ink;
    context.textAlign = "left";
    context.fillText("the best answer mixes", 0, top - 9);
    context.textAlign = "center";
    context.font = "12px system-ui, sans-serif";
    first.forEach((n, i) => {
      const left = i * (small + 8);
      show(context, data[n].map((x) => (x + 1) / 2), left, top, small);
      context.fillText(`${number(100 * shown.probabilities[n], 0)} %`, left + small / 2, top + small + 16);
    });
  }

  /** The step of the network's schedule whose share of signal is nearest to alpha. */
  const step = () => alphaBar.reduce((best, a, t) =>
    (t && Math.abs(a - 10 ** state.log) < Math.abs(alphaBar[best] - 10 ** state.log) ? t : best), 1);

  const error = (x, y) => Math.sqrt(x.reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0) / PIXELS);

  async function answer() {
    const mine = ++run;
    figure.busy = true;
    const t = step();
    const [signal, noise] = [Math.sqrt(alphaBar[t]), Math.sqrt(1 - alphaBar[t])];
    const eps = normal(state.seed)(PIXELS);
    const x0 = drawn ? drawn.map((x) => 2 * x - 1) : data[state.digit - 1];
    const x1 = x0.map((x, i) => signal * x + noise * eps[i]);
    const probabilities = exactPosterior(data, x1, signal, noise);
    const exact = meanOf(data, probabilities);
    shown = {network: new Float32Array(PIXELS).fill(-1), ...shown, x0, x1, exact, probabilities};
    figure.redraw();
    const network = await helper.ask("denoise", {model: MODEL, xT: x1, t});
    if (mine !== run) return;
    shown.network = network;
    figure.busy = false;
    const alone = 1 / probabilities.reduce((sum, p) => sum + p * p, 0);
    figure.values.innerHTML =
      `<span>The signal’s share is <b>${number(alphaBar[t], 3)}</b>. A pixel of the network’s answer errs `
      + `by ${number(error(network, x0), 2)}, one of the best answer by ${number(error(exact, x0), 2)}.`
      + `</span> <span>The best answer is a mean of about <b>${number(alone, 0)}</b> of the `
      + `${data.length} digits.</span>`;
    figure.redraw();
  }

  const start = () => answer().catch((fault) => figure.fail(fault));
  figure.slider("log", "signal’s share α", {
    min: -2.7, max: -0.01, step: 0.01, format: (value) => number(10 ** value, 3), changed: start,
  });
  figure.slider("digit", "number of a test digit", {
    min: 1, max: data.length, step: 1, changed: () => {
      [drawn, state.drawn] = [undefined, ""];
      start();
    },
  });
  figure.buttons(
    ["Other noise", () => {
      figure.set("seed", (state.seed % 999) + 1);
      start();
      figure.settle();
    }],
    ["Clear the pad", () => {
      drawn = new Float32Array(PIXELS);
      state.drawn = lettersOf(drawn);
      start();
      figure.settle();
    }],
  );
  drawable(figure, (width) => place(width, 0), {
    begin: () => (drawn ??= new Float32Array(PIXELS)),
    changed() {
      shown.x0 = drawn.map((x) => 2 * x - 1);
      state.drawn = lettersOf(drawn);
      figure.redraw();
    },
    done() {
      start();
      figure.settle();
    },
  });
  drawn = pixelsOf(state.drawn);
  await start();
  return figure;
}
