// Sortable tables. A column: {title, value(row), cell(row), number, first} with `first` the direction of the first click.
class SortableTable {
  constructor(container, caption, onSort = () => {}) {
    this.container = container;
    this.caption = caption;
    this.onSort = onSort;
    this.sorted = { title: null, direction: 1 };
  }

  show(columns, rows) {
    this.columns = columns;
    this.rows = rows;
    this.render();
  }

  // The rows in the order of the sorted column; gaps are always last, and equal rows keep their order.
  order() {
    const column = this.columns.find((one) => one.title === this.sorted.title);
    if (!column) return this.rows;
    const keyed = this.rows.map((row) => [column.value(row), row]);
    keyed.sort(([left], [right]) => {
      if (left === null || right === null) return (left === null) - (right === null);
      const order = typeof left === "number" ? left - right : String(left).localeCompare(String(right), "en", { numeric: true });
      return order * this.sorted.direction;
    });
    return keyed.map(([, row]) => row);
  }

  sortBy(column) {
    const first = column.first ?? (column.number ? -1 : 1);
    const again = this.sorted.title === column.title;
    this.sorted = { title: column.title, direction: again ? -this.sorted.direction : first };
    const focused = this.columns.indexOf(column);
    this.render();
    this.container.querySelectorAll("thead button")[focused].focus({ preventScroll: true });
    this.onSort();
  }

  render() {
    const scrolled = this.container.scrollLeft;
    const head = make("tr");
    for (const column of this.columns) {
      const cell = make("th", { scope: "col", class: classOf(column) });
      const mine = this.sorted.title === column.title;
      cell.setAttribute("aria-sort", mine ? (this.sorted.direction > 0 ? "ascending" : "descending") : "none");
      const press = { type: "button", onclick: () => this.sortBy(column) };
      cell.append(make("button", press, ...breakable(column.title)));
      head.append(cell);
    }
    const body = make("tbody");
    for (const row of this.order()) {
      const line = make("tr");
      for (const column of this.columns) {
        const cell = make(column.model ? "th" : "td", { class: classOf(column) });
        if (column.model) cell.setAttribute("scope", "row");
        cell.append(column.cell ? column.cell(row) : shownNumber(column.value(row)));
        line.append(cell);
      }
      body.append(line);
    }
    const whole = make("table", {}, make("caption", { textContent: this.caption, hidden: true }), make("thead", {}, head), body);
    const empty = make("p", { class: "empty", textContent: "No row matches the filter." });
    this.container.replaceChildren(whole, ...(this.rows.length ? [] : [empty]));
    this.container.scrollLeft = scrolled;
  }
}

const classOf = (column) => (column.model ? "model" : column.number ? "number" : "text");

function shownNumber(value) {
  return value === null ? make("span", { class: "gap", textContent: GAP }) : String(value);
}

// The model's name with its remarks; its settings unfold.
function modelCell(row) {
  const summary = make("summary", {}, ...breakable(row.model));
  if (row.remarks.length) summary.append(make("span", { class: "remark", textContent: ` (${row.remarks.join(", ")})` }));
  const details = make("details", {}, summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const list = make("dl");
    for (const [name, value] of Object.entries(row.details)) {
      list.append(make("dt", { textContent: name }), make("dd", { textContent: value }));
    }
    details.append(list);
  });
  return details;
}

function rowColumns(rowOf) {
  return [
    { title: "Model", model: true, value: (item) => rowOf(item).name, cell: (item) => modelCell(rowOf(item)) },
    {
      title: "n-shot", number: true, first: 1, value: (item) => rowOf(item).k ?? (rowOf(item).shots === GAP ? null : 1e9),
      cell: (item) => rowOf(item).shots,
    },
  ];
}

function scoreColumn(title, place) {
  const { best, means, types } = table();
  const task = place - means.length - types.length;
  return {
    title, number: true, value: (row) => row.scores[place],
    cell: (row) => {
      const value = row.scores[place];
      if (value === null) return shownNumber(null);
      const isBest = best[place].includes(table().rows.indexOf(row));
      const mark = task >= 0 && row.trained.includes(task) ? "\u2020" : "";
      return make(isBest ? "strong" : "span", { class: isBest ? "best" : "plain", textContent: number(value) + mark });
    },
  };
}

function boardColumns() {
  const { means, types, rankTitle } = table();
  const rank = { title: rankTitle, number: true, first: 1, value: (row) => row.rank };
  const scores = means.map((title, place) => scoreColumn(title, place));
  if (state.type === null) scores.push(...types.map((title, place) => scoreColumn(title, means.length + place)));
  else {
    scores.push(scoreColumn(`${types[state.type]} (mean)`, means.length + state.type));
    scores.push(...shownTasks().map(([place, name]) => scoreColumn(name, means.length + types.length + place)));
  }
  return [rank, ...rowColumns((row) => row), ...scores];
}

function differenceColumn(title, pick) {
  return {
    title, number: true, value: (one) => pick(one)[0],
    cell: (one) => {
      const difference = pick(one);
      const text = make("span", { textContent: signed(difference[0]) });
      if (hasInterval(difference)) text.append(make("span", { class: "small", textContent: bracket(difference) }));
      return text;
    },
  };
}

function fewShotColumns() {
  const { rows, types, means } = table();
  const row = (one) => rows[one.row];
  const columns = [
    ...rowColumns(row),
    { title: "Zero-shot", number: true, value: (one) => rows[one.zeroShot].scores[0], cell: (one) => number(rows[one.zeroShot].scores[0]) },
    { title: "Few-shot", number: true, value: (one) => row(one).scores[0], cell: (one) => number(row(one).scores[0]) },
    differenceColumn(`Difference, ${means[0]}`, (one) => one.mean),
    {
      title: "Prompt", value: (one) => one.prompt,
      cell: (one) => make("span", { class: "fingerprint", textContent: one.prompt }),
    },
    { title: "Examples", value: (one) => row(one).details.Examples ?? GAP },
  ];
  if (state.type === null) columns.push(...types.map((title, place) => differenceColumn(title, (one) => one.types[place])));
  else {
    columns.push(differenceColumn(`${types[state.type]} (mean)`, (one) => one.types[state.type]));
    columns.push(...shownTasks().map(([place, name]) => differenceColumn(name, (one) => one.tasks[place])));
  }
  return columns;
}

const COST_TITLES = ["Texts", "Seconds", "Texts/s", "ms/text", "zero-shot ms/text", "x zero-shot", "Tasks compared"];

function costColumns() {
  const numbers = COST_TITLES.map((title, place) => ({
    title, number: true, value: (cost) => (cost.cells[place] === null ? null : Number(cost.cells[place])),
    cell: (cost) => cost.cells[place] ?? shownNumber(null),
  }));
  return [...rowColumns((cost) => table().rows[cost.row]), ...numbers];
}
