// Replicas, step by step: what a worker told of its changes, took in from others, and holds now.
const steps = [];
for (let i = 0; i < count; i++) if ((kindOf[i] === "push" || kindOf[i] === "pull") && raw.details[i]) steps.push(i);
const memoryState = { step: 0, steps: steps.length, differs: 0, touched: 0, playing: null };
const MOST_CELLS = 64;

/** Each worker's replica of each array after a step; null where it was not told. */
function replicasAt(step) {
  const now = new Map();
  for (let at = 0; at <= step; at++) {
    const details = raw.details[steps[at]], lane = lanes[laneOf[steps[at]]], key = `${lane.team} ${raw.events.run[steps[at]]} ${details.array}`;
    if (!now.has(key)) now.set(key, { team: lane.team, run: raw.events.run[steps[at]], name: details.array, of: new Map() });
    if (Array.isArray(details.values)) now.get(key).of.set(lane.rank, details.values.flat(Infinity));
  }
  return now;
}

const boundsOf = (details) => (Array.isArray(details.rows) ? details.rows : []).flat();

function sentence(at) {
  const i = steps[at], details = raw.details[i], who = lanes[laneOf[i]].name, rows = boundsOf(details);
  const what = `${plural(details.elements ?? 0, "element")} of ${details.array}${rows.length ? ` (rows ${rowsText(rows, 6)})` : ""}`;
  const when = `Step ${at + 1} of ${steps.length}, at ${momentText(begin[i])}: `;
  const clock = Array.isArray(details.clock) ? `, whose vector clock is (${details.clock.join(", ")})` : "";
  const interval = details.interval == null ? "" : `interval ${details.interval}${clock}`;
  if (kindOf[i] === "push") return `${when}${who} pushes ${what}${interval && `: its ${interval}`}.`;
  return `${when}${who} pulls ${what} that worker ${details.rank} pushed${interval && ` in ${interval}`}.`;
}

function showStep(at) {
  memoryState.step = Math.max(0, Math.min(steps.length - 1, at));
  memoryState.differs = memoryState.touched = 0;
  byId("memory-step").value = memoryState.step;
  byId("memory-text").textContent = sentence(memoryState.step);
  const i = steps[memoryState.step], details = raw.details[i], run = raw.events.run[i], shown = [];
  for (const entry of replicasAt(memoryState.step).values())
    if (entry.run === run) shown.push(entry.of.size ? replicaTable(entry, i, details) : stripsOf(entry));
  byId("memory").replaceChildren(memoryKey(), ...shown);
}

function memoryKey() {
  const box = (style, text) => element("span", {}, element("i", { style }), text);
  return element("div", { class: "memkey" }, box("outline:3px solid var(--pushed);outline-offset:-3px", "pushed in this step"),
    box("outline:3px solid var(--pulled);outline-offset:-3px", "pulled in this step"),
    box("background:var(--differs);outline:1px dashed var(--muted)", "replicas differ here"));
}

function replicaTable(entry, i, details) {
  const workers = [...entry.of].sort((a, b) => a[0] - b[0]), length = Math.max(...workers.map(([, values]) => values.length));
  const info = arrays.find((array) => array.name === entry.name && array.team === entry.team), width = (info?.shape || []).slice(1).reduce((a, b) => a * b, 1);
  const cells = Math.min(length, MOST_CELLS), touched = new Set(), bounds = entry.name === details.array ? boundsOf(details) : NO_ROWS;
  for (let k = 0; k < bounds.length; k += 2)
    for (let element_ = bounds[k] * width; element_ < Math.min(cells, bounds[k + 1] * width); element_++) touched.add(element_);
  const grid = element("div", { class: "cells", style: `grid-template-columns: max-content repeat(${cells}, minmax(2.2rem, max-content))` });
  grid.append(element("span", { class: "name" }, "element"));
  for (let at = 0; at < cells; at++)
    grid.append(element("span", { class: "index" }, width > 1 ? `${Math.floor(at / width)},${at % width}` : `${at}`));
  for (const [rank, values] of workers) {
    grid.append(element("span", { class: "name" }, `worker ${rank}`));
    for (let at = 0; at < cells; at++) {
      const differs = workers.some(([, others]) => !same(others[at], values[at])), active = lanes[laneOf[i]].rank === rank && touched.has(at);
      memoryState.differs += differs;
      memoryState.touched += active;
      grid.append(element("span", { class: ["value", differs && "differs", active && kindOf[i]].filter(Boolean).join(" ") }, valueText(values[at])));
    }
  }
  const more = length > cells ? `, the first ${cells} of ${length} elements` : "";
  return element("div", { class: "replicas" }, element("h3", {}, entry.name, element("span", {}, more)), grid);
}

