// What every live figure has: a canvas, controls with names, values that are told, an address.

/** The book's colours of lines, and its ink, as `onebound.plots` has them. */
export const COLOURS = ["#3b8fd4", "#e07b39", "#2fa37c", "#c45bab", "#b0902c", "#8b7be0"];
const STILL_INK = "#6c7380";
const QUIET = 500; // milliseconds without a change before values are told and the address follows

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

/** A number as the book prints it: with a minus that is one. */
export const number = (value, digits) => value.toFixed(digits).replace("-", "−");

/** Whether the reader would rather not see things move. */
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Figure {
  /**
   * Take the place of the still picture in `root`. `defaults` are the values of the state, which the
   * address may override; `height` gives that of the canvas by its width, and `draw` draws:
   * (context, width, height, ink).
   */
  constructor(root, {label, defaults, height, draw}) {
    Object.assign(this, {root, height, draw, defaults});
    this.state = {...defaults, ...this.told()};
    this.canvas = make("canvas", {className: "live-canvas", role: "img"});
    this.canvas.setAttribute("aria-label", label);
    this.controls = make("div", {className: "live-controls", role: "group"});
    this.controls.setAttribute("aria-label", "Controls of the figure");
    this.values = make("p", {className: "live-values"});
    this.voice = make("p", {className: "live-voice"});
    this.voice.setAttribute("aria-live", "polite");
    this.inputs = {};
    this.busy = false;
  }

  /** Show it in place of the still. */
  show() {
    const picture = this.root.querySelector("img");
    this.stillPicture = picture.closest("a") ?? picture;
    this.stage =
      make("div", {className: "live-stage"}, this.canvas, this.values, this.controls, this.voice);
    this.stillPicture.after(this.stage);
    this.stillPicture.hidden = true;
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
    new MutationObserver(() => this.redraw())
      .observe(document.documentElement, {attributeFilter: ["data-theme"]});
    this.redraw();
  }

  /** What the address says of this figure's state: #id?name=value&... */
  told() {
    const [id, query] = location.hash.slice(1).split("?");
    if (id !== this.root.id || !query) return {};
    const entries = [...new URLSearchParams(query)].filter(([name]) => name in this.defaults);
    return Object.fromEntries(entries.map(([name, text]) => {
      const usual = this.defaults[name];
      if (typeof usual !== "number") return [name, text];
      return [name, text !== "" && Number.isFinite(Number(text)) ? Number(text) : usual];
    }));
  }

  /** The place of the figure on its page, and what of its state is not as usual. */
  get address() {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(this.state))
      if (value !== this.defaults[name]) query.set(name, value);
    return `#${this.root.id}${String(query) && `?${query}`}`;
  }

  /** Put the state into the address, and say the values, once the reader rests. */
  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      history.replaceState(history.state, "", this.address);
      this.say(this.values.textContent);
    }, QUIET);
  }

  /**
   * Let a mouse or a finger hold something on the canvas, if `take` says that there is something at
   * (x, y). `move` hears where it goes, and `drop` when it is let go. A finger that finds nothing to
   * hold moves the page, as anywhere else.
   */
  hold({take, move, drop}) {
    const {canvas} = this;
    let held;
    const at = ({clientX, clientY}) => {
      const {left, top} = canvas.getBoundingClientRect();
      return [clientX - left, clientY - top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (held !== undefined || event.button || !take(...at(event))) return;
      held = event.pointerId;
      canvas.setPointerCapture(held);
    });
    canvas.addEventListener("touchstart", (event) => {
      if (held !== undefined) event.preventDefault();
    }, {passive: false});
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId === held) move(...at(event));
    });
    for (const end of ["pointerup", "pointercancel"])
      canvas.addEventListener(end, (event) => {
        if (event.pointerId !== held) return;
        held = undefined;
        drop();
      });
  }

  /** Give the place back to the still picture, and say why. */
  fail(error) {
    this.stage.remove();
    this.stillPicture.hidden = false;
    this.root.dispatchEvent(new CustomEvent("live-fault", {detail: error}));
  }

  say(text) {
    if (this.voice.textContent !== text) this.voice.textContent = text;
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      const width = this.canvas.clientWidth;
      if (!width) return;
      const ink = getComputedStyle(this.root).getPropertyValue("--pst-color-text-muted") || STILL_INK;
      this.paint(this.canvas, width, devicePixelRatio, ink.trim());
    });
  }

  paint(canvas, width, ratio, ink) {
    const height = this.height(width);
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = "14px system-ui, sans-serif";
    this.draw(context, width, height, ink);
  }

  /** The drawing as a picture for pages that run no scripts: PNG, as an address of data. */
  picture(width, ratio) {
    const canvas = document.createElement("canvas");
    this.paint(canvas, width, ratio, STILL_INK);
    return canvas.toDataURL("image/png");
  }

  /** Set one value of the state, and show it on its control. */
  set(name, value) {
    this.state[name] = value;
    this.inputs[name]?.(value);
  }

  /** A slider with a name; `format` makes its value readable. */
  slider(name, label, {min, max, step, format = String, changed}) {
    const id = `${this.root.id}-${name}`;
    const input = make("input", {type: "range", id, min, max, step});
    const output = make("output");
    output.setAttribute("for", id);
    this.inputs[name] = (value) => {
      input.max = typeof max === "function" ? max() : max;
      input.value = value;
      const text = format(value);
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    };
    this.set(name, Math.min(typeof max === "function" ? max() : max, Math.max(min, this.state[name])));
    input.addEventListener("input", () => {
      this.set(name, Number(input.value));
      changed();
      this.settle();
    });
    const text = make("label", {htmlFor: id, textContent: label});
    this.controls.append(make("div", {className: "live-control"}, text, input, output));
    return input;
  }

  /** One of several, [value, words] each. */
  choice(name, label, options, changed) {
    const id = `${this.root.id}-${name}`;
    const select = make("select", {id}, ...options.map(([value, textContent]) =>
      make("option", {value, textContent})));
    const texts = options.map(([value]) => String(value));
    this.inputs[name] = (value) => (select.value = value);
    if (!texts.includes(String(this.state[name]))) this.state[name] = this.defaults[name];
    this.set(name, this.state[name]);
    select.addEventListener("change", () => {
      const usual = this.defaults[name];
      this.state[name] = typeof usual === "number" ? Number(select.value) : select.value;
      changed();
      this.settle();
    });
    const text = make("label", {htmlFor: id, textContent: label});
    this.controls.append(make("div", {className: "live-control"}, text, select));
    return select;
  }

  /** Buttons side by side, [words, what they do] each. */
  buttons(...all) {
    const made = all.map(([textContent, act]) => {
      const button = make("button", {type: "button", textContent});
      button.addEventListener("click", act);
      return button;
    });
    this.controls.append(make("div", {className: "live-buttons"}, ...made));
    return made;
  }
}

/** The worker, as questions that it answers. */
export class Helper {
  constructor(source) {
    const address = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
    this.worker = new Worker(address);
    this.asked = new Map();
    this.worker.onmessage = ({data: {id, answer, fault}}) => {
      const {resolve, reject} = this.asked.get(id);
      this.asked.delete(id);
      if (fault === undefined) resolve(answer);
      else reject(new Error(fault));
    };
    this.worker.onerror = (event) => {
      for (const {reject} of this.asked.values()) reject(new Error(event.message));
    };
  }

  /** Give it a model's weights, once. */
  load(name, base64) {
    this.loaded ??= {};
    return (this.loaded[name] ??= this.ask("load", {name, base64}));
  }

  ask(question, rest = {}) {
    const id = (this.last = (this.last ?? 0) + 1);
    return new Promise((resolve, reject) => {
      this.asked.set(id, {resolve, reject});
      this.worker.postMessage({id, question, ...rest});
    });
  }
}
