// The figures by their names, and how one starts. `WORKER`, the worker's program, is a text that the
// bundle begins with.

import {boundExplorer} from "./bound-explorer.js";
import {drawAndDenoise} from "./draw-and-denoise.js";
import {Helper} from "./figure.js";
import {firstLook} from "./first-look.js";
import {forwardProcess} from "./forward-process.js";
import {latentMap} from "./latent-map.js";
import {oneStep} from "./one-step.js";
import {playground} from "./playground.js";
import {reverseStep} from "./reverse-step.js";
import {solverError} from "./solver-error.js";
import {straightening} from "./straightening.js";
import {waysBack} from "./ways-back.js";

const FIGURES = {
  "bound-explorer": boundExplorer,
  "draw-and-denoise": drawAndDenoise,
  "first-look": firstLook,
  "forward-process": forwardProcess,
  "latent-map": latentMap,
  "one-step": oneStep,
  playground,
  "reverse-step": reverseStep,
  "solver-error": solverError,
  straightening,
  "ways-back": waysBack,
};

const asked = {};
/** What the figures share: files by their names, and one worker, which is started if one asks. */
const shared = {
  files: {},
  get helper() {
    return (this.worker ??= new Helper(WORKER));
  },
};

/** Start the figure in `root`; `script` loads a file, which a page from disk may do too. */
async function start(root, script) {
  const files = JSON.parse(root.dataset.files);
  await Promise.all(Object.entries(files).map(([name, address]) => (asked[name] ??= script(address))));
  const figure = await FIGURES[root.dataset.live](root, shared);
  figure.show();
  return figure;
}

globalThis.onebound = {files: shared.files, start};
