// Mouse, fingers and keys.
let drag = null;
const fingers = new Map();

function eventAt(x, y) {
  const lane = lanes.findIndex((_, number) => y >= place.tops[number] && y <= place.tops[number] + place.heights[number]);
  if (lane < 0 || x < place.left) return { lane, event: -1 };
  const time = timeAt(x), reach = (view.end - view.begin) / inner() * 6;
  const list = marks[lane];
  for (let at = above(list, time - reach, (i) => begin[i]); at < list.length && begin[list[at]] <= time + reach; at++) {
    const [left, top, wide, high] = boxOf(list[at]), tall = kindOf[list[at]] === "race" || kindOf[list[at]] === "death";
    if (x >= left && x <= left + wide && (tall || (y >= top && y <= top + high - 3))) return { lane, event: list[at] };
  }
  const depth = tracks[lane].findIndex((_, row) => !isRunRow(lane, row) && y >= rowTop(lane, row) && y < rowTop(lane, row) + place.row);
  if (depth >= 0) {
    const nearest = nearestIn(tracks[lane][depth], time, reach / 3);
    if (nearest >= 0) return { lane, event: nearest };
  }
  const runs = tracks[lane][0].filter((i) => isBehind(i) && begin[i] <= time && time <= end[i]);
  return { lane, event: runs.length ? runs[0] : -1 };
}

const isRunRow = (lane, row) => row === 0 && nested(lanes[lane]);

function nearestIn(list, time, reach) {
  let at = above(list, time, (i) => begin[i]) - 1;
  if (at >= 0 && time <= end[list[at]]) return list[at];
  let best = -1, distance = reach;
  for (const near of [at, at + 1])
    if (near >= 0 && near < list.length) {
      const away = Math.max(begin[list[near]] - time, time - end[list[near]]);
      if (away <= distance) [best, distance] = [list[near], away];
    }
  return best;
}

const within = (event, node = canvas) => {
  const box = node.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

canvas.addEventListener("wheel", (event) => {
  const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
  if (!sideways && event.deltaY > 0 && showsAll()) return; // let the page scroll
  event.preventDefault();
  if (sideways) move((event.deltaX || event.deltaY) / 900);
  else zoom(Math.exp(Math.max(-160, Math.min(160, event.deltaY)) / 320), within(event)[0]);
}, { passive: false });

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  canvas.focus({ preventScroll: true });
  const [x] = within(event);
  fingers.set(event.pointerId, x);
  drag = { x, begin: view.begin, end: view.end, moved: false, choosing: event.shiftKey, to: x };
  try { canvas.setPointerCapture(event.pointerId); } catch { /* a made-up event has no pointer */ }
});

canvas.addEventListener("pointermove", (event) => {
  const [x, y] = within(event);
  if (fingers.size === 2 && fingers.has(event.pointerId)) { pinch(event.pointerId, x); return; }
  if (!drag) {
    const found = eventAt(x, y).event;
    if (found !== hover.event) redraw();
    showTip(found, event.clientX, event.clientY);
    return;
  }
  if (Math.abs(x - drag.x) > 3) drag.moved = true;
  if (!drag.moved) return;
  showTip(-1);
  canvas.classList.toggle("choosing", drag.choosing);
  canvas.classList.toggle("dragging", !drag.choosing);
  drag.to = x;
  if (drag.choosing) { redraw(); return; }
  const shift = ((drag.x - x) / inner()) * (drag.end - drag.begin);
  show(drag.begin + shift, drag.end + shift);
});

function pinch(id, x) {
  const [a, b] = [...fingers.values()], before = Math.abs(a - b);
  fingers.set(id, x);
  const [c, d] = [...fingers.values()], after = Math.abs(c - d);
  drag = null;
  if (before > 8 && after > 8) zoom(before / after, (c + d) / 2);
}

function release(event) {
  fingers.delete(event.pointerId);
  if (!drag) return;
  const [x, y] = within(event), done = drag;
  drag = null;
  canvas.classList.remove("dragging", "choosing");
  if (!done.moved) {
    const found = eventAt(x, y);
    if (found.lane >= 0) chosen.lane = found.lane;
    choose(found.event, { bring: false });
  } else if (done.choosing && Math.abs(x - done.x) > 5) show(timeAt(Math.min(x, done.x)), timeAt(Math.max(x, done.x)));
}
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", release);
canvas.addEventListener("pointerleave", () => { if (!drag) { showTip(-1); redraw(); } });
canvas.addEventListener("dblclick", (event) => {
  const found = eventAt(...within(event)).event;
  if (found >= 0) { choose(found, { bring: false }); zoomTo(found); }
});
canvas.addEventListener("focus", redraw);
canvas.addEventListener("blur", redraw);

let overviewDrag = false;
overview.addEventListener("pointerdown", (event) => {
  overviewDrag = true;
  try { overview.setPointerCapture(event.pointerId); } catch { /* as above */ }
  centre(event);
});
overview.addEventListener("pointermove", (event) => overviewDrag && centre(event));
for (const name of ["pointerup", "pointercancel"]) overview.addEventListener(name, () => { overviewDrag = false; });

function centre(event) {
  const time = overviewTime(within(event, overview)[0]), span = view.end - view.begin;
  const size = showsAll() ? span / 10 : span;
  show(time - size / 2, time + size / 2);
}

/** Go to the event after (1) or before (-1) on the line. */
function step(by) {
  const list = onLane[chosen.lane];
  if (!list || !list.length) return;
  let at = list.indexOf(chosen.event);
  if (at < 0) at = above(list, view.begin, (i) => begin[i]) - (by > 0 ? 1 : 0);
  choose(list[Math.max(0, Math.min(list.length - 1, at + by))]);
}

function changeLane(by) {
  chosen.lane = Math.max(0, Math.min(lanes.length - 1, chosen.lane + by));
  const middle = chosen.event >= 0 ? begin[chosen.event] : (view.begin + view.end) / 2, list = onLane[chosen.lane];
  if (list.length) choose(list[Math.max(0, above(list, middle, (i) => begin[i]) - 1)]);
  else choose(-1);
}

function follow(lists, side) {
  const numbers = lists.get(chosen.event);
  if (numbers) choose(arrows[side][numbers[numbers.length - 1]]);
}

const KEYS = {
  "+": () => zoom(0.6), "=": () => zoom(0.6), w: () => zoom(0.6), "-": () => zoom(1 / 0.6), s: () => zoom(1 / 0.6),
  ArrowLeft: () => move(-0.15), a: () => move(-0.15), ArrowRight: () => move(0.15), d: () => move(0.15),
  ArrowDown: () => changeLane(1), ArrowUp: () => changeLane(-1), n: () => step(1), p: () => step(-1),
  g: () => follow(arrowsTo, "source"), h: () => follow(arrowsFrom, "target"),
  f: () => chosen.event >= 0 && zoomTo(chosen.event), Enter: () => chosen.event >= 0 && zoomTo(chosen.event),
  0: showAll, Home: showAll, Escape: () => choose(-1),
};

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  showTip(-1);
  act();
});

byId("zoomin").onclick = () => zoom(0.6);
byId("zoomout").onclick = () => zoom(1 / 0.6);
byId("fit").onclick = showAll;
byId("previous").onclick = () => step(-1);
byId("next").onclick = () => step(1);
byId("arrows").onchange = redraw;
