// On a line, where paths are known exactly: what a solver gets wrong, and how that falls with evaluations.

import {COLOURS, Figure, number} from "./figure.js";
import {LINE, normalQuantiles} from "./mixtures.js";
import {Plot} from "./plot.js";
import {ddim} from "./samplers.js";
import {heun, logSnrRatios, multistep, rootRatios, scheduleOf} from "./solvers.js";

const [LOW, HIGH] = [0.05, 20]; // ends of the grids, as in the chapter
const EVALUATIONS = [3, 5, 7, 9, 11, 15, 21, 29, 41, 57, 81, 113, 161, 225, 321, 453, 641];
const PATHS = 33, SHOWN = 9;
const REACH = 2.6, SHADES = 80;
const DOTTED = 41; // the most steps that are drawn as dots

const OFFSET = 0.008; // of the cosine schedule
const angleOf = (share) => ((Math.PI / 2) * (share + OFFSET)) / (1 + OFFSET);

const SOLVERS = {
  euler: {words: "Euler", order: 1, colour: COLOURS[0], steps: (n) => n,
    run: (schedule, denoise, x) => ddim(schedule, denoise, x, 0)},
  heun: {words: "Heun", order: 2, colour: COLOURS[1], steps: (n) => (n + 1) / 2, run: heun},
  multistep: {words: "multistep", order: 2, colour: COLOURS[2], steps: (n) => n, run: multistep},
};

/** Ratios of the cosine schedule, evenly in its time, which is an angle. */
export function evenInT(K, low, high) {
  const first = Math.cos(angleOf(0));
  const angles = [low, high].map((ratio) => Math.acos(first / Math.hypot(1, ratio)));
  return Float64Array.from({length: K}, (_, k) => {
    const signal = Math.cos(angles[0] + ((angles[1] - angles[0]) * k) / (K - 1)) / first;
    return Math.sqrt(1 - signal * signal) / signal;
  });
}

const GRIDS = {
  roots: rootRatios,
  "log-SNR": logSnrRatios,
  t: evenInT,
  ratio: (K, low, high) => rootRatios(K, low, high, 1),
};

const noised = (ratio) => LINE.noised(1 / Math.hypot(1, ratio), ratio / Math.hypot(1, ratio));
/** Where paths from the largest ratio are at another one. */
const carried = (starts, ratio) => {
  const [from, to] = [noised(HIGH), noised(ratio)];
  return starts.map((x) => to.placeOf(from.shareBelow(x)));
};

/** The places of points at each step of a solver with so many evaluations, from x_T to x_1. */
export function solved(solver, grid, evaluations, starts) {
  const {run, steps} = SOLVERS[solver];
  const schedule = scheduleOf(GRIDS[grid](steps(evaluations), LOW, HIGH));
  const places = [];
  for (const {t, xT} of run(schedule, LINE.denoiser(schedule), starts)) {
    places.push(xT);
    if (t === 1) break;
  }
  return {schedule, places};
}

const STARTS = {};
/** Root mean squared error of x_1 over the paths. */
export function errorOf(solver, grid, evaluations) {
  STARTS.many ??= normalQuantiles(PATHS);
  STARTS.ends ??= carried(STARTS.many, LOW);
  const found = solved(solver, grid, evaluations, STARTS.many).places.at(-1);
  return Math.sqrt(found.reduce((sum, x, i) => sum + (x - STARTS.ends[i]) ** 2, 0) / PATHS);
}

