// Axes for what is drawn on a canvas: few ticks, no frame.

const MARGIN = {left: 34, right: 10, top: 26, bottom: 24};

/** A field with axes; `x` and `y` are the ends of what it shows, and the ticks pairs of value, text. */
export class Plot {
  constructor(context, {left, top, width, height, x, y, xTicks = [], yTicks = [], title, ink}) {
    const [x0, x1] = [left + MARGIN.left, left + width - MARGIN.right];
    const [y0, y1] = [top + height - MARGIN.bottom, top + MARGIN.top];
    Object.assign(this, {context, ink, x0, x1, y0, y1});
    this.x = (value) => x0 + ((value - x[0]) / (x[1] - x[0])) * (x1 - x0);
    this.y = (value) => y0 + ((value - y[0]) / (y[1] - y[0])) * (y1 - y0);
    this.xOf = (px) => x[0] + ((px - x0) / (x1 - x0)) * (x[1] - x[0]);
    this.yOf = (py) => y[0] + ((py - y0) / (y1 - y0)) * (y[1] - y[0]);
    context.font = "13px system-ui, sans-serif";
    context.fillStyle = context.strokeStyle = ink;
    context.lineWidth = 1;
    context.textAlign = "left";
    if (title) context.fillText(title, left, top + 14);
    this.path([[x0, y1], [x0, y0], [x1, y0]]);
    context.textAlign = "center";
    for (const [value, text] of xTicks) context.fillText(text, this.x(value), y0 + 16);
    context.textAlign = "right";
    for (const [value, text] of yTicks) context.fillText(text, x0 - 5, this.y(value) + 4);
  }

  path(points) {
    this.context.beginPath();
    for (const point of points) this.context.lineTo(...point);
    this.context.stroke();
  }

  /** A line through pairs of values, cut to the field. */
  line(pairs, colour, lineWidth = 2) {
    const {context} = this;
    context.save();
    context.beginPath();
    context.rect(this.x0, this.y1 - 2, this.x1 - this.x0, this.y0 - this.y1 + 4);
    context.clip();
    Object.assign(context, {strokeStyle: colour, lineWidth});
    this.path(pairs.map(([x, y]) => [this.x(x), this.y(y)]));
    context.restore();
  }

  /** The area under such a line. */
  area(pairs, colour, opacity) {
    const {context} = this;
    context.beginPath();
    context.moveTo(this.x(pairs[0][0]), this.y0);
    for (const [x, y] of pairs) context.lineTo(this.x(x), Math.max(this.y1, this.y(y)));
    context.lineTo(this.x(pairs.at(-1)[0]), this.y0);
    context.fillStyle = colour;
    context.globalAlpha = opacity;
    context.fill();
    context.globalAlpha = 1;
  }

  /** A handle that can be dragged. */
  handle(x, y, colour, letter = "") {
    const place = [this.x(x), this.y(y)];
    knob(this.context, ...place, colour, letter);
    return place;
  }
}

/** The disc of a handle, with a letter on it. */
export function knob(context, x, y, colour, letter) {
  context.beginPath();
  context.arc(x, y, 9, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.fillStyle = "#fff";
  context.font = "italic bold 12px serif";
  context.textAlign = "center";
  context.fillText(letter, x, y + 4);
  context.font = "13px system-ui, sans-serif";
}

/** Let handles be dragged, a function that gives their places by name. `moved` gets name, x, y. */
export function draggable(figure, handles, moved, near = 28) {
  let dragged;
  figure.hold({
    take(x, y) {
      const [closest] = Object.entries(handles())
        .map(([name, [hx, hy]]) => ({name, distance: Math.hypot(x - hx, y - hy)}))
        .sort((a, b) => a.distance - b.distance);
      dragged = closest?.name;
      return closest?.distance <= near;
    },
    move: (x, y) => moved(dragged, x, y),
    drop: () => figure.settle(),
  });
}
