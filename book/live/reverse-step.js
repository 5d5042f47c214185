// In one dimension: what a step back looks like, and how it becomes normal as the step shrinks.

import {COLOURS, Figure, number} from "./figure.js";
import {logNormal} from "./parabola.js";
import {draggable, Plot} from "./plot.js";

const [LEFT, RIGHT] = [-2.5, 2.5];
const POINTS = 1001;
const CELL = (RIGHT - LEFT) / (POINTS - 1);
const GRID = Float64Array.from({length: POINTS}, (_, i) => LEFT + i * CELL);
const SPREAD = 0.12; // of each of the two humps of the data, at -1 and 1
const [EXACT, NORMAL] = [COLOURS[0], COLOURS[1]];

/** Density of x_s when a share `a` of the variance is signal: two humps that run together. */
export const density = (x, a) => {
  const deviation = Math.sqrt(a * SPREAD ** 2 + 1 - a);
  return 0.5 * Math.exp(logNormal(x, -Math.sqrt(a), deviation))
    + 0.5 * Math.exp(logNormal(x, Math.sqrt(a), deviation));
};

/** q(x_s|x_t) on the grid by Bayes' rule, its mean and deviation, and its distance from a normal. */
export function stepBack(xT, a, beta) {
  const joint = GRID.map((x) => density(x, a)
    * Math.exp(logNormal(xT, Math.sqrt(1 - beta) * x, Math.sqrt(beta))));
  const sum = joint.reduce((total, p) => total + p, 0) * CELL;
  const exact = joint.map((p) => p / sum);
  const mean = exact.reduce((total, p, i) => total + p * GRID[i], 0) * CELL;
  const variance = exact.reduce((total, p, i) => total + p * (GRID[i] - mean) ** 2, 0) * CELL;
  const normal = GRID.map((x) => Math.exp(logNormal(x, mean, Math.sqrt(variance))));
  // Total variation: the share of probability that lies in other places.
  const apart = exact.reduce((total, p, i) => total + Math.abs(p - normal[i]), 0) * CELL * 0.5;
  return {exact, normal, mean, deviation: Math.sqrt(variance), apart};
}

export function reverseStep(root) {
  let back, plot;
  const figure = new Figure(root, {
    label: "The density before a step of noise as a grey hill with two humps; the point that the step "
      + "led to; the exact density of where it came from, and a normal one",
    defaults: {x: 0.2, beta: 0.5, signal: 0.8},
    height: (width) => (width < 500 ? 260 : 330),
    draw,
  });
  const {state} = figure;

  function draw(context, width, height, ink) {
    const most = Math.max(1, ...back.exact, ...back.normal) * 1.08;
    const pairs = (values) => Array.from(values, (value, i) => [GRID[i], value]);
    plot = new Plot(context, {left: 0, top: 22, width, height: height - 22, x: [LEFT, RIGHT],
      y: [0, most], ink, xTicks: [-2, -1, 0, 1, 2].map((x) => [x, number(x, 0)])});
    plot.area(pairs(GRID.map((x) => density(x, state.signal))), ink, 0.3);
    plot.line(pairs(back.exact), EXACT, 3);
    context.setLineDash([6, 4]);
    plot.line(pairs(back.normal), NORMAL, 2);
    context.setLineDash([]);
    plot.handle(state.x, 0, COLOURS[2], "x");
    context.textAlign = "left";
    const words = [["before the step", ink], ["where it came from", EXACT], ["normal density", NORMAL]];
    let left = 0;
    for (const [text, colour] of words) {
      context.fillStyle = colour;
      context.fillText(text, left, 14);
      left += context.measureText(text).width + 18;
    }
  }

  function changed() {
    back = stepBack(state.x, state.signal, state.beta);
    figure.values.innerHTML =
      `<span>After a step of variance β = <b>${number(state.beta, 3)}</b> you are at `
      + `x = ${number(state.x, 2)}. You came from ${number(back.mean, 2)} ± ${number(back.deviation, 2)}.`
      + `</span> <span>The normal density puts <b>${number(100 * back.apart, 1)} %</b> of the `
      + "probability elsewhere.</span>";
    figure.redraw();
  }

  const two = (value) => number(value, 2);
  figure.slider("beta", "variance of the step", {
    min: 0.005, max: 0.95, step: 0.005, format: (value) => number(value, 3), changed,
  });
  figure.slider("x", "where you are, x", {min: -2.4, max: 2.4, step: 0.05, format: two, changed});
  figure.slider("signal", "signal’s share before", {min: 0.1, max: 0.99, step: 0.01, format: two, changed});
  figure.canvas.classList.add("live-drag");
  draggable(figure, () => ({x: [plot.x(state.x), plot.y0]}), (_, x) => {
    figure.set("x", Math.min(2.4, Math.max(-2.4, plot.xOf(x))));
    changed();
  });
  changed();
  return figure;
}
