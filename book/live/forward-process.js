// A digit on its way into noise, under two schedules of the book and one that the reader bends.

import {digitsOf} from "./digits.js";
import {COLOURS, Figure, number} from "./figure.js";
import {exactPosterior} from "./exact.js";
import {show} from "./pad.js";
import {draggable, Plot} from "./plot.js";
import {normal} from "./random.js";
import {cosineSchedule, linearSchedule, logSnrOf, Schedule} from "./schedules.js";

const T = 1000;
const NAMES = {linear: "linear", cosine: "cosine", yours: "yours"};
const COLOUR = {linear: COLOURS[0], cosine: COLOURS[1], yours: COLOURS[2]};
const HIGHEST = 12, LOWEST = -14; // of the log-SNR that is shown
const LABEL = 58; // pixels for the names of the rows

/** Log-SNR falls from `first` to `last`, through `middle` half-way, as a power of t. */
export function bent(first, middle, last) {
  const power = Math.log2((first - last) / (first - middle));
  return new Schedule([1, ...Array.from({length: T}, (_, i) =>
    1 / (1 + Math.exp(-(first + (last - first) * (i / (T - 1)) ** power))))]);
}

export async function forwardProcess(root, {files}) {
  const {images, labels} = await digitsOf(files.digits);
  const data = images.map((levels) => Float32Array.from(levels, (level) => level / 127.5 - 1));
  const eps = normal(3)(784);
  const schedules = {linear: linearSchedule(T), cosine: cosineSchedule(T)};
  const figure = new Figure(root, {
    label: "Three rows of one digit with more and more noise, for three schedules; below, log-SNR and "
      + "alpha-bar over the steps, and the probabilities of the ten digits",
    defaults: {digit: 3, t: 880, schedule: "cosine", first: 8, middle: 0, last: -8},
    height: (width) => {
      const {image, panel, stacked} = layout(width);
      return 3 * (image + 6) + 18 + (stacked ? 3 : 1) * panel;
    },
    draw,
  });
  const {state} = figure;
  let plot;

  function layout(width) {
    const columns = width < 500 ? 5 : 8;
    const image = Math.floor((width - LABEL) / columns) - 4;
    return {columns, image, panel: width < 500 ? 150 : 190, stacked: width < 500};
  }

  const noisy = (schedule, t) => {
    const [signal, noise] = [Math.sqrt(schedule.alphaBar[t]), Math.sqrt(1 - schedule.alphaBar[t])];
    return data[state.digit - 1].map((x, i) => signal * x + noise * eps[i]);
  };

  function draw(context, width, height, ink) {
    const {columns, image, panel, stacked} = layout(width);
    context.font = "14px system-ui, sans-serif";
    const steps = Array.from({length: columns}, (_, i) => Math.round((i * T) / (columns - 1)));
    Object.keys(NAMES).forEach((name, row) => {
      const top = row * (image + 6);
      context.fillStyle = COLOUR[name];
      context.textAlign = "left";
      context.fillText(NAMES[name], 0, top + image / 2 + 5);
      steps.forEach((t, i) => show(context, noisy(schedules[name], t).map((x) => (x + 1) / 2),
        LABEL + i * (image + 4), top, image));
    });
    const below = 3 * (image + 6);
    context.fillStyle = ink;
    context.textAlign = "center";
    steps.forEach((t, i) =>
      context.fillText(i ? String(t) : "t = 0", LABEL + i * (image + 4) + image / 2, below + 12));
    const place = (i) => stacked
      ? {left: 0, top: below + 18 + i * panel, width, height: panel}
      : {left: (i * width) / 3, top: below + 18, width: width / 3, height: panel};
    curves(context, place, ink);
    bars(context, place(2), ink);
  }

  function curves(context, place, ink) {
    const xTicks = [[0, "0"], [500, "500"], [1000, "t"]];
    const common = {x: [0, T], xTicks, ink};
    plot = new Plot(context, {...place(0), ...common, y: [LOWEST, HIGHEST], title: "log-SNR",
      yTicks: [-10, -5, 0, 5, 10].map((value) => [value, number(value, 0)])});
    const share = new Plot(context, {...place(1), ...common, y: [0, 1], title: "signal’s share ᾱ",
      yTicks: [[0, "0"], [0.5, "0.5"], [1, "1"]]});
    for (const name of Object.keys(NAMES)) {
      const {alphaBar} = schedules[name];
      const every = Array.from({length: 201}, (_, i) => Math.max(1, i * 5));
      plot.line(every.map((t) => [t, logSnrOf(alphaBar[t])]), COLOUR[name]);
      share.line(every.map((t) => [t, alphaBar[t]]), COLOUR[name]);
    }
    for (const one of [plot, share]) {
      context.setLineDash([4, 4]);
      one.line([[state.t, -99], [state.t, 99]], ink, 1);
      context.setLineDash([]);
    }
    Object.entries(points()).forEach(([, [t, value]]) => plot.handle(t, value, COLOUR.yours));
  }

  const points = () => ({first: [1, state.first], middle: [T / 2, state.middle], last: [T, state.last]});

  const probabilities = () => {
    const {alphaBar} = schedules[state.schedule];
    const a = alphaBar[state.t];
    const each = exactPosterior(data, noisy(schedules[state.schedule], state.t),
      Math.sqrt(a), Math.sqrt(1 - a));
    const classes = new Float64Array(10);
    each.forEach((p, n) => (classes[labels[n]] += p));
    return classes;
  };

  function bars(context, place, ink) {
    const classes = probabilities();
    const one = new Plot(context, {...place, x: [-0.6, 9.6], y: [0, 1], ink,
      title: `which digit, at t = ${state.t}`, xTicks: Array.from({length: 10}, (_, i) => [i, i]),
      yTicks: [[0, "0"], [0.5, "0.5"], [1, "1"]]});
    context.fillStyle = COLOUR[state.schedule];
    classes.forEach((p, digit) => {
      const half = (one.x(1) - one.x(0)) * 0.38;
      context.fillRect(one.x(digit) - half, one.y(p), 2 * half, one.y0 - one.y(p));
    });
  }

  function changed() {
    // A schedule falls: the middle stays between the ends.
    const {first, last} = state;
    const room = 0.06 * (first - last);
    figure.set("middle", Math.min(first - room, Math.max(last + room, state.middle)));
    schedules.yours = bent(first, state.middle, last);
    const a = schedules[state.schedule].alphaBar[state.t];
    const classes = probabilities();
    const likely = classes.indexOf(Math.max(...classes));
    figure.values.innerHTML =
      `<span>${NAMES[state.schedule]} schedule at t = ${state.t}: signal’s share `
      + `<b>${number(a, 4)}</b>, log-SNR <b>${number(logSnrOf(a), 2)}</b>.</span> `
      + `<span>Of the ten digits, ${likely} is likeliest, with probability `
      + `<b>${number(classes[likely], 2)}</b>.</span>`;
    figure.redraw();
  }

  const one = (value) => number(value, 1);
  figure.slider("t", "step t", {min: 1, max: T, step: 1, changed});
  figure.choice("schedule", "schedule", Object.entries(NAMES), changed);
  figure.slider("digit", "number of a test digit", {min: 1, max: images.length, step: 1, changed});
  figure.slider("first", "your log-SNR at first", {min: 2, max: 12, step: 0.1, format: one, changed});
  figure.slider("middle", "your log-SNR half-way", {min: -12, max: 10, step: 0.1, format: one, changed});
  figure.slider("last", "your log-SNR at last", {min: -14, max: 0, step: 0.1, format: one, changed});
  const LIMITS = {first: [2, 12], middle: [-12, 10], last: [-14, 0]};
  figure.canvas.classList.add("live-upright");
  draggable(figure, () => Object.fromEntries(Object.entries(points()).map(([name, [t, value]]) =>
    [name, [plot.x(t), plot.y(value)]])), (name, x, y) => {
    const [least, most] = LIMITS[name];
    figure.set(name, Math.min(most, Math.max(least, plot.yOf(y))));
    changed();
  });
  changed();
  return figure;
}
