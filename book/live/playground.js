// Points in the plane: a network learns their scores in the page, beside the exact ones.

import {COLOURS, Figure, number, still} from "./figure.js";
import {normal, uniform} from "./random.js";
import {ddim, x0FromV} from "./samplers.js";
import {cosineSchedule, evenSteps} from "./schedules.js";
import {bestGuess, ToyNetwork} from "./toy-network.js";

const T = 1000, STEPS = 2000, CHUNK = 25, PATHS = 30, SAMPLED = 40;
const JUDGED = 80; // batches on which the losses are compared
const SPREAD = 0.06; // of the data around each point
const REACH = 2.4, GRID = 13;
const MANY = 300; // points of a set
const LONGEST = 0.9; // of an arrow, in units of the grid
const LAST = 10; // step at which the points count as arrived
const TITLE = 24; // pixels above a square
const FALL = 4000; // milliseconds from noise to data

const SETS = {
  moons(u) {
    const angle = Math.PI * u();
    return u() < 0.5 ? [Math.cos(angle) - 0.5, Math.sin(angle) - 0.25]
      : [0.5 - Math.cos(angle), 0.25 - Math.sin(angle)];
  },
  ring(u) {
    const angle = 2 * Math.PI * u();
    return [1.2 * Math.cos(angle), 1.2 * Math.sin(angle)];
  },
  spiral(u) {
    const turn = 0.3 + 0.7 * Math.sqrt(u());
    return [1.5 * turn * Math.cos(9 * turn), 1.5 * turn * Math.sin(9 * turn)];
  },
  heaps(u) {
    const heap = Math.floor(3 * u());
    return [[-1.2, -0.6], [0.9, -1], [0.3, 1.2]][heap].map((x) => x + 0.3 * (u() + u() + u() - 1.5));
  },
};

/** The points of a set, as x, y, x, y, ... */
export function pointsOf(name) {
  const u = uniform(5);
  return Float32Array.from(Array.from({length: MANY}, () => SETS[name](u)).flat());
}

