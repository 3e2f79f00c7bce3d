// The heat map: time or workers across, rows down, colour for how much.
const heat = byId("heat");
const heatState = { cells: 0, max: 0, rows: [], columns: [], values: [], box: null };
const MOST_ROWS = 40;

/** Arrays that were locked, those waited for longest first. */
function lockedArrays() {
  const times = new Map();
  for (let i = 0; i < count; i++)
    if (kindOf[i] === "lock") for (const part of partsOf(i)) times.set(part[0], (times.get(part[0]) || 0) + waited(i));
  return [...times].sort((a, b) => b[1] - a[1]).map(([array]) => array);
}

function prepareHeat() {
  const listed = lockedArrays();
  byId("s-heat").hidden = !listed.length;
  byId("heat-array").replaceChildren(...listed.map((array) =>
    element("option", { value: array }, (raw.teams.length > 1 ? `team ${arrays[array].team + 1} ` : "") + arrays[array].name)));
  for (const id of ["heat-array", "heat-what", "heat-across"]) byId(id).onchange = drawHeat;
}

/** Add up what is asked for, in cells of rows by columns. */
function heatValues(array, what, across) {
  let low = Infinity, high = 0;
  const mine = [];
  for (let i = 0; i < count; i++)
    if (kindOf[i] === "lock") for (const part of partsOf(i)) if (part[0] === array) {
      mine.push([i, part]);
      for (let k = 2; k < part.length; k += 2) { low = Math.min(low, part[k]); high = Math.max(high, part[k + 1]); }
    }
  if (low > high) [low, high] = [0, 1]; // a named lock
  const step = Math.max(1, Math.ceil((high - low) / MOST_ROWS)), rows = Math.ceil((high - low) / step);
  const ranks = lanes.map((lane, number) => number).filter((number) => lanes[number].rank >= 0 && lanes[number].team === arrays[array].team);
  const columns = across === "time" ? Math.max(20, Math.min(160, Math.floor(heat.clientWidth / 7))) : ranks.length;
  const values = Array.from({ length: rows }, () => new Float64Array(columns)), width = (full.end - full.begin) / columns;
  const add = (row, i) => {
    const line = values[row], from = what === "held" ? had[i] : begin[i], to = what === "held" ? end[i] : had[i];
    if (across === "worker") { line[ranks.indexOf(laneOf[i])] += what === "taken" ? 1 : to - from; return; }
    const first = Math.max(0, Math.floor((from - full.begin) / width)), last = Math.min(columns - 1, Math.floor((to - full.begin) / width));
    if (what === "taken") { line[Math.min(columns - 1, Math.floor((had[i] - full.begin) / width))] += 1; return; }
    for (let at = first; at <= last; at++)
      line[at] += Math.min(to, full.begin + (at + 1) * width) - Math.max(from, full.begin + at * width);
  };
  for (const [i, part] of mine) {
    if (what === "held" && word("outcome", i) === "gave up") continue;
    const touched = new Set();
    for (let k = 2; k < part.length; k += 2)
      for (let row = Math.floor((part[k] - low) / step); row <= Math.floor((part[k + 1] - 1 - low) / step); row++) touched.add(row);
    for (const row of part.length > 2 ? touched : [0]) add(row, i);
  }
  return { values, low, high, step, ranks, columns, width };
}