export function solverError(root) {
  let run = 0, curves = {}, now, exact = [], shading;
  const starts = normalQuantiles(SHOWN, 0.06);
  const figure = new Figure(root, {
    label: "Left, paths from noise to data on a grey density, exact as thin lines and those of the solver "
      + "with dots; right, the error of three solvers against evaluations, both axes logarithmic",
    defaults: {solver: "euler", grid: "roots", at: 4},
    height: (width) => (width < 500 ? 560 : 330),
    draw,
  });
  const {state} = figure;

  function draw(context, width, height, ink) {
    const narrow = width < 500;
    const half = narrow ? width : Math.floor((width - 16) / 2);
    paths(context, {left: 0, top: 0, width: half, height: narrow ? 270 : height}, ink);
    errors(context, narrow ? {left: 0, top: 285, width, height: 275}
      : {left: half + 16, top: 0, width: half, height}, ink);
  }

  function paths(context, place, ink) {
    const ends = [-Math.log(HIGH), -Math.log(LOW)];
    const plot = new Plot(context, {...place, x: ends, y: [-REACH, REACH], ink,
      title: "half of the log-SNR →", xTicks: [-2, 0, 2].map((x) => [x, number(x, 0)]),
      yTicks: [-2, 0, 2].map((y) => [y, number(y, 0)])});
    if (shading) context.drawImage(shading, plot.x0, plot.y1, plot.x1 - plot.x0, plot.y0 - plot.y1);
    starts.forEach((_, i) => plot.line(exact.map(([x, places]) => [x, places[i]]), ink, 1));
    if (!now) return;
    const {schedule: {logSnr, T}, places} = now, {colour} = SOLVERS[state.solver];
    starts.forEach((_, i) => {
      const pairs = places.map((x, k) => [logSnr[T - k] / 2, x[i]]);
      plot.line(pairs, colour, 1.5);
      if (T > DOTTED) return;
      context.fillStyle = colour;
      for (const [x, y] of pairs.filter(([, height]) => Math.abs(height) < REACH)) {
        context.beginPath();
        context.arc(plot.x(x), plot.y(y), 2.5, 0, 7);
        context.fill();
      }
    });
  }

  function errors(context, place, ink) {
    const log = Math.log10;
    const plot = new Plot(context, {...place, x: [log(2.4), log(900)], y: [-5.2, 0.3], ink,
      title: "error against evaluations",
      xTicks: [3, 10, 30, 100, 300].map((x) => [log(x), String(x)]),
      yTicks: [[0, "1"], [-1, "0.1"], [-2, "0.01"], [-3, "10⁻³"], [-4, "10⁻⁴"], [-5, "10⁻⁵"]]});
    context.setLineDash([2, 4]);
    context.fillStyle = ink;
    for (const [order, n, at, many] of [[1, 30, -0.55, 641], [2, 9, -2, 130]]) {
      plot.line([[log(n), at], [log(many), at - order * log(many / n)]], ink, 1);
      context.textAlign = order === 1 ? "left" : "right";
      context.fillText(`slope −${order}`, plot.x(log(2.2 * n)) + (order === 1 ? 6 : -8),
        plot.y(at - order * log(2.2)) + (order === 1 ? -4 : 8));
    }
    context.setLineDash([]);
    Object.entries(curves).forEach(([name, curve], i) => {
      const {words, colour} = SOLVERS[name], chosen = name === state.solver;
      plot.line(curve.map((error, k) => [log(EVALUATIONS[k]), log(error)]), colour, chosen ? 3 : 1.5);
      context.fillStyle = colour;
      context.textAlign = "left";
      context.font = `${chosen ? "bold " : ""}13px system-ui, sans-serif`;
      context.fillText(words, plot.x0 + 10, plot.y0 - 46 + 18 * i);
    });
    const here = curves[state.solver]?.[state.at];
    if (here) plot.handle(log(EVALUATIONS[state.at]), log(here), SOLVERS[state.solver].colour);
  }

  /** The paths and the density, at so many levels. */
  async function prepare() {
    const picture = document.createElement("canvas");
    picture.width = picture.height = SHADES;
    const pixels = picture.getContext("2d").createImageData(SHADES, SHADES);
    const cell = (2 * REACH) / SHADES, at = new Float64Array(1);
    for (let column = 0; column < SHADES; column++) {
      const half = -Math.log(HIGH) + (Math.log(HIGH / LOW) * (column + 0.5)) / SHADES;
      const level = noised(Math.exp(-half));
      for (let row = 0; row < SHADES; row++) {
        at[0] = REACH - (row + 0.5) * cell;
        pixels.data.set([128, 135, 148, 180 * Math.min(1, level.density(at, 0) / 1.1)],
          4 * (row * SHADES + column));
      }
      exact.push([half, carried(starts, Math.exp(-half))]);
      if (column % 8 === 0) await new Promise((done) => setTimeout(done));
    }
    picture.getContext("2d").putImageData(pixels, 0, 0);
    shading = picture;
  }

  /** The curves, a point at a time. */
  async function measure() {
    const mine = ++run;
    figure.busy = true;
    curves = {};
    look();
    if (!shading) await prepare();
    if (mine !== run) return;
    for (const name of Object.keys(SOLVERS)) {
      curves[name] = [];
      for (const n of EVALUATIONS) {
        curves[name].push(errorOf(name, state.grid, n));
        figure.redraw();
        await new Promise((done) => setTimeout(done)); // the page may do something else in between
        if (mine !== run) return;
      }
    }
    figure.busy = false;
    tell();
  }

  /** The paths of the solver that is chosen. */
  function look() {
    now = solved(state.solver, state.grid, EVALUATIONS[state.at], starts);
    tell();
    figure.redraw();
  }

  function tell() {
    const curve = curves[state.solver], k = state.at, n = EVALUATIONS[k];
    if (!curve || curve.length < EVALUATIONS.length) {
      figure.values.textContent = "Measuring …";
      return;
    }
    const {steps, words, order} = SOLVERS[state.solver];
    const [from, to] = [Math.max(0, k - 1), Math.min(EVALUATIONS.length - 1, k + 1)];
    const slope = Math.log(curve[to] / curve[from]) / Math.log(EVALUATIONS[to] / EVALUATIONS[from]);
    const error = curve[k], digits = Math.max(2, 1 - Math.floor(Math.log10(error)));
    figure.values.innerHTML = `<span>With ${n} evaluations (${words}, ${steps(n)} steps) `
      + `the error is <b>${number(error, digits)}</b>.</span> <span>There its line has the slope `
      + `<b>${number(slope, 2)}</b>; its order says −${order} for many steps.</span>`;
  }

  const fails = (error) => figure.fail(error);
  const restart = () => measure().catch(fails);
  figure.choice("solver", "solver",
    Object.entries(SOLVERS).map(([name, {words}]) => [name, words]), look);
  figure.choice("grid", "steps even in", [["roots", "roots of the ratio"],
    ["log-SNR", "the log-SNR"], ["t", "t, cosine"], ["ratio", "the ratio"]], restart);
  state.at = Math.round(state.at);
  figure.slider("at", "evaluations", {min: 0, max: EVALUATIONS.length - 1, step: 1,
    format: (at) => String(EVALUATIONS[at]), changed: look});
  restart();
  return figure;
}
