// On a line: lines between pairs of noise and data, the paths of their mean velocity, and Euler's steps.

import {carried, curvatureOf, euler, pairsOf, velocityOf} from "./couplings.js";
import {COLOURS, Figure, number} from "./figure.js";
import {LINE, normalQuantiles} from "./mixtures.js";
import {Plot} from "./plot.js";

const POINTS = 31, FINE = 100; // paths, and steps that count as the paths themselves
const STEPS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 100];
const PAIRS = 64;
const REACH = 2.6, TALLEST = 0.16; // of a density at an edge, in units of tau
const [EXACT, EULER] = [COLOURS[0], COLOURS[1]];
const SIZES = {independent: 1, "best of 4": 4, "best of 16": 16, "best of 64": 64};

const gap = (one, other) => one.reduce((sum, x, i) => sum + Math.abs(x - other[i]), 0) / one.length;

/** The velocity of a coupling, asked at a place, a time, and the number of the path. */
export function velocityFor(pairs, starts, ends) {
  // Lines between rectified pairs do not cross, so each path keeps the velocity of its own line.
  if (pairs === "rectified") return (x, tau, i) => starts[i] - ends[i];
  return velocityOf(SIZES[pairs]);
}

export function straightening(root) {
  let run = 0, starts, ends, velocity, lines, paths, curvature, steps, single;
  const densities = [LINE.noised(0, 1), LINE.noised(1, 0)];
  const figure = new Figure(root, {
    label: "Two fields from noise on the left to data on the right: in the first straight lines between "
      + "pairs, in the second the paths of the mean velocity, and Euler’s steps with dots",
    defaults: {pairs: "independent", at: 3, seed: 1},
    height: (width) => (width < 500 ? 540 : 330),
    draw,
  });
  const {state} = figure;

  function draw(context, width, height, ink) {
    const narrow = width < 500;
    const half = narrow ? width : Math.floor((width - 12) / 2);
    const left = field(context, {left: 0, top: 0, width: half, height: narrow ? 265 : height,
      title: "lines between pairs"}, ink);
    context.globalAlpha = 0.55;
    for (const [x0, eps] of lines ?? []) left.line([[0, eps], [1, x0]], ink, 1);
    context.globalAlpha = 1;
    const right = field(context, {left: narrow ? 0 : half + 12, top: narrow ? 275 : 0, width: half,
      height: narrow ? 265 : height, title: "paths, and Euler’s steps"}, ink);
    const follow = (path, i) => path.map((x, k) => [k / (path.length - 1), x[i]]);
    for (let i = 0; i < POINTS; i += 2) {
      if (paths) right.line(follow(paths, i), EXACT, 1.2);
      if (!steps) continue;
      const pairs = follow(steps, i);
      right.line(pairs, EULER, 1.2);
      context.fillStyle = EULER;
      for (const [share, x] of pairs.slice(1)) {
        if (Math.abs(x) > REACH) continue;
        context.beginPath();
        context.arc(right.x(share), right.y(x), 2.2, 0, 7);
        context.fill();
      }
    }
  }

  /** Axes, with the density of the noise at the left edge and that of the data at the right. */
  function field(context, place, ink) {
    const plot = new Plot(context, {...place, x: [-TALLEST, 1 + TALLEST], y: [-REACH, REACH], ink,
      xTicks: [[0, "noise"], [1, "data"]], yTicks: [-2, 0, 2].map((y) => [y, number(y, 0)])});
    const heights = Array.from({length: 131}, (_, i) => -REACH + (2 * REACH * i) / 130);
    context.fillStyle = ink;
    densities.forEach((density, side) => {
      const values = heights.map((x) => density.density([x], 0));
      const most = Math.max(...values);
      context.globalAlpha = 0.4;
      context.beginPath();
      for (const [i, value] of values.entries()) {
        const out = (TALLEST * value) / most;
        context.lineTo(plot.x(side ? 1 + out : -out), plot.y(heights[i]));
      }
      context.fill();
      context.globalAlpha = 1;
    });
    return plot;
  }

  /** Go along a velocity, a step at a time; nothing if something else has begun. */
  async function follow(K, mine) {
    const path = [];
    for (const x of euler(velocity, starts, K)) {
      path.push(x);
      await new Promise((done) => setTimeout(done)); // the page may do something else in between
      if (mine !== run) return undefined;
    }
    return path;
  }

  /** All that the choice of pairs decides. */
  async function couple() {
    const mine = ++run;
    figure.busy = true;
    [paths, steps] = [undefined, undefined];
    figure.values.textContent = "Following the paths …";
    figure.redraw();
    starts ??= normalQuantiles(POINTS, 0.5 / POINTS);
    ends ??= starts.map(carried);
    velocity = velocityFor(state.pairs, starts, ends);
    deal();
    const fine = await follow(FINE, mine);
    if (!fine) return;
    [paths, curvature] = [fine, curvatureOf(fine)];
    single = gap((await follow(1, mine))?.at(-1) ?? ends, ends);
    if (mine === run) await go();
  }

  function deal() {
    lines = state.pairs === "rectified"
      ? pairsOf(1, PAIRS, state.seed).map(([, eps]) => [carried(eps), eps])
      : pairsOf(SIZES[state.pairs], PAIRS, state.seed);
    figure.redraw();
  }

  /** Euler's steps. */
  async function go() {
    const mine = ++run;
    figure.busy = true;
    const path = await follow(STEPS[state.at], mine);
    if (!path) return;
    steps = path;
    tell();
    figure.busy = false;
    figure.redraw();
  }

  function tell() {
    const K = STEPS[state.at], off = gap(steps.at(-1), ends);
    figure.values.innerHTML = `<span>The curvature of the paths is <b>${number(curvature, 3)}</b>.</span> `
      + `<span>${K === 1 ? "One Euler step ends" : `${K} Euler steps end`} <b>${number(off, 3)}</b> from `
      + `where the path leads, on average${K === 1 ? "" : `; one step, ${number(single, 3)}`}.</span>`;
  }

  const fails = (error) => figure.fail(error);
  const choose = () => couple().catch(fails);
  figure.choice("pairs", "pairs",
    [...Object.keys(SIZES), "rectified"].map((name) => [name, name]), choose);
  state.at = Math.round(state.at);
  figure.slider("at", "Euler steps", {min: 0, max: STEPS.length - 1, step: 1,
    format: (at) => String(STEPS[at]), changed: () => {
      if (paths) go().catch(fails);
    }});
  figure.buttons(["Other pairs", () => {
    state.seed = (state.seed % 999) + 1;
    deal();
    figure.settle();
  }]);
  choose();
  return figure;
}