function drawHeat() {
  const array = Number(byId("heat-array").value), what = byId("heat-what").value, across = byId("heat-across").value;
  if (byId("s-heat").hidden) return;
  const found = heatValues(array, what, across), k = textScale(), info = arrays[array];
  const left = 96 * k, below = 34 * k, each = Math.max(9 * k, Math.min(24 * k, (300 * k) / found.values.length));
  const width = heat.clientWidth, height = found.values.length * each + below, pen = penOf(heat, width, height);
  const wide = across === "time" ? (width - left - 8) / found.columns : Math.min(90 * k, (width - left - 8) / found.columns);
  const most = Math.max(0, ...found.values.map((line) => Math.max(...line)));
  const text = (value) => (what === "taken" ? plural(Math.round(value), "region") : timeText(value));
  pen.clearRect(0, 0, width, height);
  pen.font = font(12 * k);
  pen.textBaseline = "middle";
  let cells = 0;
  found.values.forEach((line, row) => {
    const y = row * each, start = found.low + row * found.step, stop = Math.min(found.high, start + found.step);
    if (row % Math.ceil((14 * k) / each) === 0) {
      pen.fillStyle = colour.muted;
      const label = info.shape.length ? `${info.name}[${stop === start + 1 ? start : `${start}:${stop}`}]` : info.name;
      pen.fillText(label.length > 13 ? `…${label.slice(-12)}` : label, 2, y + each / 2);
    }
    for (let at = 0; at < found.columns; at++) {
      pen.fillStyle = line[at] > 0 ? heatColour(Math.sqrt(line[at] / most)) : colour.soft;
      if (line[at] > 0) cells++;
      pen.fillRect(left + at * wide, y, Math.max(0.5, wide - (wide > 4 ? 1 : 0)), each - 1);
    }
  });
  drawHeatAxis(pen, found, across, left, wide, found.values.length * each, k);
  const rows = found.step > 1 ? `${found.step} rows together` : "one row";
  byId("heat-hint").textContent = `Across: ${across === "time" ? "time, as above" : "the workers"}. Down: ${info.shape.length
    ? `the rows of ${info.name} that were asked for, ${rows} in a line${info.block > 1 ? ` (${info.block} rows have one lock word between them)` : ""}`
    : `the named lock ${info.name}`}. Darker or brighter away from the background: more. A region's wait counts for each of its rows.`;
  byId("heat-high").textContent = most ? text(most) : "nothing to show";
  drawHeatScale();
  Object.assign(heatState, found, { cells, max: most, left, wide, each, across, text, array });
  heat.setAttribute("aria-label", `Heat map of ${info.name}: the most in a cell is ${text(most)}; a table above lists the hottest rows.`);
}

function drawHeatAxis(pen, found, across, left, wide, y, k) {
  pen.fillStyle = colour.muted;
  if (across === "worker") {
    found.ranks.forEach((lane, at) => pen.fillText(lanes[lane].name.replace("worker ", wide < 60 * k ? "" : "worker "), left + at * wide + 3, y + 14 * k));
    return;
  }
  const step = roundStep((full.end - full.begin) / ((found.columns * wide) / (110 * k)));
  for (let time = 0; time <= full.end - full.begin; time += step) {
    const x = left + (time / (full.end - full.begin)) * found.columns * wide, text = tickText(time, step);
    pen.fillRect(x, y, 1, 5);
    if (x + pen.measureText(text).width < left + found.columns * wide + 8) pen.fillText(text, x + 3, y + 14 * k);
  }
}

function drawHeatScale() {
  const canvasOfScale = byId("heat-scale"), pen = canvasOfScale.getContext("2d");
  for (let x = 0; x < canvasOfScale.width; x++) {
    pen.fillStyle = heatColour(Math.sqrt(x / canvasOfScale.width));
    pen.fillRect(x, 0, 1, canvasOfScale.height);
  }
}

function heatCell(event) {
  const [x, y] = within(event, heat), row = Math.floor(y / heatState.each), column = Math.floor((x - heatState.left) / heatState.wide);
  return row >= 0 && row < heatState.values.length && column >= 0 && column < heatState.columns ? [row, column] : null;
}

heat.addEventListener("pointermove", (event) => {
  const cell = heatCell(event);
  if (!cell) { tip.hidden = true; return; }
  const [row, column] = cell, start = heatState.low + row * heatState.step, stop = Math.min(heatState.high, start + heatState.step);
  const info = arrays[heatState.array], when = heatState.across === "time"
    ? `${timeText(column * heatState.width)} to ${timeText((column + 1) * heatState.width)}` : lanes[heatState.ranks[column]].name;
  tip.replaceChildren(element("b", {}, info.shape.length ? `${info.name}[${stop === start + 1 ? start : `${start}:${stop}`}]` : info.name),
    element("div", {}, when), element("div", {}, heatState.text(heatState.values[row][column])));
  tip.hidden = false;
  placeTip(event.clientX, event.clientY);
});
heat.addEventListener("pointerleave", () => { tip.hidden = true; });
heat.addEventListener("click", (event) => {
  const cell = heatCell(event);
  if (!cell || heatState.across !== "time") return;
  show(full.begin + cell[1] * heatState.width, full.begin + (cell[1] + 1) * heatState.width);
  byId("h-timeline").scrollIntoView({ block: "start", behavior: "smooth" });
});