export function playground(root, {helper}) {
  const schedule = cosineSchedule(T);
  const kept = evenSteps(T, SAMPLED);
  const coarse = schedule.respaced(kept);
  const times = [...Array.from(kept).reverse(), LAST]; // of the places on a path
  let points, network, run = 0, trained = 0, loss = 0, least = 0, paths = {};
  let falling; // while the points do, something that is no other
  let led = false; // whether the reader has said which step to look at
  const figure = new Figure(root, {
    label: "Two squares with the points of the data, arrows of the score, and paths of samples: left "
      + "those of the network, right the exact ones",
    defaults: {set: "moons", t: 400, paths: "ddim", drawn: ""},
    height: (width) => layout(width).side + TITLE + 2,
    draw,
  });
  const {state, canvas} = figure;

  const layout = (width) => {
    const side = Math.floor((width - 12) / 2);
    return {side, lefts: [0, side + 12]};
  };
  const guesses = {
    network: (x, t) => x0FromV(x, network.v(x, t), schedule.alphaBar[t]),
    exact: (x, t) => bestGuess(points, SPREAD, x, schedule.alphaBar[t]),
  };

  function draw(context, width, height, ink) {
    const {side, lefts} = layout(width);
    const words = ["learned by the network", "exact"];
    Object.keys(guesses).forEach((name, i) => {
      context.fillStyle = ink;
      context.textAlign = "left";
      context.fillText(words[i], lefts[i], 15);
      panel(context, name, lefts[i], TITLE, side, ink);
    });
  }

  function panel(context, name, left, top, side, ink) {
    const place = (x, y) =>
      [left + ((x + REACH) / (2 * REACH)) * side, top + ((REACH - y) / (2 * REACH)) * side];
    context.save();
    context.beginPath();
    context.rect(left, top, side, side);
    context.clip();
    context.strokeStyle = context.fillStyle = ink;
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, top + 0.5, side - 1, side - 1);
    context.globalAlpha = 0.5;
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = place(points[i], points[i + 1]);
      context.fillRect(x - 1, y - 1, 2.5, 2.5);
    }
    context.globalAlpha = 1;
    arrows(context, name, place);
    if (paths[name]) trails(context, paths[name], place);
    context.restore();
  }

  /** The score at step t: where noise would have to go, (signal x_0_hat - x) / (1 - alpha_bar). */
  function arrows(context, name, place) {
    const at = new Float32Array(2 * GRID * GRID);
    const step = (2 * REACH) / GRID;
    for (let i = 0; i < GRID * GRID; i++)
      at.set([((i % GRID) + 0.5) * step - REACH, (Math.floor(i / GRID) + 0.5) * step - REACH], 2 * i);
    const a = schedule.alphaBar[state.t];
    const guess = guesses[name](at, state.t);
    context.strokeStyle = COLOURS[0];
    context.lineWidth = 1.5;
    context.beginPath();
    for (let i = 0; i < at.length; i += 2) {
      const score = [0, 1].map((c) => (Math.sqrt(a) * guess[i + c] - at[i + c]) / Math.sqrt(1 - a));
      const length = Math.hypot(...score);
      const scale = (LONGEST * step * Math.tanh(length / 2)) / (length || 1);
      const from = place(at[i], at[i + 1]);
      const to = place(at[i] + scale * score[0], at[i + 1] + scale * score[1]);
      const [dx, dy] = [to[0] - from[0], to[1] - from[1]].map((d) => d * 0.3);
      context.moveTo(...from);
      context.lineTo(...to);
      context.moveTo(to[0] - dx - dy * 0.6, to[1] - dy + dx * 0.6);
      context.lineTo(...to);
      context.lineTo(to[0] - dx + dy * 0.6, to[1] - dy - dx * 0.6);
    }
    context.stroke();
  }

  /** The paths as far as step t, and the points that are there now. */
  function trails(context, path, place) {
    const next = times.findIndex((time) => time <= state.t);
    const [from, to] = [times[Math.max(0, next - 1)], times[next]];
    const share = from > to ? (from - state.t) / (from - to) : 1;
    const [before, after] = [path[Math.max(0, next - 1)], path[next]];
    const now = before.map((x, i) => x + share * (after[i] - x));
    context.strokeStyle = context.fillStyle = COLOURS[1];
    context.lineWidth = 1.2;
    const places = [...path.slice(0, next), now];
    for (let k = 1; k < places.length; k++) {
      const age = places.length - 1 - k;
      // Jagged paths cross each other so often that the older parts of them would hide all else.
      context.globalAlpha = state.paths === "ddim" ? 0.8 : Math.max(0.05, 0.8 * 0.8 ** age);
      context.beginPath();
      for (let i = 0; i < 2 * PATHS; i += 2) {
        context.moveTo(...place(places[k - 1][i], places[k - 1][i + 1]));
        context.lineTo(...place(places[k][i], places[k][i + 1]));
      }
      context.stroke();
    }
    context.globalAlpha = 0.9;
    for (let i = 0; i < 2 * PATHS; i += 2) {
      context.beginPath();
      context.arc(...place(now[i], now[i + 1]), 3.5, 0, 7);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  /** Lead the points from noise to data, and the arrows with them, unless something else begins. */
  async function fall() {
    const mine = (falling = {}), begun = performance.now();
    figure.busy = true;
    for (let share = still() ? 1 : 0; ; share = (performance.now() - begun) / FALL) {
      figure.set("t", Math.round(T - 1 - Math.min(1, share) * (T - 1 - LAST)));
      tell();
      figure.redraw();
      if (share >= 1) break;
      await new Promise(requestAnimationFrame);
      if (mine !== falling) return;
    }
    falling = undefined;
    figure.busy = trained < STEPS;
    figure.settle();
  }

  function stay() {
    if (falling) figure.busy = trained < STEPS;
    falling = undefined;
  }

  async function walk() {
    const mine = run;
    paths = {};
    if (state.paths === "none") return;
    for (const name of Object.keys(guesses)) {
      const noise = normal(11);
      const xT = noise(2 * PATHS);
      const denoise = (x, k) => guesses[name](x, kept[k - 1]);
      const path = [xT];
      for (const {t, xS} of ddim(coarse, denoise, xT, state.paths === "ddim" ? 0 : 1, noise)) {
        path.push(xS);
        if (t % 5) continue;
        await new Promise((done) => setTimeout(done)); // the page may do something else in between
        if (mine !== run) return;
      }
      paths[name] = path;
    }
  }

  function tell() {
    figure.values.textContent = trained < STEPS
      ? `Training: step ${trained} of ${STEPS}, loss ${number(loss, 3)}.`
      : `The network has seen ${(STEPS * 128).toLocaleString("en")} noisy points. Its loss is `
        + `${number(loss, 3)}, that of the exact answer ${number(least, 3)}. Points and arrows are those `
        + `of t = ${state.t}, where the signal’s share is ${number(schedule.alphaBar[state.t], 2)}.`;
  }

  async function changed() {
    const mine = run;
    stay();
    figure.busy = true;
    tell();
    if (trained < STEPS) return;
    await walk();
    if (mine !== run) return;
    figure.busy = false;
    figure.redraw();
    if (!led) await fall();
  }

  async function train() {
    const mine = ++run;
    stay();
    figure.busy = true;
    if (!led) figure.set("t", figure.defaults.t);
    [trained, loss, paths, network] = [0, 0, {}, new ToyNetwork(1)];
    tell();
    await helper.ask("train", {options:
      {points, spread: SPREAD, alphaBar: schedule.alphaBar, steps: STEPS, seed: 1}});
    while (trained < STEPS) {
      const answer = await helper.ask("learn", {count: CHUNK});
      if (mine !== run) return;
      network = new ToyNetwork(1, answer.weights);
      [trained, loss] = [answer.step, answer.loss];
      tell();
      figure.redraw();
    }
    const judged = await helper.ask("judge", {count: JUDGED});
    if (mine !== run) return;
    [loss, least] = [judged.network, judged.exact];
    await changed();
    figure.settle();
  }

  const fails = (error) => figure.fail(error);
  const start = () => train().catch(fails);
  const choose = () => {
    points = state.set === "yours" ? fromText(state.drawn) : pointsOf(state.set);
    start();
  };
  led = "t" in figure.told();
  figure.slider("t", "step t", {min: LAST, max: T - 1, step: 1, changed: () => {
    stay();
    led = true;
    tell();
    figure.redraw();
  }});
  figure.choice("set", "data", [["moons", "two moons"], ["ring", "a ring"], ["spiral", "a spiral"],
    ["heaps", "three heaps"], ["yours", "yours: draw them"]], choose);
  figure.choice("paths", "paths", [["ddim", "DDIM"], ["ancestral", "ancestral"], ["none", "none"]],
    () => changed().catch(fails));
  figure.buttons(
    ["Let the points fall", () => fall().catch(fails)],
    ["Train again", start],
    ["Clear your data", () => {
      state.drawn = "";
      figure.set("set", "yours");
      choose();
    }],
  );

  canvas.classList.add("live-draw");
  const inSquare = (x, y) => {
    const {side, lefts} = layout(canvas.clientWidth);
    return [(x % lefts[1]) / side, (y - TITLE) / side];
  };
  const inside = (place) => place.every((share) => share >= 0 && share <= 1);
  const add = (x, y) => {
    const place = inSquare(x, y);
    if (!inside(place) || state.drawn.length >= 4 * MANY) return;
    state.drawn += toText((2 * place[0] - 1) * REACH, (1 - 2 * place[1]) * REACH);
    figure.set("set", "yours");
    points = fromText(state.drawn);
    figure.redraw();
  };
  figure.hold({
    take(x, y) {
      if (!inside(inSquare(x, y))) return false;
      run++;
      stay();
      add(x, y);
      return true;
    },
    move: add,
    drop: start,
  });
  choose();
  return figure;
}

/** A point of the plane as four digits of an address. */
const toText = (...xy) => xy.map((value) =>
  String(Math.round(((value + REACH) / (2 * REACH)) * 99)).padStart(2, "0")).join("");

/** The points of such a text; without any, one in the middle. */
function fromText(text) {
  const found = (text.match(/\d{2}/g) ?? []).map((two) => (Number(two) / 99) * 2 * REACH - REACH);
  return Float32Array.from(found.length > 1 ? found.slice(0, 2 * Math.floor(found.length / 2)) : [0, 0]);
}
