// The model of one latent number, solved exactly: bound + gap = log p(x), whatever q is.

import {COLOURS, Figure, number, still} from "./figure.js";
import {GRID, logNormal, Posterior} from "./parabola.js";
import {draggable, knob} from "./plot.js";

const SIGMA = 0.4;
const [LEFT, RIGHT] = [-2.4, 2.4];
const LOWEST = 8; // nats below log p(x) where the bar begins
const LEAST = 0.06, MOST = 1.6; // of s
const [BOUND, GAP] = [COLOURS[0], COLOURS[1]];

export function boundExplorer(root) {
  let posterior, running = false;
  const figure = new Figure(root, {
    label: "The posterior as a grey hill, your q as a line with two handles, and below them a bar "
      + "of the bound and the gap that ends at log p(x)",
    defaults: {m: -0.4, s: 0.7, x1: 0.1, x2: 1.5},
    height: (width) => (width < 500 ? 350 : 430),
    draw,
  });
  const {state, canvas} = figure;

  const plot = (width, height) => {
    const bottom = height - 120;
    const top = 2.6;
    return {
      bottom,
      x: (z) => ((z - LEFT) / (RIGHT - LEFT)) * width,
      z: (x) => LEFT + (x / width) * (RIGHT - LEFT),
      y: (density) => bottom - (Math.min(density, top) / top) * (bottom - 26),
    };
  };

  function handles(width, height) {
    const {x, y} = plot(width, height);
    const density = (z) => Math.exp(logNormal(z, state.m, state.s));
    return {
      m: [x(state.m), y(density(state.m))],
      s: [x(state.m + state.s), y(density(state.m + state.s))],
    };
  }

  function draw(context, width, height, ink) {
    const {x, y, bottom} = plot(width, height);
    const path = (f) => {
      context.beginPath();
      for (let px = 0; px <= width; px += 2) context.lineTo(px, y(f(px)));
    };
    const every = (RIGHT - LEFT) / width;
    const step = GRID[1] - GRID[0];
    path((px) => Math.exp(posterior.logDensity[Math.round((LEFT + px * every - GRID[0]) / step)]));
    context.lineTo(width, bottom);
    context.lineTo(0, bottom);
    context.fillStyle = ink;
    context.globalAlpha = 0.35;
    context.fill();
    context.globalAlpha = 1;
    path((px) => Math.exp(logNormal(LEFT + px * every, state.m, state.s)));
    context.strokeStyle = BOUND;
    context.lineWidth = 2.5;
    context.stroke();
    axis(context, x, bottom, ink);
    for (const [name, [hx, hy]] of Object.entries(handles(width, height))) {
      knob(context, hx, hy, BOUND, name);
    }
    context.font = "14px system-ui, sans-serif";
    context.textAlign = "left";
    context.fillStyle = ink;
    context.fillText("posterior p(z|x)", 4, 16);
    context.fillStyle = BOUND;
    context.fillText("your q", 120, 16);
    bar(context, width, bottom + 44, ink);
  }

  function axis(context, x, bottom, ink) {
    context.strokeStyle = context.fillStyle = ink;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x(LEFT), bottom);
    context.lineTo(x(RIGHT), bottom);
    context.stroke();
    context.textAlign = "center";
    for (let z = -2; z <= 2; z++) context.fillText(number(z, 0), x(z), bottom + 17);
    context.font = "italic 14px serif";
    context.fillText("z", x(RIGHT) - 8, bottom + 17);
    context.font = "14px system-ui, sans-serif";
  }

  function bar(context, width, top, ink) {
    const {logP} = posterior;
    const elbo = posterior.elbo(state.m, state.s);
    const right = width - 70;
    const x = (nats) => Math.max(0, (1 + (nats - logP) / LOWEST) * right);
    const tall = 34;
    context.fillStyle = BOUND;
    context.fillRect(0, top, x(elbo), tall);
    context.save();
    context.beginPath();
    context.rect(x(elbo), top, right - x(elbo), tall);
    context.clip();
    context.strokeStyle = GAP;
    context.lineWidth = 2;
    context.beginPath();
    for (let at = -tall; at < width; at += 8) {
      context.moveTo(at, top + tall);
      context.lineTo(at + tall, top);
    }
    context.stroke();
    context.restore();
    context.strokeStyle = GAP;
    context.lineWidth = 1.5;
    context.strokeRect(x(elbo), top, right - x(elbo), tall);
    context.fillStyle = context.strokeStyle = ink;
    context.beginPath();
    context.moveTo(right, top - 8);
    context.lineTo(right, top + tall + 8);
    context.stroke();
    context.textAlign = "left";
    context.fillText("log p(x)", right + 6, top + 22);
    context.fillStyle = "#10151c";
    if (x(elbo) > 60) context.fillText("bound", 8, top + 22);
    context.fillStyle = ink;
    context.textAlign = "center";
    if (right - x(elbo) > 30) context.fillText("gap", (x(elbo) + right) / 2, top - 7);
    for (let nats = Math.ceil(logP - LOWEST); nats < logP; nats += 2)
      if (x(nats) > 14) context.fillText(number(nats, 0), x(nats), top + tall + 24);
    context.textAlign = "left";
    context.fillText("nats", right + 6, top + tall + 24);
  }

  /** Three numbers that add up as they are printed. */
  function tell() {
    const {likelihood, kl} = posterior.terms(state.m, state.s);
    const thousandths = (value) => Math.round(1000 * value);
    const [elbo, logP] = [thousandths(likelihood - kl), thousandths(posterior.logP)];
    const show = (value) => number(value / 1000, 3);
    figure.values.innerHTML =
      `<span>bound <b>${show(elbo)}</b> + gap <b>${show(logP - elbo)}</b> `
      + `= log p(x) <b>${show(logP)}</b> nats.</span> `
      + `<span>The bound is the reconstruction ${show(thousandths(likelihood))} less the divergence `
      + `from the prior ${show(thousandths(likelihood) - elbo)}.</span>`;
  }

  function changed() {
    tell();
    figure.redraw();
  }

  function observe() {
    posterior = new Posterior([state.x1, state.x2], SIGMA);
    changed();
  }

  const within = (m, s) => {
    figure.set("m", Math.min(RIGHT, Math.max(LEFT, m)));
    figure.set("s", Math.min(MOST, Math.max(LEAST, s)));
    changed();
  };

  function climb() {
    running = true;
    const step = () => {
      if (!running) return;
      const [m, s] = posterior.climb(state.m, state.s);
      running = Math.hypot(m - state.m, s - state.s) > 1e-5;
      within(m, s);
      if (running) requestAnimationFrame(step);
      else figure.settle();
    };
    if (!still()) return step();
    for (let i = 0; i < 2000; i++) within(...posterior.climb(state.m, state.s));
    return figure.settle();
  }

  const stop = () => (running = false);
  const two = (value) => number(value, 2);
  const q = {step: 0.01, format: two, changed: () => { stop(); changed(); }};
  const x = {step: 0.05, format: two, changed: () => { stop(); observe(); }};
  figure.slider("m", "mean m of q", {min: LEFT, max: RIGHT, ...q});
  figure.slider("s", "width s of q", {min: LEAST, max: MOST, ...q});
  figure.slider("x1", "observed x₁", {min: -1.5, max: 1.5, ...x});
  figure.slider("x2", "observed x₂", {min: -1, max: 3, ...x});
  figure.buttons(
    ["Climb the bound", climb],
    ["Match its mean and width", () => {
      stop();
      within(posterior.mean, posterior.deviation);
      figure.settle();
    }],
  );

  const place = () => handles(canvas.clientWidth, canvas.clientHeight);
  canvas.classList.add("live-drag");
  draggable(figure, place, (name, px) => {
    stop();
    const z = plot(canvas.clientWidth, canvas.clientHeight).z(px);
    if (name === "m") within(z, state.s);
    else within(state.m, Math.abs(z - state.m));
  });
  observe();
  return figure;
}
