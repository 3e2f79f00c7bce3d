// Colours, hatching and canvases, in the light theme and in the dark one.
const KINDS = [ // name in the style, what the legend says
  ["run", "runs its function", "run"],
  ["hold", "holds rows or a lock", "solid"],
  ["shared", "holds them shared", "solid"],
  ["wait", "waits for rows or a lock", "hatch"],
  ["barrier", "waits in a barrier", "hatch"],
  ["element", "waits for an element", "hatch"],
  ["atomic", "atomic operation", "solid"],
];
const SLOT = { hold: 0, shared: 1, wait: 2, barrier: 3, element: 4, atomic: 5 };
const SLOTS = Object.keys(SLOT);
const colour = {};
const patterns = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["page", "panel", "ink", "muted", "line", "soft", "accent", "run", "runline", "hold", "shared", "wait",
    "barrier", "element", "atomic", "running", "text-on", "arrow", "race", "select"])
    colour[name] = style.getPropertyValue(`--${name}`).trim();
  const slopes = { wait: 1, barrier: -1, element: 0 };
  for (const [name, slope] of Object.entries(slopes)) patterns[name] = hatched(colour[name], slope);
}

/** A pattern of lines in a colour: rising, falling, or upright. */
function hatched(ink, slope) {
  const ratio = window.devicePixelRatio || 1, side = 7;
  const tile = document.createElement("canvas");
  tile.width = tile.height = Math.round(side * ratio);
  const pen = tile.getContext("2d");
  pen.scale(tile.width / side, tile.height / side);
  pen.fillStyle = colour.panel;
  pen.fillRect(0, 0, side, side);
  pen.globalAlpha = 0.3;
  pen.fillStyle = ink;
  pen.fillRect(0, 0, side, side);
  pen.globalAlpha = 1;
  pen.strokeStyle = ink;
  pen.lineWidth = 2.2;
  pen.beginPath();
  for (const shift of [-side, 0, side]) {
    if (slope === 0) { pen.moveTo(side / 2 + shift, 0); pen.lineTo(side / 2 + shift, side); }
    else { pen.moveTo(shift - 1, slope > 0 ? side + 1 : -1); pen.lineTo(shift + side + 1, slope > 0 ? -1 : side + 1); }
  }
  pen.stroke();
  const pattern = pen.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / (tile.width / side)));
  return pattern;
}

const fillOf = (name) => patterns[name] || colour[name];
const textScale = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;

/** Make a canvas as sharp as the screen; return its pen, which counts in pixels of the page. */
function penOf(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}

const font = (size, weight = "") => `${weight} ${size}px system-ui, "Segoe UI", Roboto, "DejaVu Sans", Arial, sans-serif`.trim();

/** Colours from little to much: only their lightness matters. */
function heatColour(part) {
  const dark = document.documentElement.dataset.theme === "dark";
  const stops = dark
    ? [[38, 46, 56], [92, 45, 22], [179, 82, 15], [238, 155, 58], [255, 236, 190]]
    : [[247, 240, 226], [247, 208, 134], [232, 146, 56], [179, 71, 15], [84, 22, 4]];
  const place = Math.min(0.9999, Math.max(0, part)) * (stops.length - 1), low = Math.floor(place), rest = place - low;
  const mixed = stops[low].map((value, k) => Math.round(value + (stops[low + 1][k] - value) * rest));
  return `rgb(${mixed.join(",")})`;
}

function legend() {
  const used = new Set();
  for (let i = 0; i < count; i++) {
    const kind = kindOf[i];
    if (kind === "lock") { used.add(isShared(i) ? "shared" : "hold"); if (waited(i) >= raw.noticeable) used.add("wait"); }
    else used.add(kind === "wait_until" ? "element" : kind);
  }
  const items = KINDS.filter(([name]) => used.has(name)).map(([name, says, look]) => {
    const lines = look === "hatch" ? { wait: "M-2 18 L18 -2 M4 24 L24 4 M-8 12 L12 -8", barrier: "M-2 -2 L18 18 M6 -6 L26 14 M-6 6 L14 26",
      element: "M3 0 V16 M9 0 V16 M15 0 V16 M21 0 V16" }[name] : "";
    return [`<rect x="0.5" y="1.5" width="25" height="13" rx="2" fill="var(--${name})" fill-opacity="${look === "hatch" ? 0.3 : 1}"/>`
      + (lines ? `<path d="${lines}" stroke="var(--${name})" stroke-width="2.2" fill="none"/>` : ""), says];
  });
  const marksUsed = [["fence", "fence"], ["push", "push: tells its changes"], ["pull", "pull: takes in others'"], ["race", "data race"],
    ["death", "found dead"]].filter(([name]) => used.has(name));
  for (const [name, says] of marksUsed) items.push([markSvg(name), says]);
  if (arrows.kind.length) items.push(['<path d="M2 12 C 10 12, 12 4, 21 4" stroke="var(--arrow)" fill="none" stroke-width="1.6"/><path d="M19 0.5 L25 4 L19 7.5 Z" fill="var(--arrow)"/>', "happens before"]);
  byId("legend").innerHTML = items.map(([shape, says]) => `<li><svg width="26" height="16" aria-hidden="true" overflow="hidden">${shape}</svg>${says}</li>`).join("");
}

const MARKS = { // drawn around 0, 0
  fence: "M0 -7 L5 0 L0 7 L-5 0 Z", push: "M0 -7 L7 6 L-7 6 Z", pull: "M0 7 L7 -6 L-7 -6 Z",
  race: "M0 -9 L9 0 L0 9 L-9 0 Z M-1.2 -5 L1.2 -5 L0.9 1.5 L-0.9 1.5 Z M-1.2 3 L1.2 3 L1.2 5.4 L-1.2 5.4 Z",
  death: "M-7 -5 L-5 -7 L0 -2 L5 -7 L7 -5 L2 0 L7 5 L5 7 L0 2 L-5 7 L-7 5 L-2 0 Z",
};
const MARK_COLOUR = { fence: "atomic", push: "wait", pull: "hold", race: "race", death: "ink" };
const markSvg = (name) => `<g transform="translate(13 8) scale(.85)"><path d="${MARKS[name]}" fill="var(--${MARK_COLOUR[name]})" fill-rule="evenodd"/></g>`;
const markPaths = Object.fromEntries(Object.entries(MARKS).map(([name, path]) => [name, new Path2D(path)]));
