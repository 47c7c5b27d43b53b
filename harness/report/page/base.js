// Data, state, and helpers. All text from the data goes through textContent; nothing here parses markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const GAP = "-";
const DRAWN_SERIES = 8;
const DRAWN_ROWS = 6;
const SVG = "http://www.w3.org/2000/svg";

const state = { table: 0, filter: "", type: null, metric: 0, configuration: 0 };

const byId = (id) => document.getElementById(id);
const table = () => DATA.tables[state.table];

// Make an element: properties are set, `class` and attributes with a hyphen are attributes, children are text or elements.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name.includes("-") || name === "scope") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

// A name that may break behind a slash, hyphen or underscore and before a capital, as pieces of text.
function breakable(text) {
  const pieces = text.split(/(?<=[/_-])(?=.)|(?<=[a-z0-9])(?=[A-Z])/);
  return pieces.flatMap((piece, place) => (place ? [make("wbr"), piece] : [piece]));
}

const number = (value) => (value === null || value === undefined ? GAP : value.toFixed(2));

function signed(value) {
  if (value === null || value === undefined) return GAP;
  return value > 0 ? `+${value.toFixed(2)}` : value.toFixed(2);
}

const hasInterval = (difference) => difference[1] !== null && difference[2] !== null;
const bracket = (difference) => (hasInterval(difference) ? `[${signed(difference[1])}, ${signed(difference[2])}]` : GAP);

// The scores of a row: means, then types, then tasks. A metric is a place in that list.
function metrics() {
  const { means, types, tasks } = table();
  return [...means, ...types, ...tasks.map((task) => task[0])];
}

// The tasks that the task type leaves: [place among the tasks, name].
function shownTasks() {
  return table().tasks.flatMap(([name, type], place) => (state.type === null || type === state.type ? [[place, name]] : []));
}

// Few-shot minus zero-shot of a comparison in a metric: [difference, low, high]; null for means without one.
function differenceOf(comparison, metric) {
  const { means, types } = table();
  if (metric === 0) return comparison.mean;
  if (metric < means.length) return null;
  if (metric < means.length + types.length) return comparison.types[metric - means.length];
  return comparison.tasks[metric - means.length - types.length];
}

function matches(row) {
  const text = `${row.fullName} n-shot:${row.shots} ${Object.values(row.details).join(" ")}`.toLowerCase();
  return state.filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function shapeAt(kind, x, y, size, attributes) {
  const points = {
    1: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    2: [[0, -1.25], [1.2, 1], [-1.2, 1]],
    3: [[0, -1.4], [1.3, 0], [0, 1.4], [-1.3, 0]],
  }[kind % 4];
  if (!points) return draw("circle", { cx: x, cy: y, r: size, ...attributes });
  return draw("polygon", { points: points.map(([dx, dy]) => `${x + dx * size},${y + dy * size}`).join(" "), ...attributes });
}

function legend(entries) {
  const list = make("ul", { class: "legend" });
  entries.forEach((name, place) => {
    const sign = draw("svg", { viewBox: "0 0 14 14", class: `c${place}`, "aria-hidden": "true" });
    sign.append(shapeAt(place, 7, 7, 5, { class: "mark" }));
    list.append(make("li", {}, sign, make("span", { textContent: name })));
  });
  return list;
}
