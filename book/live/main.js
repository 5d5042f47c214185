// The figures by their names, and how one starts. `WORKER` and `STYLE` are texts that the bundle
// begins with: the worker's program, and the style of what is shown here only.

import {boundExplorer} from "./bound-explorer.js";
import {Helper} from "./figure.js";
import {firstLook} from "./first-look.js";

const FIGURES = {
  "bound-explorer": {begin: boundExplorer},
  "first-look": {begin: firstLook, needs: "unet_classes"},
};

let helper;
const loaded = {};

function decorate() {
  const style = document.createElement("style");
  style.textContent = STYLE;
  document.head.append(style);
}

/** Weights come as scripts, which a page from disk may load too; the worker gets them once. */
async function load(name, address, script) {
  await script(address);
  const base64 = globalThis.onebound.files[name];
  delete globalThis.onebound.files[name];
  await helper.ask("load", {name, base64});
}

/** Start the figure in `root`; `script` loads one from an address. */
async function start(root, script) {
  const {begin, needs} = FIGURES[root.dataset.live];
  if (needs) {
    helper ??= new Helper(WORKER);
    await (loaded[needs] ??= load(needs, root.dataset.weights, script));
  }
  const figure = begin(root, helper, needs);
  figure.show();
  return figure;
}

decorate();
globalThis.onebound = {files: {}, start};
