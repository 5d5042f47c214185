// Five clusters in the plane: the score at a level of noise, and both ways back to data from one place.

import {COLOURS, Figure, number, still} from "./figure.js";
import {PLANE} from "./mixtures.js";
import {normal} from "./random.js";
import {ddim} from "./samplers.js";
import {Schedule} from "./schedules.js";
import {heun} from "./solvers.js";

const REACH = 2.6, GRID = 13, SHADES = 72;
const [MOST_NOISE, LEAST_NOISE] = [-6, 6]; // as log-SNR
const STEP = 0.04; // of the log-SNR, from place to place on a path
const CROWD = 400, DRAWN = 3; // shaken paths, and how many of them are drawn as lines
const LONGEST = 2.5; // of an arrow, in the unit of the noise
const FALL = 4000; // milliseconds from noise to data
const [SHADE, SHAKEN, SMOOTH] = [COLOURS[0], COLOURS[1], COLOURS[2]];
const NAMES = "ABCDE";

const share = (logSnr) => 1 / (1 + Math.exp(-logSnr));
const levelAt = (logSnr) => PLANE.noised(Math.sqrt(share(logSnr)), Math.sqrt(share(-logSnr)));

/** Levels from least noise up to the start, evenly in log-SNR, as a schedule. */
export function scheduleFrom(start) {
  const K = Math.max(2, Math.ceil((LEAST_NOISE - start) / STEP) + 1);
  return new Schedule([1, ...Array.from({length: K}, (_, k) =>
    share(LEAST_NOISE + ((start - LEAST_NOISE) * k) / (K - 1)))]);
}

/** The places of points at each step of a sampler, from x_T to x_1: the step to x_0 is left out. */
function* placesOf(steps) {
  for (const {xT} of steps) yield xT;
}

/** The way back without kicks from one place: the places at each level. */
export function smoothPath(schedule, place) {
  return [...placesOf(heun(schedule, PLANE.denoiser(schedule), Float64Array.from(place)))];
}

/** Ways back with kicks, `count` from the same place; yields the places level by level. */
export function shakenPaths(schedule, [x, y], count, seed) {
  const start = Float64Array.from({length: 2 * count}, (_, i) => (i % 2 ? y : x));
  return placesOf(ddim(schedule, PLANE.denoiser(schedule), start, 1, normal(seed)));
}

/** For each cluster the share of points that belong to it, at the end of the ways. */
export function sharesOf(points) {
  const end = levelAt(LEAST_NOISE), shares = NAMES.split("").map(() => 0);
  for (let i = 0; i < points.length; i += 2)
    end.chances(points, i).forEach((chance, k) => (shares[k] += chance / (points.length / 2)));
  return shares;
}

/** The chances, exactly, that a place at a level of noise came from each of the clusters. */
export const chancesAt = (logSnr, place) => levelAt(logSnr).chances(place, 0);

