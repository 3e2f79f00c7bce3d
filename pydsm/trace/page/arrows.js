// Arrows from what had to happen first to what came after it.
const MOST_ARROWS = 500;
let skippedArrows = 0;

function arrowsInView() {
  const mode = byId("arrows").value, found = [];
  skippedArrows = 0;
  if (mode !== "none")
    for (let number = 0; number < arrows.kind.length; number++) {
      if (arrows.end[number] < view.begin) continue;
      if (arrows.begin[number] > view.end) continue;
      if (mode === "waits" && !endedWait(number) && arrows.kind[number] !== "start" && arrows.kind[number] !== "join") continue;
      found.push(number);
      if (found.length > MOST_ARROWS) break;
    }
  if (found.length <= MOST_ARROWS) return found;
  skippedArrows = 1;
  return [];
}

function drawArrows(pen) {
  const strong = new Set();
  for (const i of [chosen.event, hover.event])
    if (i >= 0 && !isBehind(i) && kindOf[i] !== "program")
      for (const list of [arrowsTo.get(i), arrowsFrom.get(i)]) for (const number of list || NO_ROWS) strong.add(number);
  for (const number of arrowsInView()) if (!strong.has(number)) drawArrow(pen, number, false);
  for (const number of strong) drawArrow(pen, number, true);
}

function drawArrow(pen, number, strong) {
  const source = arrows.source[number], target = arrows.target[number], kind = arrows.kind[number];
  const x1 = xOf(arrows.begin[number]), y1 = heightOf(source), x2 = xOf(arrows.end[number]), y2 = heightOf(target);
  const faint = kind === "start" || kind === "join", k = textScale();
  pen.globalAlpha = strong ? 1 : faint ? 0.35 : 0.7;
  pen.strokeStyle = pen.fillStyle = colour.arrow;
  pen.lineWidth = (strong ? 2.4 : 1.3) * k;
  const bend = Math.min(60, Math.max(12, Math.abs(x2 - x1) / 2)), down = Math.sign(y2 - y1) || 1;
  const head = (strong ? 8 : 6.5) * k;
  // Leaves along the line of time, arrives from above or below.
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.bezierCurveTo(x1 + bend * 0.3, y1 + down * 10, x2, y2 - down * (14 + bend * 0.4), x2, y2 - down * head * 0.8);
  pen.stroke();
  pen.beginPath();
  pen.moveTo(x2, y2);
  pen.lineTo(x2 - head * 0.5, y2 - down * head);
  pen.lineTo(x2 + head * 0.5, y2 - down * head);
  pen.fill();
  pen.beginPath();
  pen.arc(x1, y1, 2.2 * k, 0, 7);
  pen.fill();
  pen.globalAlpha = 1;
  drawn.arrows++;
}

function heightOf(i) {
  const [, top, , height] = boxOf(i);
  return isBehind(i) ? place.tops[laneOf[i]] + place.pad : top + height / 2;
}
