// The strip above the timeline: all of it, and which part is shown below.
const overview = byId("overview");
let strip = null;

/** Draw the whole once; it changes only with the window and the theme. */
function makeStrip() {
  const width = Math.max(50, Math.round(overview.clientWidth)), height = 48 * textScale();
  strip = document.createElement("canvas");
  const pen = penOf(strip, width, height), left = place.left, wide = inner();
  pen.fillStyle = colour.panel;
  pen.fillRect(0, 0, width, height);
  const workers = lanes.map((lane, number) => number).filter((number) => lanes[number].rank >= 0);
  const each = (height - 6) / Math.max(1, workers.length), whole = (full.end - full.begin) * 1.02;
  const at = (time) => ((time - full.begin) / whole + 0.01 / 1.02) * wide;
  workers.forEach((lane, row) => {
    const y = 3 + row * each, times = new Float32Array(Math.ceil(wide + 2) * SLOTS.length);
    for (const i of onLane[lane]) {
      if (INSTANTS.has(kindOf[i])) continue;
      if (isBehind(i)) {
        pen.fillStyle = colour.run;
        pen.fillRect(left + at(begin[i]), y, Math.max(1, at(end[i]) - at(begin[i])), each - 1);
        continue;
      }
      for (const [slot, from, to] of piecesOf(i)) {
        const first = at(from), last = at(to);
        for (let pixel = Math.floor(first); pixel <= last; pixel++)
          times[pixel * SLOTS.length + slot] += Math.max(0.03, Math.min(last, pixel + 1) - Math.max(first, pixel));
      }
    }
    for (let pixel = 0; pixel < wide; pixel++) {
      let bottom = y + each - 1;
      for (let slot = 0; slot < SLOTS.length; slot++) {
        const part = Math.min(1, times[pixel * SLOTS.length + slot]) * (each - 1);
        if (!part) continue;
        pen.fillStyle = colour[SLOTS[slot]];
        pen.fillRect(left + pixel, Math.max(y, bottom - part), 1, Math.min(part, bottom - y));
        bottom -= part;
      }
    }
  });
}

function drawOverview() {
  if (!strip) makeStrip();
  const width = Math.max(50, Math.round(overview.clientWidth)), height = 48 * textScale(), pen = penOf(overview, width, height);
  pen.drawImage(strip, 0, 0, width, height);
  const whole = (full.end - full.begin) * 1.02, start = full.begin - (full.end - full.begin) * 0.01;
  const from = place.left + ((view.begin - start) / whole) * inner(), to = place.left + ((view.end - start) / whole) * inner();
  pen.fillStyle = colour.page;
  pen.globalAlpha = 0.72;
  pen.fillRect(place.left, 0, from - place.left, height);
  pen.fillRect(to, 0, place.width - to, height);
  pen.globalAlpha = 1;
  pen.strokeStyle = colour.accent;
  pen.lineWidth = 2;
  pen.strokeRect(Math.min(from, width - 4), 1, Math.max(3, to - from), height - 2);
  pen.fillStyle = colour.muted;
  pen.font = font(13 * textScale());
  pen.textBaseline = "middle";
  pen.fillText("overview", 10 * textScale(), height / 2);
}

function overviewTime(x) {
  return full.begin + ((x - place.left) / inner() - 0.01 / 1.02) * (full.end - full.begin) * 1.02;
}
