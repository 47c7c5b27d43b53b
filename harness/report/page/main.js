// Wiring: the controls change the state, and the state is drawn.
const board = new SortableTable(byId("board"), "Scores", () => drawPlots());
const fewTable = new SortableTable(byId("few"), "Few-shot minus zero-shot");
const costTable = new SortableTable(byId("costs"), "Cost of encoding");

function options(select, names, chosen) {
  select.replaceChildren(...names.map(([value, name]) => make("option", { value: String(value), textContent: name })));
  select.value = String(chosen);
}

const shownComparisons = () => table().fewShot.filter((one) => matches(table().rows[one.row]));

function drawPlots() {
  const rows = board.order();
  drawShots(rows);
  drawCost(rows);
  drawTypes(rows);
  drawDifferences(shownComparisons());
}

function drawAll() {
  const { rows, costs, notes } = table();
  const shown = rows.filter(matches);
  board.show(boardColumns(), shown);
  byId("count").textContent = shown.length === rows.length ? `${rows.length} rows` : `${shown.length} of ${rows.length} rows`;
  byId("notes-box").hidden = notes.length === 0;
  const comparisons = shownComparisons();
  state.configuration = Math.max(Math.min(state.configuration, comparisons.length - 1), 0);
  options(byId("configuration"), comparisons.map((one, place) => [place, `${rows[one.row].shots}-shot: ${rows[one.row].name}`]), state.configuration);
  byId("few-section").hidden = table().fewShot.length === 0;
  fewTable.show(fewShotColumns(), comparisons);
  byId("costs-section").hidden = costs.length === 0;
  costTable.show(costColumns(), costs.filter((cost) => matches(rows[cost.row])));
  drawPlots();
}

function showList(list, texts) {
  list.replaceChildren(...texts.map((text) => make("li", { textContent: text })));
  list.hidden = texts.length === 0;
}

// Take up a benchmark: its types, metrics and notes; the filter stays.
function openTable(place) {
  Object.assign(state, { table: place, type: null, metric: 0, configuration: 0 });
  const { title, tasks, types, notes, fewShotNotes } = table();
  byId("title").textContent = title;
  byId("subtitle").textContent = `${tasks.length} ${tasks.length === 1 ? "task" : "tasks"}; click a heading to sort, a model to see its settings.`;
  options(byId("type"), [["", "all"], ...types.map((name, index) => [index, name])], "");
  options(byId("metric"), metrics().map((name, index) => [index, name]), 0);
  showList(byId("notes"), notes);
  showList(byId("few-notes"), fewShotNotes);
  drawAll();
}

function start() {
  byId("caption").textContent = DATA.caption;
  byId("few-caption").textContent = DATA.fewShotCaption;
  byId("costs-caption").textContent = DATA.costCaption;
  options(byId("benchmark"), DATA.tables.map((one, place) => [place, one.title]), 0);
  byId("benchmark-field").hidden = DATA.tables.length < 2;
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("benchmark").addEventListener("change", (event) => openTable(Number(event.target.value)));
  byId("filter").addEventListener("input", (event) => { state.filter = event.target.value.trim(); drawAll(); });
  byId("type").addEventListener("change", (event) => { state.type = event.target.value === "" ? null : Number(event.target.value); drawAll(); });
  byId("metric").addEventListener("change", (event) => { state.metric = Number(event.target.value); drawPlots(); });
  byId("configuration").addEventListener("change", (event) => {
    state.configuration = Number(event.target.value);
    drawDifferences(shownComparisons());
  });
  let waiting = 0;
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawPlots, 120);
  });
  openTable(0);
  document.documentElement.dataset.ready = "true";
}

start();
