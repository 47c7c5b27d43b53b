// The four plots. Each shows the first rows of the table as it is filtered and sorted, and hides its section if there is nothing.

function put(id, ...content) {
  byId(`${id}-section`).hidden = content.length === 0;
  byId(`${id}-plot`).replaceChildren(...content);
}

// Series of rows with a score in the metric: [name, rows], for at most DRAWN_SERIES models with several numbers of examples.
function drawnSeries(rows) {
  const series = new Map();
  for (const row of rows) {
    if (row.scores[state.metric] === null || (row.k === null && row.shots !== "all")) continue;
    series.set(row.series, [...(series.get(row.series) ?? []), row]);
  }
  const several = [...series.values()].filter((members) => new Set(members.map((row) => row.k)).size > 1);
  return several.slice(0, DRAWN_SERIES).map((members) => [members[0].name, members]);
}

function meanOf(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// The mean over rows of equal x (seeds), in order of x.
function meanLine(members, xOf) {
  const found = new Map();
  for (const row of members) found.set(xOf(row), [...(found.get(xOf(row)) ?? []), row.scores[state.metric]]);
  return [...found].map(([x, values]) => [x, meanOf(values)]).sort((left, right) => left[0] - right[0]);
}

function intervalOf(row) {
  const comparison = table().fewShot.find((one) => table().rows[one.row] === row);
  const difference = comparison && differenceOf(comparison, state.metric);
  if (!difference || !hasInterval(difference)) return null;
  const base = table().rows[comparison.zeroShot].scores[state.metric];
  return base === null ? null : [base + difference[1], base + difference[2]];
}

function drawShots(rows) {
  const series = drawnSeries(rows);
  if (!series.length) return put("shots");
  const numbers = [...new Set(series.flatMap(([, members]) => members.map((row) => row.k)))];
  const finite = numbers.filter((k) => k !== null).sort((left, right) => left - right);
  const last = finite.length ? finite[finite.length - 1] : 0;
  const all = last + Math.max(1, Math.round(last / 4));
  const xOf = (row) => row.k ?? all;
  const ticks = finite.map((k) => [k, String(k)]).concat(numbers.includes(null) ? [[all, "all"]] : []);
  const ys = series.flatMap(([, members]) => members.flatMap((row) => [row.scores[state.metric], ...(intervalOf(row) ?? [])]));
  const title = metrics()[state.metric];
  const frame = new Frame(byId("shots-plot"), `${title} against the number of examples`, {
    x: padded(ticks.map((tick) => tick[0])), y: padded(ys), ticks, xLabel: "examples per query",
  });
  series.forEach(([name, members], place) => {
    const shift = (place - (series.length - 1) / 2) * 6;
    frame.line(place, meanLine(members, xOf), shift);
    const seen = new Map();
    for (const row of members) {
      const nth = seen.get(row.k) ?? 0;
      seen.set(row.k, nth + 1);
      const interval = intervalOf(row), aside = shift + nth * 5;
      if (interval) frame.whisker(place, xOf(row), interval[0], interval[1], aside);
      frame.point(place, xOf(row), row.scores[state.metric], `${row.fullName}: ${number(row.scores[state.metric])}`, aside);
    }
  });
  put("shots", legend(series.map(([name]) => name)), frame.svg);
}

function drawCost(rows) {
  const relative = new Map();
  for (const cost of table().costs) {
    if (cost.zeroShot === null || cost.cells[5] === null) continue;
    relative.set(table().rows[cost.row], Number(cost.cells[5]));
    relative.set(table().rows[cost.zeroShot], 1);
  }
  const series = drawnSeries(rows.filter((row) => relative.has(row)));
  if (!series.length) return put("cost");
  const members = series.flatMap(([, each]) => each);
  const x = padded(members.map((row) => relative.get(row)));
  const title = metrics()[state.metric];
  const frame = new Frame(byId("cost-plot"), `${title} against encoding time`, {
    x, y: padded(members.map((row) => row.scores[state.metric]), 0.15),
    ticks: niceTicks(x[0], x[1], 5).map((tick) => [tick, `${tick}x`]), xLabel: "encoding time per text, zero-shot = 1x",
  });
  series.forEach(([name, each], place) => {
    const path = [...each].sort((left, right) => (left.k ?? 1e9) - (right.k ?? 1e9) || left.shots.localeCompare(right.shots));
    frame.line(place, costLine(path, relative));
    let labelled = null;
    for (const row of path) {
      const [at, score] = [relative.get(row), row.scores[state.metric]];
      frame.point(place, at, score, `${row.fullName}: ${number(score)} at ${at.toFixed(2)}x`);
      const text = row.k === null ? row.shots : String(row.k);
      const where = { x: frame.x(at) + 7, y: frame.y(score) - 6, class: "soft" };
      const covered = labelled && labelled.text === text && Math.hypot(where.x - labelled.x, where.y - labelled.y) < 14;
      if (!covered) frame.svg.append(draw("text", where, text));
      labelled = { ...where, text };
    }
  });
  put("cost", legend(series.map(([name]) => name)), frame.svg);
}

// From one number of examples to the next, through the mean of its seeds.
function costLine(path, relative) {
  const groups = new Map();
  for (const row of path) groups.set(row.k, [...(groups.get(row.k) ?? []), row]);
  return [...groups.values()].map((rows) => [
    meanOf(rows.map((row) => relative.get(row))), meanOf(rows.map((row) => row.scores[state.metric])),
  ]);
}

// The first row of each model; the first rows of all where there is only one model.
function barRows(rows) {
  const first = rows.filter((row, place) => rows.findIndex((other) => other.series === row.series) === place);
  return (first.length > 1 ? first : rows).slice(0, DRAWN_ROWS);
}

function drawTypes(rows) {
  const { means, types } = table();
  const bars = state.type === null
    ? types.map((name, place) => [name, means.length + place])
    : shownTasks().map(([place, name]) => [name, means.length + types.length + place]);
  byId("h-types").textContent = state.type === null ? "By task type" : `By task: ${types[state.type]}`;
  const shown = barRows(rows.filter((row) => bars.some(([, place]) => row.scores[place] !== null)));
  if (!shown.length) return put("types");
  const width = Math.max(byId("types-plot").clientWidth, 280);
  const [thick, head, apart] = [12, 19, 12];
  const values = shown.flatMap((row) => bars.map(([, place]) => row.scores[place] ?? 0));
  const x = scaleOf([Math.min(0, ...values), Math.max(1, ...values)], [Math.min(0, ...values) < 0 ? 46 : 0, width - 48]);
  const each = head + shown.length * (thick + 2) + apart;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${each * bars.length}`, height: each * bars.length, role: "img", "aria-label": "Scores by task type" });
  bars.forEach(([name, place], index) => {
    const top = index * each;
    svg.append(draw("text", { x: 0, y: top + 12, class: "head" }, shorten(name, width)));
    shown.forEach((row, nth) => {
      const score = row.scores[place], y = top + head + nth * (thick + 2);
      if (score === null) return;
      const bar = { x: Math.min(x(0), x(score)), y, width: Math.max(Math.abs(x(score) - x(0)), 1), height: thick, class: "mark" };
      const said = draw("title", {}, `${row.fullName}: ${name} ${number(score)}`);
      svg.append(draw("g", { class: `c${nth}` }, draw("rect", bar, said)));
      const after = score >= 0 ? { x: x(score) + 5 } : { x: x(score) - 5, "text-anchor": "end" };
      svg.append(draw("text", { ...after, y: y + thick - 2, class: "value" }, number(score)));
    });
    svg.append(draw("line", { x1: x(0), x2: x(0), y1: top + head - 3, y2: top + each - apart + 3, class: "zero" }));
  });
  put("types", legend(shown.map((row) => row.fullName)), svg);
}

function drawDifferences(comparisons) {
  const chosen = comparisons[state.configuration] ?? comparisons[0];
  if (!chosen) return put("diff");
  const { tasks, types } = table();
  const lines = [];
  for (const [place, name] of shownTasks()) {
    if (chosen.tasks[place][0] === null) continue;
    const type = types[tasks[place][1]];
    if (!lines.some((line) => line.type === type)) lines.push({ name: type, type, difference: null });
    lines.push({ name, type, difference: chosen.tasks[place] });
  }
  if (!lines.length) return put("diff");
  const width = Math.max(byId("diff-plot").clientWidth, 280), step = 22, bottom = 40;
  const names = Math.min(Math.max(...lines.map(({ name }) => name.length)) * 6.6 + 8, width * 0.42);
  const range = padded([0, ...lines.flatMap(({ difference }) => (difference ?? []).filter((one) => one !== null))], 0.04);
  const x = scaleOf(range, [names, width - 50]), height = lines.length * step + bottom;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": "Difference by task" });
  for (const tick of niceTicks(range[0], range[1], width < 500 ? 3 : 6)) {
    svg.append(draw("line", { x1: x(tick), x2: x(tick), y1: 0, y2: height - bottom + 4, class: tick === 0 ? "zero" : "grid" }));
    svg.append(draw("text", { x: x(tick), y: height - bottom + 18, "text-anchor": "middle", class: "soft" }, signed(tick).replace(/\.?0+$/, "")));
  }
  svg.append(draw("text", { x: (names + width - 50) / 2, y: height - 5, "text-anchor": "middle", class: "soft" }, "points"));
  lines.forEach(({ name, difference }, index) => {
    const y = index * step + step / 2;
    if (difference === null) return svg.append(draw("text", { x: 0, y: y + 6, class: "head" }, shorten(name, names - 8)));
    const clear = hasInterval(difference) && (difference[1] > 0 || difference[2] < 0);
    const group = draw("g", { class: clear ? (difference[0] > 0 ? "up" : "down") : "unclear" });
    if (hasInterval(difference)) group.append(draw("line", { x1: x(difference[1]), x2: x(difference[2]), y1: y, y2: y, class: "whisker" }));
    const said = draw("title", {}, `${name}: ${signed(difference[0])} ${hasInterval(difference) ? bracket(difference) : ""}`);
    group.append(draw("circle", { cx: x(difference[0]), cy: y, r: 4, class: clear ? "mark" : "hollow" }, said));
    svg.append(draw("text", { x: 0, y: y + 4 }, shorten(name, names - 8)), group);
    svg.append(draw("text", { x: width, y: y + 4, "text-anchor": "end", class: "soft" }, signed(difference[0])));
  });
  put("diff", svg);
}
