// Drawing what the workers did.
const drawn = { slices: 0, columns: 0, marks: 0, arrows: 0, labels: 0 };

function drawAll() {
  const pen = penOf(canvas, place.width, place.height);
  Object.assign(drawn, { slices: 0, columns: 0, marks: 0, arrows: 0, labels: 0 });
  pen.fillStyle = colour.panel;
  pen.fillRect(0, 0, place.width, place.height);
  drawAxis(pen);
  pen.save();
  pen.beginPath();
  pen.rect(place.left, place.axis, inner() + 8, place.height);
  pen.clip();
  lanes.forEach((lane, number) => drawLane(pen, number));
  drawArrows(pen);
  lanes.forEach((lane, number) => drawMarks(pen, number));
  outline(pen, hover.event, 1.5);
  outline(pen, chosen.event, 2.5);
  pen.restore();
  drawNames(pen);
  drawOverview();
  tellStatus();
}

function drawAxis(pen) {
  const { step, found } = ticks(), k = textScale();
  pen.font = font(12 * k);
  pen.textBaseline = "middle";
  for (const time of found) {
    const x = Math.round(xOf(time)) + 0.5;
    pen.strokeStyle = colour.line;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x, place.axis - 5);
    pen.lineTo(x, place.height);
    pen.stroke();
    pen.fillStyle = colour.muted;
    const text = tickText(time, step), width = pen.measureText(text).width;
    if (x - width / 2 > place.left - 20 && x + width / 2 < place.width) pen.fillText(text, x - width / 2, place.axis / 2);
  }
  pen.fillStyle = colour.muted;
  pen.fillText("time", 10 * k, place.axis / 2);
}

function drawNames(pen) {
  const k = textScale();
  pen.fillStyle = colour.panel;
  pen.fillRect(0, place.axis, place.left - 1, place.height);
  pen.textBaseline = "middle";
  lanes.forEach((lane, number) => {
    const y = place.tops[number], active = number === chosen.lane && document.activeElement === canvas;
    pen.fillStyle = active ? colour.ink : colour.muted;
    pen.font = font(13 * k, active ? "700" : lane.rank < 0 ? "" : "600");
    const name = (raw.teams.length > 1 ? `team ${lane.team + 1} ` : "") + (lane.thread ? `thread ${lane.thread}` : lane.name);
    pen.fillText(name, (lane.thread ? 22 : 10) * k, y + place.pad + place.row / 2);
    if (active) pen.fillRect(0, y, 3 * k, place.heights[number]);
  });
}

function drawLane(pen, lane) {
  const top = place.tops[lane], height = place.heights[lane];
  for (const i of tracks[lane][0] || NO_ROWS) {
    if (!isBehind(i) || end[i] < view.begin || begin[i] > view.end) continue;
    const from = Math.max(place.left - 4, xOf(begin[i])), to = Math.min(place.width + 4, xOf(end[i]));
    pen.fillStyle = colour.run;
    pen.strokeStyle = colour.runline;
    pen.lineWidth = 1;
    rounded(pen, from, top, Math.max(2, to - from), height, 4);
    pen.fill();
    pen.stroke();
    drawn.slices++;
  }
  tracks[lane].forEach((list, depth) => drawRow(pen, lane, depth, list));
}

/** Draw one row: what is wide enough by itself, the rest as columns divided in proportion. */
function drawRow(pen, lane, depth, list) {
  const y = rowTop(lane, depth), height = place.row - 3, perPixel = (view.end - view.begin) / inner();
  const columns = new Columns(perPixel);
  const last = above(list, view.end, (i) => begin[i]);
  for (let k = above(list, view.begin, (i) => end[i]); k < last; k++) {
    const i = list[k];
    if (isBehind(i)) continue;
    if (end[i] - begin[i] < 1.6 * perPixel) columns.add(i);
    else drawSlice(pen, i, y, height);
  }
  columns.draw(pen, y, height);
}

class Columns {
  constructor(perPixel) {
    this.perPixel = perPixel;
    this.times = null;
  }
  add(i) {
    this.times ??= new Float32Array((Math.ceil(inner()) + 12) * SLOTS.length);
    for (const [slot, from, to] of piecesOf(i)) {
      const first = Math.max(0, Math.floor(xOf(from) - place.left)), last = Math.floor(xOf(to) - place.left);
      for (let pixel = first; pixel <= last && pixel < inner() + 8; pixel++) {
        const left = view.begin + pixel * this.perPixel;
        const part = Math.min(to, left + this.perPixel) - Math.max(from, left);
        this.times[pixel * SLOTS.length + slot] += Math.max(part, this.perPixel * 1e-6);
      }
    }
  }
  draw(pen, y, height) {
    if (!this.times) return;
    for (let pixel = 0; pixel < inner() + 8; pixel++) {
      let bottom = y + height;
      for (let slot = 0; slot < SLOTS.length; slot++) {
        const time = this.times[pixel * SLOTS.length + slot];
        if (!time) continue;
        const part = Math.max(2, Math.min(1, time / this.perPixel) * height);
        pen.fillStyle = colour[SLOTS[slot]];
        pen.fillRect(place.left + pixel, Math.max(y, bottom - part), 1, Math.min(part, bottom - y));
        bottom -= part;
        drawn.columns++;
      }
    }
  }
}

