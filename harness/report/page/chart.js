// Axes and scales of the plots; lengths are CSS pixels.

function niceTicks(low, high, wanted) {
  const span = Math.max(high - low, 1e-9);
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step) ticks.push(Number(tick.toFixed(10)));
  return ticks;
}

// A range with room at both ends; never empty.
function padded(values, share = 0.08) {
  const low = Math.min(...values), high = Math.max(...values);
  const room = Math.max((high - low) * share, 0.05);
  return [low - room, high + room];
}

const scaleOf = ([low, high], [from, to]) => (value) => from + ((value - low) / (high - low)) * (to - from);

// Columns to abbreviate a text to a width; about 6.6 pixels a letter at 12 pixels.
function shorten(text, pixels) {
  const most = Math.max(Math.floor(pixels / 6.6), 4);
  return text.length <= most ? text : `${text.slice(0, most - 1)}\u2026`;
}

class Frame {
  // A plot with a grid: `x` and `y` are the ranges, `ticks` the x ticks as [value, text].
  constructor(container, label, { x, y, ticks, xLabel, height = 300 }) {
    const width = Math.max(container.clientWidth, 280);
    const [left, right, top, bottom] = [44, 16, 12, 42];
    this.svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
    this.x = scaleOf(x, [left, width - right]);
    this.y = scaleOf(y, [height - bottom, top]);
    for (const tick of niceTicks(y[0], y[1], 5)) {
      const at = this.y(tick);
      this.svg.append(draw("line", { x1: left, x2: width - right, y1: at, y2: at, class: "grid" }));
      this.svg.append(draw("text", { x: left - 6, y: at + 4, "text-anchor": "end", class: "soft" }, String(tick)));
    }
    for (const [value, text] of ticks) {
      this.svg.append(draw("line", { x1: this.x(value), x2: this.x(value), y1: height - bottom, y2: height - bottom + 4, class: "zero" }));
      this.svg.append(draw("text", { x: this.x(value), y: height - bottom + 17, "text-anchor": "middle", class: "soft" }, text));
    }
    this.svg.append(draw("line", { x1: left, x2: width - right, y1: height - bottom, y2: height - bottom, class: "zero" }));
    this.svg.append(draw("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", class: "soft" }, xLabel));
  }

  point(series, x, y, said, shift = 0) {
    const mark = shapeAt(series, this.x(x) + shift, this.y(y), 4, { class: "mark" });
    mark.append(draw("title", {}, said));
    this.svg.append(draw("g", { class: `c${series}` }, mark));
  }

  whisker(series, x, low, high, shift = 0) {
    const at = this.x(x) + shift, from = this.y(low), to = this.y(high);
    const path = `M${at} ${from}V${to}M${at - 3} ${from}h6M${at - 3} ${to}h6`;
    this.svg.append(draw("g", { class: `c${series}` }, draw("path", { d: path, class: "whisker" })));
  }

  line(series, points, shift = 0) {
    const path = points.map(([x, y], place) => `${place ? "L" : "M"}${this.x(x) + shift} ${this.y(y)}`).join("");
    this.svg.append(draw("g", { class: `c${series}` }, draw("path", { d: path, class: "line" })));
  }
}
