// Which part of the time is shown, and where things lie on the canvas.
const canvas = byId("canvas");
const view = { begin: full.begin, end: full.end };
const chosen = { event: -1, lane: Math.min(1, lanes.length - 1) };
const hover = { event: -1 };
const place = { width: 0, height: 0, left: 0, axis: 0, row: 0, tops: [], heights: [] };
const SMALLEST = 50; // nanoseconds

/** Lay the lines out anew, after a change of the window's or the text's size. */
function layOut() {
  const k = textScale();
  place.width = canvas.clientWidth;
  place.left = Math.round((raw.teams.length > 1 ? 150 : 96) * k);
  place.axis = Math.round(26 * k);
  place.row = Math.round(24 * k);
  place.pad = Math.round(5 * k);
  place.tops = [];
  place.heights = [];
  let y = place.axis + place.pad, team = -1;
  lanes.forEach((lane, number) => {
    if (team !== -1 && lane.team !== team) y += place.row / 2;
    team = lane.team;
    const rows = Math.max(1, lane.height - (nested(lane) ? 1 : 0));
    place.tops[number] = y;
    place.heights[number] = rows * place.row + 2 * place.pad;
    y += place.heights[number] + place.pad;
  });
  place.height = y;
}

/** Whether a lane's first row is the worker's run, which is drawn behind the others. */
const nested = (lane) => lane.rank >= 0 && lane.thread === 0;

function rowTop(lane, depth) {
  const row = Math.max(0, depth - (nested(lanes[lane]) ? 1 : 0));
  return place.tops[lane] + place.pad + row * place.row;
}

const inner = () => place.width - place.left - 8;
const xOf = (time) => place.left + ((time - view.begin) / (view.end - view.begin)) * inner();
const timeAt = (x) => view.begin + ((x - place.left) / inner()) * (view.end - view.begin);
const isBehind = (i) => kindOf[i] === "run";

function show(from, to) {
  const whole = full.end - full.begin, margin = whole * 0.01;
  let span = Math.min(Math.max(to - from, SMALLEST), whole + 2 * margin);
  let start = from + (to - from - span) / 2;
  start = Math.max(full.begin - margin, Math.min(start, full.end + margin - span));
  view.begin = start;
  view.end = start + span;
  redraw();
}

const showAll = () => show(full.begin - (full.end - full.begin) * 0.01, full.end + (full.end - full.begin) * 0.01);
const showsAll = () => view.end - view.begin >= (full.end - full.begin) * 1.019;

function zoom(factor, x = place.left + inner() / 2) {
  const time = timeAt(x), span = Math.max(SMALLEST, (view.end - view.begin) * factor);
  const part = (time - view.begin) / (view.end - view.begin);
  show(time - part * span, time + (1 - part) * span);
}

function move(part) {
  const shift = (view.end - view.begin) * part;
  show(view.begin + shift, view.end + shift);
}

/** Show an event with some room beside it. */
function zoomTo(i) {
  const span = Math.max(end[i] - begin[i], SMALLEST);
  show(begin[i] - span * 0.6, end[i] + span * 0.6);
}

/** Move so far that an event can be seen. */
function bringIn(i) {
  const span = view.end - view.begin;
  if (end[i] < view.begin + span * 0.03 || begin[i] > view.end - span * 0.03) {
    const middle = end[i] - begin[i] > span ? begin[i] + span * 0.3 : (begin[i] + end[i]) / 2;
    show(middle - span / 2, middle + span / 2);
  }
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawAll();
  });
}

/** Times for the axis: round, and far enough apart. */
function ticks() {
  const wanted = inner() / (110 * textScale()), step = roundStep((view.end - view.begin) / wanted), found = [];
  for (let time = Math.ceil(view.begin / step) * step; time <= view.end; time += step) found.push(time);
  return { step, found };
}

function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  for (const factor of [1, 2, 5, 10]) if (factor * power >= least) return factor * power;
  return 10 * power;
}

/** A moment, as exact as the ticks are apart. */
function tickText(time, step) {
  const [unit, size] = step >= 1e8 ? ["s", 1e9] : step >= 1e5 ? ["ms", 1e6] : step >= 100 ? ["µs", 1e3] : ["ns", 1];
  const digits = Math.max(0, Math.ceil(-Math.log10(step / size) - 1e-9));
  return `${(time / size).toFixed(digits)} ${unit}`;
}