/** What an event is made of, as slots and times: a lock is waited for, then held. */
function piecesOf(i) {
  switch (kindOf[i]) {
    case "lock": {
      const slot = isShared(i) ? SLOT.shared : SLOT.hold;
      if (word("outcome", i) === "gave up") return [[SLOT.wait, begin[i], end[i]]];
      return [[had[i] - begin[i] >= raw.noticeable ? SLOT.wait : slot, begin[i], had[i]], [slot, had[i], end[i]]];
    }
    case "barrier": return [[SLOT.barrier, begin[i], end[i]]];
    case "wait_until": return [[SLOT.element, begin[i], end[i]]];
    default: return [[SLOT.atomic, begin[i], end[i]]];
  }
}

function drawSlice(pen, i, y, height) {
  drawn.slices++;
  const kind = kindOf[i];
  if (kind === "program") {
    box(pen, i, begin[i], end[i], y, height, colour.soft, colour.ink, nameOf(i), colour.runline);
  } else if (kind === "lock") {
    const name = isShared(i) ? "shared" : "hold", gaveUp = word("outcome", i) === "gave up";
    if (had[i] > begin[i]) {
      const short = had[i] - begin[i] < raw.noticeable && !gaveUp;
      pen.globalAlpha = short ? 0.45 : 1;
      box(pen, i, begin[i], gaveUp ? end[i] : had[i], y, height, short ? colour[name] : fillOf("wait"), colour.ink, short ? "" : aboutText(i));
      pen.globalAlpha = 1;
    }
    if (!gaveUp) box(pen, i, had[i], end[i], y, height, colour[name], name === "hold" ? colour["text-on"] : "#10202c", aboutText(i));
  } else {
    const name = kind === "wait_until" ? "element" : kind in SLOT ? kind : "atomic";
    box(pen, i, begin[i], end[i], y, height, fillOf(name), name === "atomic" ? colour["text-on"] : colour.ink, nameOf(i));
  }
}

function box(pen, i, from, to, y, height, fill, ink, text, edge) {
  const left = Math.max(place.left - 2, xOf(from)), right = Math.min(place.width + 2, xOf(to)), width = Math.max(1, right - left);
  pen.fillStyle = fill;
  if (width > 6) {
    rounded(pen, left, y, width - 0.6, height, 2);
    pen.fill();
    if (edge) { pen.strokeStyle = edge; pen.lineWidth = 1; pen.stroke(); }
  } else pen.fillRect(left, y, width, height);
  const k = textScale();
  if (!text || width < 30 * k) return;
  pen.font = font(12 * k, "600");
  const room = Math.floor((width - 9 * k) / (6.9 * k));
  if (room < 2) return;
  const shown = text.length <= room ? text : room < 4 ? "" : `${text.slice(0, room - 1)}…`;
  if (!shown) return;
  const wide = pen.measureText(shown).width;
  if (fill instanceof CanvasPattern) {
    pen.fillStyle = colour.panel;
    pen.globalAlpha = 0.86;
    rounded(pen, left + 2.5 * k, y + 2, wide + 5 * k, height - 4, 2);
    pen.fill();
    pen.globalAlpha = 1;
  }
  pen.fillStyle = ink;
  pen.textBaseline = "middle";
  pen.fillText(shown, left + 5 * k, y + height / 2 + 0.5);
  drawn.labels++;
}

function drawMarks(pen, lane) {
  const list = marks[lane], k = textScale(), lastAt = {};
  for (let at = above(list, view.begin, (i) => begin[i]); at < list.length && begin[list[at]] <= view.end; at++) {
    const i = list[at], kind = kindOf[i] in MARKS ? kindOf[i] : "fence", x = xOf(begin[i]);
    if (x - (lastAt[kind] ?? -99) < 3) continue;
    lastAt[kind] = x;
    pen.save();
    pen.translate(x, place.tops[lane] + (kind === "race" || kind === "death" ? place.heights[lane] / 2 : place.pad + 1));
    const size = (kind === "race" || kind === "death" ? 1 : 0.62) * k;
    pen.scale(size, size);
    pen.lineWidth = 3;
    pen.strokeStyle = colour.panel;
    pen.stroke(markPaths[kind]);
    pen.fillStyle = colour[MARK_COLOUR[kind]];
    pen.fill(markPaths[kind], "evenodd");
    pen.restore();
    drawn.marks++;
  }
}

function outline(pen, i, width) {
  if (i < 0) return;
  const [left, top, wide, high] = boxOf(i);
  pen.strokeStyle = colour.select;
  pen.lineWidth = width;
  rounded(pen, left - 1.5, top - 1.5, wide + 3, high + 3, 3);
  pen.stroke();
}

/** Where an event is drawn: left, top, width, height. */
function boxOf(i) {
  const lane = laneOf[i], left = Math.max(place.left - 6, xOf(begin[i])), right = Math.min(place.width + 6, xOf(end[i]));
  if (isBehind(i)) return [left, place.tops[lane], Math.max(2, right - left), place.heights[lane]];
  if (INSTANTS.has(kindOf[i])) return [left - 7, rowTop(lane, 0) - 4, 14, 14];
  return [left, rowTop(lane, depthOf[i]), Math.max(2, right - left), place.row - 3];
}

function rounded(pen, x, y, width, height, radius) {
  pen.beginPath();
  pen.roundRect(x, y, Math.max(0, width), height, Math.min(radius, width / 2));
}
