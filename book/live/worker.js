// What runs beside the page: it keeps the models, and answers one question at a time.

import {PixelModel} from "./diffusion.js";
import {bytesOf, tensorsOf} from "./tensors.js";
import {Training} from "./toy-network.js";

const models = {};
let steps, training;

/** Grey levels of images in [-1, 1]. */
const levels = (x) => Uint8ClampedArray.from(x, (value) => 127.5 * (value + 1));

const answers = {
  load({name, base64}) {
    models[name] ??= new PixelModel(tensorsOf(bytesOf(base64)));
  },
  train({options}) {
    training = new Training(options);
  },
  learn({count}) {
    const loss = training.run(count);
    return {loss, step: training.step, weights: training.network.weights};
  },
  judge({count}) {
    return training.judge(count);
  },
  denoise({model, xT, t}) {
    return models[model].denoise(xT, t);
  },
  begin({model, options}) {
    steps = models[model].draw(options);
  },
  next() {
    const {done, value} = steps.next();
    if (done) return null;
    const {t, signal, xT, x0Hat, xS} = value;
    return {t, signal, xT: levels(xT), x0Hat: levels(x0Hat), xS: levels(xS)};
  },
};

self.onmessage = ({data: {id, question, ...rest}}) => {
  try {
    self.postMessage({id, answer: answers[question](rest)});
  } catch (error) {
    self.postMessage({id, fault: error.message});
  }
};
