// The timeline's data, as arrays: one place for each event.
const raw = JSON.parse(document.getElementById("data").textContent);
const count = raw.events.begin.length;
const kindOf = raw.events.kind.map((number) => raw.kinds[number]);
const begin = new Float64Array(count), had = new Float64Array(count), end = new Float64Array(count);
for (let i = 0, time = 0; i < count; i++) {
  time += raw.events.begin[i];
  begin[i] = time;
  had[i] = time + raw.events.had[i];
  end[i] = time + raw.events.end[i];
}
const laneOf = raw.events.lane, depthOf = raw.events.depth;
const lanes = raw.lanes, arrays = raw.arrays, arrows = raw.arrows, summary = raw.summary;
const INSTANTS = new Set(["fence", "death", "race", "push", "pull"]);
const WAITS = new Set(["lock", "barrier", "wait_until"]);
const NO_ROWS = [];

const word = (column, i) => raw.words[raw.events[column][i]];
const partsOf = (i) => raw.parts[raw.events.parts[i]];
const isShared = (i) => partsOf(i).some((part) => part[1]);
const waited = (i) => (kindOf[i] === "barrier" ? end[i] : WAITS.has(kindOf[i]) ? had[i] : begin[i]) - begin[i];
const full = { begin: Math.min(0, ...raw.runs.map((run) => run.begin)), end: 1 };
for (let i = 0; i < count; i++) full.end = Math.max(full.end, end[i]);

// What lies on each row of each lane, in the order of time; instants apart.
const tracks = lanes.map((lane) => Array.from({ length: lane.height }, () => []));
const marks = lanes.map(() => []);
const onLane = lanes.map(() => []);
for (let i = 0; i < count; i++) {
  onLane[laneOf[i]].push(i);
  if (INSTANTS.has(kindOf[i])) marks[laneOf[i]].push(i);
  else tracks[laneOf[i]][depthOf[i]].push(i);
}

// For each event, the arrows that lead to it and from it.
const arrowsTo = new Map(), arrowsFrom = new Map();
arrows.target.forEach((event, number) => push(arrowsTo, event, number));
arrows.source.forEach((event, number) => push(arrowsFrom, event, number));

function push(lists, key, value) {
  if (lists.has(key)) lists.get(key).push(value);
  else lists.set(key, [value]);
}

/** Whether the target was waiting already when what the arrow comes from happened. */
function endedWait(number) {
  const target = arrows.target[number];
  return WAITS.has(kindOf[target]) && begin[target] <= arrows.begin[number] && end[target] > begin[target];
}

function rowsText(bounds, shown = 3) {
  const parts = [];
  for (let k = 0; k < bounds.length && parts.length < shown; k += 2)
    parts.push(bounds[k + 1] === bounds[k] + 1 ? `${bounds[k]}` : `${bounds[k]}:${bounds[k + 1]}`);
  if (bounds.length > 2 * shown) parts.push(`… ${bounds.length / 2 - shown} more`);
  return parts.join(", ");
}

function partText(part) {
  const bounds = part.slice(2), name = arrays[part[0]].name;
  return bounds.length ? `${name}[${rowsText(bounds)}]` : name;
}

const aboutText = (i) => partsOf(i).map(partText).join(" + ");

/** What an event is, in a few words. */
function nameOf(i) {
  const kind = kindOf[i], about = aboutText(i);
  if (kind === "lock") return about;
  if (kind === "atomic" || kind === "wait_until") return `${word("what", i)} ${about}`;
  if (kind === "program" || kind === "run") return `run ${raw.events.run[i] + 1}`;
  return about ? `${kind} ${about}` : kind;
}

function timeText(nanoseconds) {
  const amount = Number(Math.abs(nanoseconds).toPrecision(3)), sign = nanoseconds < 0 ? "−" : "";
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]])
    if (amount >= size) return `${sign}${Number((amount / size).toPrecision(3))} ${unit}`;
  return amount ? `${sign}${amount} ns` : "0";
}

/** A moment, to the microsecond or better: two that differ should look different. */
function momentText(time) {
  const whole = full.end - full.begin, [unit, size, digits] = whole >= 1e10 ? ["s", 1e9, 6] : whole >= 1e6 ? ["ms", 1e6, 3] : ["µs", 1e3, 2];
  return `${((time - full.begin) / size).toFixed(digits)} ${unit}`;
}

/** What an event waited for, as far as arrows tell: the last arrow to it that ended its wait; -1 if nothing did. */
function waitedFor(i) {
  let last = -1;
  for (const number of arrowsTo.get(i) || NO_ROWS)
    if (endedWait(number) && (last < 0 || arrows.begin[number] > arrows.begin[last])) last = number;
  return last;
}

/** Why an event waited, in a few words. */
function reasonOf(i) {
  const kind = kindOf[i], number = waitedFor(i);
  if (number >= 0) {
    const other = arrows.source[number], who = lanes[laneOf[other]].name;
    if (kind === "barrier") return `${who} came last`;
    if (kind === "wait_until") return `${who} changed it`;
    return `${who} had ${sharedRows(i, other)}`;
  }
  if (kind === "lock" && word("outcome", i) === "") return "nobody else had it";
  return kind === "barrier" && !word("outcome", i) ? "it came last itself" : "";
}

/** The rows that two events are both about; if they only share a stripe, those of the second. */
function sharedRows(i, other) {
  const common = [], near = [];
  for (const mine of partsOf(i)) for (const its of partsOf(other)) {
    if (mine[0] !== its[0]) continue;
    const bounds = [];
    for (let k = 2; k < mine.length; k += 2) for (let n = 2; n < its.length; n += 2) {
      const start = Math.max(mine[k], its[n]), stop = Math.min(mine[k + 1], its[n + 1]);
      if (start < stop) bounds.push(start, stop);
    }
    if (bounds.length || its.length === 2) common.push(partText([its[0], 0, ...bounds]));
    else near.push(partText(its));
  }
  return (common.length ? common : near).join(" + ");
}

/** The first place in a list, ascending by `key`, whose key is above the value. */
function above(list, value, key) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(list[middle]) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

const plural = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(key, value === true ? "" : value);
  made.append(...children.filter((child) => child != null));
  return made;
};
const byId = (id) => document.getElementById(id);