const same = (a, b) => a === b || (Number.isNaN(a) && Number.isNaN(b));
const valueText = (value) => (value == null ? "?" : typeof value === "number" && !Number.isInteger(value) ? `${Number(value.toPrecision(4))}` : `${value}`);

/** Without values: which rows each worker has pushed and pulled so far, the last step's strong. */
function stripsOf(entry) {
  const info = arrays.find((array) => array.name === entry.name && array.team === entry.team), rows = info?.shape?.[0] || 1;
  const mine = steps.slice(0, memoryState.step + 1).filter((i) => raw.details[i].array === entry.name && raw.events.run[i] === entry.run);
  const ranks = [...new Set(mine.map((i) => lanes[laneOf[i]].rank))].sort((a, b) => a - b), recent = mine.slice(-60);
  const lines = ranks.map((rank, at) => recent.filter((i) => lanes[laneOf[i]].rank === rank).map((i) => {
    const bounds = boundsOf(raw.details[i]), last = i === steps[memoryState.step], boxes = [];
    for (let k = 0; k < bounds.length; k += 2) {
      boxes.push(`<rect x="${80 + (bounds[k] / rows) * 900}" y="${at * 26 + 4}" width="${Math.max(2, ((bounds[k + 1] - bounds[k]) / rows) * 900)}" height="18"
        fill="var(--${kindOf[i] === "push" ? "pushed" : "pulled"})" fill-opacity="${last ? 1 : 0.25}"/>`);
      memoryState.touched += last;
    }
    return boxes.join("");
  }).join("") + `<text x="0" y="${at * 26 + 17}" font-size="13">worker ${rank}</text><rect x="80" y="${at * 26 + 4}" width="900" height="18" fill="none" stroke="var(--line)"/>`);
  const made = element("div", { class: "replicas" }, element("h3", {}, entry.name, element("span", {}, `, rows 0 to ${rows - 1}: pushed and pulled lately`)));
  made.insertAdjacentHTML("beforeend", `<svg viewBox="0 0 985 ${ranks.length * 26 + 6}" width="100%" role="img" aria-label="Rows pushed and pulled">${lines.join("")}</svg>`);
  return made;
}

function play(on) {
  clearInterval(memoryState.playing);
  memoryState.playing = on ? setInterval(() => (memoryState.step + 1 < steps.length ? showStep(memoryState.step + 1) : play(false)), 700) : null;
  byId("memory-play").setAttribute("aria-pressed", String(on));
}

function prepareMemory() {
  byId("s-memory").hidden = !steps.length;
  if (!steps.length) return;
  byId("memory-step").max = steps.length - 1;
  byId("memory-step").oninput = (event) => { play(false); showStep(Number(event.target.value)); };
  byId("memory-back").onclick = () => { play(false); showStep(memoryState.step - 1); };
  byId("memory-on").onclick = () => { play(false); showStep(memoryState.step + 1); };
  byId("memory-play").onclick = () => play(memoryState.playing === null);
  byId("memory-show").onclick = () => {
    choose(steps[memoryState.step]);
    byId("h-timeline").scrollIntoView({ block: "start", behavior: "smooth" });
  };
  showStep(0);
}
