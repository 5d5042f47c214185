// The plane of a VAE's two latents: codes of digits, the decoder's answer anywhere, and your digit.

import {digitsOf} from "./digits.js";
import {COLOURS, Figure, number} from "./figure.js";
import {binary, centred, drawable, lettersOf, pixelsOf, PIXELS, show} from "./pad.js";
import {PlaneVAE} from "./plane.js";
import {bytesOf, tensorsOf} from "./tensors.js";

const REACH = 4; // of the map, in standard deviations of the prior
const CHUNK = 20; // digits that are encoded before the page may do something else
const MARK = COLOURS[1];

export async function latentMap(root, {files}) {
  const vae = new PlaneVAE(tensorsOf(bytesOf(files.vae_plane)));
  const digits = await digitsOf(files.digits);
  const codes = [];
  let drawn, judged;
  const figure = new Figure(root, {
    label: "A map of the codes of test digits with a movable point, the decoder’s picture at that "
      + "point, and a pad with your digit and its reconstruction",
    defaults: {z1: 0, z2: 0, digit: 7, drawn: ""},
    height: (width) => {
      const {map, image} = layout(width);
      return width < 500 ? map + image + 64 : map + 30;
    },
    draw,
  });
  const {state, canvas} = figure;

  function layout(width) {
    if (width < 500) {
      const image = Math.floor((width - 20) / 3);
      const top = width + 58;
      return {map: width, image, large: image, top: 24,
        places: [[0, top], [image + 10, top], [2 * (image + 10), top]]};
    }
    const map = Math.floor(Math.min(width * 0.6, 460));
    const column = width - map - 24;
    const image = Math.floor(Math.min((column - 12) / 2, (map - 60) / 2));
    const left = map + 24, below = 24 + map - image;
    return {map, image, large: Math.min(column, map - image - 36), top: 24,
      places: [[left, 24], [left, below], [left + image + 12, below]]};
  }

  const toMap = ({map, top}, [z1, z2]) =>
    [((z1 + REACH) / (2 * REACH)) * map, top + ((REACH - z2) / (2 * REACH)) * map];
  const fromMap = ({map, top}, x, y) =>
    [(x / map) * 2 * REACH - REACH, REACH - ((y - top) / map) * 2 * REACH];

  function draw(context, width, height, ink) {
    const places = layout(width);
    const {map, top, image, large} = places;
    context.textAlign = "left";
    context.fillStyle = ink;
    context.fillText("codes of 400 test digits", 0, 15);
    context.strokeStyle = ink;
    context.lineWidth = 1;
    context.strokeRect(0.5, top + 0.5, map - 1, map - 1);
    context.textAlign = "center";
    context.font = `bold ${map < 350 ? 9 : 12}px system-ui, sans-serif`;
    context.save();
    context.beginPath();
    context.rect(0, top, map, map);
    context.clip();
    codes.forEach((mean, i) => {
      const [x, y] = toMap(places, mean);
      const label = Number(digits.labels[i]);
      context.fillStyle = COLOURS[label % COLOURS.length];
      context.globalAlpha = label < COLOURS.length ? 1 : 0.65;
      context.fillText(String(label), x, y + 4);
    });
    context.restore();
    cross(context, places, ink);
    context.font = "14px system-ui, sans-serif";
    context.textAlign = "left";
    context.fillStyle = ink;
    const [at, pad, back] = places.places;
    const probability = (z) => vae.decode(z).map((logit) => 1 / (1 + Math.exp(-logit)));
    const titles = width < 500 ? ["decoded", "draw here", "its answer"]
      : ["decoded at the ring", "your digit: draw", "reconstruction"];
    [at, pad, back].forEach(([x, y], i) => context.fillText(titles[i], x, y - 9));
    show(context, probability([state.z1, state.z2]), ...at, large);
    show(context, drawn, ...pad, image);
    show(context, probability(judged.mean), ...back, image);
  }

  function cross(context, places, ink) {
    context.strokeStyle = MARK;
    context.lineWidth = 2.5;
    const [x, y] = toMap(places, judged.mean);
    const scale = places.map / (2 * REACH);
    context.beginPath();
    context.ellipse(x, y, 2 * judged.deviation[0] * scale, 2 * judged.deviation[1] * scale, 0, 0, 7);
    context.fillStyle = MARK;
    context.globalAlpha = 0.3;
    context.fill();
    context.globalAlpha = 1;
    context.stroke();
    const [px, py] = toMap(places, [state.z1, state.z2]);
    context.strokeStyle = ink;
    context.beginPath();
    context.arc(px, py, 9, 0, 7);
    context.moveTo(px + 3, py);
    context.arc(px, py, 3, 0, 7);
    context.stroke();
  }

  function judge() {
    judged = vae.bound(binary(drawn));
    changed();
  }

  function changed() {
    const {kl, likelihood, elbo, mean} = judged;
    const one = (value) => number(value, 1);
    figure.values.innerHTML =
      `<span>Your digit lands at (${number(mean[0], 2)}, ${number(mean[1], 2)}). `
      + `Its code costs <b>${one(kl[0])} + ${one(kl[1])}</b> nats, one number for each latent.</span> `
      + `<span>The bound is the reconstruction ${one(likelihood)} less that cost: `
      + `<b>${one(elbo)}</b> nats.</span>`;
    figure.redraw();
  }

  function move(z) {
    z.forEach((value, i) => figure.set(`z${i + 1}`, Math.max(-REACH, Math.min(REACH, value))));
    changed();
  }

  function take(index) {
    state.drawn = "";
    drawn = Float32Array.from(digits.images[index], (level) => level / 255);
    judge();
  }

  const z = {min: -REACH, max: REACH, step: 0.05, format: (value) => number(value, 2), changed};
  if (pixelsOf(state.drawn)) drawn = pixelsOf(state.drawn);
  else drawn = Float32Array.from(digits.images[0], (level) => level / 255);
  judged = vae.bound(binary(drawn));
  figure.slider("z1", "first latent", z);
  figure.slider("z2", "second latent", z);
  figure.slider("digit", "number of a test digit", {
    min: 1, max: digits.images.length, step: 1, changed: () => take(state.digit - 1),
  });
  figure.buttons(
    ["Clear the pad", () => {
      drawn = new Float32Array(PIXELS);
      state.drawn = lettersOf(drawn);
      judge();
    }],
    ["Go to its code", () => {
      move(judged.mean);
      figure.settle();
    }],
  );

  const drag = (x, y) => move(fromMap(layout(canvas.clientWidth), x, y));
  figure.hold({
    take(x, y) {
      const {map, top} = layout(canvas.clientWidth);
      const inside = x < map && y > top && y < top + map;
      if (inside) drag(x, y);
      return inside;
    },
    move: drag,
    drop: () => figure.settle(),
  });
  drawable(figure, (width) => {
    const {image, places: [, pad]} = layout(width);
    return [...pad, image];
  }, {
    begin() {
      if (!state.drawn) drawn = new Float32Array(PIXELS);
      return drawn;
    },
    changed() {
      state.drawn = lettersOf(drawn);
      judge();
    },
    done() {
      drawn = centred(drawn);
      state.drawn = lettersOf(drawn);
      judge();
      figure.settle();
    },
  });

  if (pixelsOf(state.drawn)) judge();
  else take(Math.round(state.digit) - 1);
  figure.busy = true;
  (async () => {
    for (let i = 0; i < digits.images.length; i += CHUNK) {
      for (const levels of digits.images.slice(i, i + CHUNK))
        codes.push(vae.encode(Float32Array.from(levels, (level) => (level > 127 ? 1 : 0))).mean);
      figure.redraw();
      await new Promise((done) => setTimeout(done));
    }
    figure.busy = false;
  })();
  return figure;
}