export function waysBack(root) {
  let run = 0, falling, led = false, schedule, smooth, shaken, found, exact, home;
  const figure = new Figure(root, {
    label: "A square with the density of noisy data as shading and arrows of the score; from one place, "
      + "a smooth path and many jagged ones; beside it, bars for where they end",
    defaults: {start: -3, level: -3, x: 0.9, y: -0.3, seed: 1},
    height: (width) => layout(width).height,
    draw,
  });
  const {state, canvas} = figure;

  const layout = (width) => {
    if (width < 500) return {side: width, bars: [0, width + 12, width], height: width + 186};
    const side = Math.floor(Math.min(0.64 * width, 460));
    return {side, bars: [side + 24, 0, width - side - 24], height: side};
  };

  function draw(context, width, height, ink) {
    const {side, bars} = layout(width);
    const place = (x, y) => [((x + REACH) / (2 * REACH)) * side, ((REACH - y) / (2 * REACH)) * side];
    const level = levelAt(state.level);
    context.save();
    context.beginPath();
    context.rect(0, 0, side, side);
    context.clip();
    shade(context, level, side);
    arrows(context, level, place, ink);
    if (smooth) ways(context, place);
    begin(context, place(state.x, state.y), ink);
    context.font = "bold 14px system-ui, sans-serif";
    context.fillStyle = ink;
    context.textAlign = "center";
    PLANE.clusters.forEach(({mean}, k) => {
      const [x, y] = place(...mean.map((m) => level.a * m));
      if (state.level > 0) context.fillText(NAMES[k], x, y - 0.1 * side * level.a);
    });
    context.restore();
    context.strokeStyle = ink;
    context.lineWidth = 1;
    context.strokeRect(0.5, 0.5, side - 1, side - 1);
    table(context, bars, ink);
  }

  function shade(context, level, side) {
    const small = document.createElement("canvas");
    small.width = small.height = SHADES;
    const at = new Float64Array(2), cell = (2 * REACH) / SHADES;
    const densities = Float64Array.from({length: SHADES * SHADES}, (_, i) => {
      at[0] = ((i % SHADES) + 0.5) * cell - REACH;
      at[1] = REACH - (Math.floor(i / SHADES) + 0.5) * cell;
      return level.density(at, 0);
    });
    const most = densities.reduce((a, b) => Math.max(a, b));
    const picture = small.getContext("2d").createImageData(SHADES, SHADES);
    const colour = [1, 3, 5].map((c) => parseInt(SHADE.slice(c, c + 2), 16));
    densities.forEach((density, i) =>
      picture.data.set([...colour, 190 * Math.sqrt(density / most)], 4 * i));
    small.getContext("2d").putImageData(picture, 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(small, 0, 0, side, side);
  }

  /** The score in the unit of the noise; the longest arrows are cut to one length. */
  function arrows(context, level, place, ink) {
    const step = (2 * REACH) / GRID;
    const at = Float64Array.from({length: 2 * GRID * GRID}, (_, i) =>
      ((i % 2 ? Math.floor(i / 2 / GRID) : (i >> 1) % GRID) + 0.5) * step - REACH);
    const score = level.score(at);
    context.strokeStyle = ink;
    context.globalAlpha = 0.7;
    context.lineWidth = 1;
    context.beginPath();
    for (let i = 0; i < at.length; i += 2) {
      const arrow = [level.sigma * score[i], level.sigma * score[i + 1]];
      const scale = (0.95 * step) / Math.max(LONGEST, Math.hypot(...arrow));
      const from = place(at[i], at[i + 1]);
      const to = place(at[i] + scale * arrow[0], at[i + 1] + scale * arrow[1]);
      const [dx, dy] = [0, 1].map((c) => 0.3 * (to[c] - from[c]));
      context.moveTo(...from);
      context.lineTo(...to);
      context.moveTo(to[0] - dx - 0.6 * dy, to[1] - dy + 0.6 * dx);
      context.lineTo(...to);
      context.lineTo(to[0] - dx + 0.6 * dy, to[1] - dy - 0.6 * dx);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  /** How many places of a path the level has reached. */
  const reached = () => {
    const part = (state.level - state.start) / (LEAST_NOISE - state.start);
    return 1 + Math.round(Math.min(1, Math.max(0, part)) * (schedule.T - 1));
  };

  function ways(context, place) {
    const count = reached();
    const line = (path, i) => {
      context.beginPath();
      for (const x of path.slice(0, count)) context.lineTo(...place(x[i], x[i + 1]));
      context.stroke();
    };
    const dot = (x, i, size) => {
      context.beginPath();
      context.arc(...place(x[i], x[i + 1]), size, 0, 7);
      context.fill();
    };
    context.strokeStyle = context.fillStyle = SHAKEN;
    context.lineWidth = 1;
    if (shaken) {
      context.globalAlpha = 0.75;
      for (let n = 0; n < DRAWN; n++) line(shaken, 2 * n);
      const now = shaken[count - 1];
      for (let i = 0; i < now.length; i += 2) dot(now, i, 2);
      context.globalAlpha = 1;
    }
    context.strokeStyle = context.fillStyle = SMOOTH;
    context.lineWidth = 3;
    line(smooth, 0);
    dot(smooth[count - 1], 0, 5.5);
  }

  function begin(context, [x, y], ink) {
    context.strokeStyle = ink;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, 7, 0, 7);
    context.stroke();
  }

  function table(context, [left, top, wide], ink) {
    context.textAlign = "left";
    context.font = "14px system-ui, sans-serif";
    const words = [["smooth path", SMOOTH], ["shaken paths", SHAKEN], ["exact chances", ink]];
    words.forEach(([text, colour], i) => {
      const [x, y] = top ? [left + i * (wide / 3), top + 14] : [left, top + 16 + 20 * i];
      context.fillStyle = colour;
      context.fillText(text, x, y);
    });
    if (!exact) return;
    const first = top ? top + 30 : 90, every = top ? 30 : 44, tall = top ? 22 : 28;
    const full = wide - 26;
    exact.forEach((chance, k) => {
      const y = first + k * every;
      context.fillStyle = k === home ? SMOOTH : ink;
      context.font = `${k === home ? "bold " : ""}14px system-ui, sans-serif`;
      context.fillText(NAMES[k], left, y + tall / 2 + 5);
      context.fillStyle = SHAKEN;
      if (found) context.fillRect(left + 22, y + 4, full * found[k], tall - 8);
      context.strokeStyle = ink;
      context.lineWidth = 1.5;
      context.strokeRect(left + 22, y, full * chance, tall);
    });
  }

  /** The paths: the smooth one at once, the others a few levels at a time. */
  async function walk() {
    const mine = ++run;
    falling = undefined;
    figure.busy = true;
    schedule = scheduleFrom(state.start);
    smooth = smoothPath(schedule, [state.x, state.y]);
    exact = chancesAt(state.start, [state.x, state.y]);
    const ends = sharesOf(smooth.at(-1));
    home = ends.indexOf(Math.max(...ends));
    shaken = found = undefined;
    tell();
    figure.redraw();
    const path = [];
    for (const places of shakenPaths(schedule, [state.x, state.y], CROWD, state.seed)) {
      path.push(places);
      if (path.length % 4) continue;
      await new Promise((done) => setTimeout(done)); // the page may do something else in between
      if (mine !== run) return;
    }
    shaken = path;
    found = sharesOf(path.at(-1));
    tell();
    if (led) {
      figure.busy = false;
      figure.redraw();
    } else await fall();
  }

  /** Let all follow the level from the start to the least noise, unless something else begins. */
  async function fall() {
    const mine = (falling = {}), begun = performance.now();
    figure.busy = true;
    for (let part = still() ? 1 : 0; ; part = (performance.now() - begun) / FALL) {
      const level = state.start + Math.min(1, part) * (LEAST_NOISE - state.start);
      figure.set("level", Math.round(10 * level) / 10);
      figure.redraw();
      if (part >= 1) break;
      await new Promise(requestAnimationFrame);
      if (mine !== falling) return;
    }
    falling = undefined;
    figure.busy = false;
    figure.settle();
  }

  function tell() {
    const percent = (value) => number(100 * value, 1);
    const chance = exact[home]; // with the deviation that it has in so many draws
    figure.values.innerHTML = `<span>From here the smooth path leads to cluster <b>${NAMES[home]}</b>.`
      + "</span> " + (found ? `<span>Of ${CROWD} shaken ones <b>${percent(found[home])}</b> ± `
      + `${percent(Math.sqrt((chance * (1 - chance)) / CROWD))} % end there; the exact chance is `
      + `<b>${percent(chance)} %</b>.</span>` : "<span>The shaken ones are on their way …</span>");
  }

  const fails = (error) => figure.fail(error);
  /** Begin anew, from the level of the start. */
  const again = () => {
    led = false;
    figure.set("level", state.start);
    walk().catch(fails);
  };
  const settled = () => {
    clearTimeout(settled.waiting);
    run++;
    falling = undefined;
    figure.busy = true;
    smooth = undefined;
    figure.set("level", state.start);
    figure.redraw();
    settled.waiting = setTimeout(again, 300);
  };
  const one = (value) => number(value, 1);
  led = "level" in figure.told();
  figure.slider("start", "log-SNR at the start",
    {min: MOST_NOISE, max: 4, step: 0.1, format: one, changed: settled});
  figure.slider("level", "log-SNR now", {min: MOST_NOISE, max: LEAST_NOISE, step: 0.1, format: one,
    changed: () => {
      if (falling) figure.busy = false;
      falling = undefined;
      led = true;
      figure.redraw();
    }});
  const places = {min: -2.5, max: 2.5, step: 0.1, format: one, changed: settled};
  figure.slider("x", "start, across", places);
  figure.slider("y", "start, up", places);
  figure.buttons(
    ["Go back to data", () => {
      if (shaken) fall().catch(fails);
    }],
    ["Other kicks", () => {
      state.seed = (state.seed % 999) + 1;
      again();
    }],
  );
  canvas.style.cursor = "crosshair";
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const {side} = layout(box.width);
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (x > side || y > side) return;
    const within = (value) => Math.min(2.5, Math.max(-2.5, Math.round(10 * value) / 10));
    figure.set("x", within((x / side) * 2 * REACH - REACH));
    figure.set("y", within(REACH - (y / side) * 2 * REACH));
    again();
    figure.settle();
  });
  walk().catch(fails);
  return figure;
}
