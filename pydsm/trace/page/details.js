// What there is to say about an event: in passing, and when it is chosen.
const tip = byId("tip");

/** Lines about an event: pairs of a word and what it is. */
function facts(i) {
  const kind = kindOf[i], found = [], outcome = word("outcome", i), length = end[i] - begin[i];
  const add = (name, value) => value !== "" && value != null && found.push([name, value]);
  if (kind === "lock") {
    add(outcome === "gave up" ? "asked for" : "holds", aboutText(i) + (isShared(i) ? " (shared)" : ""));
    add("waited", timeText(waited(i)) + (waited(i) < raw.noticeable ? ", no more than taking it costs" : reasonOf(i) && `: ${reasonOf(i)}`));
    if (outcome !== "gave up") add("held", timeText(end[i] - had[i]));
  } else if (kind === "barrier") {
    add("until all were there", timeText(had[i] - begin[i]) + (reasonOf(i) && `: ${reasonOf(i)}`));
    add("until it went on", timeText(length));
  } else if (!INSTANTS.has(kind)) {
    add("on", aboutText(i));
    add(kind === "wait_until" ? "waited" : "took", timeText(length));
  } else add("of", aboutText(i));
  add(INSTANTS.has(kind) ? "at" : "begins at", momentText(begin[i]));
  add("line", word("where", i));
  if (outcome) add("outcome", { "gave up": "gave up waiting", failed: "an error ended it", unfinished: "its worker did not live to the end of it" }[outcome]);
  const details = raw.details[i];
  if (details != null) add("told", typeof details === "string" ? details : detailsText(details));
  return found;
}

function detailsText(details) {
  const lines = [];
  if (typeof details.race === "string") return details.race;
  for (const [key, value] of Object.entries(details)) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    lines.push(`${key}: ${text.length > 600 ? `${text.slice(0, 600)}…` : text}`);
  }
  return lines.join("\n");
}

const TITLES = { lock: "Region", barrier: "Barrier", atomic: "Atomic operation", wait_until: "Waiting for an element", fence: "Fence",
  run: "Run of the worker's function", program: "Run, as the program sees it", push: "Push", pull: "Pull", race: "Data race", death: "Found dead" };

function titleOf(i) {
  const lane = lanes[laneOf[i]];
  const title = kindOf[i] === "lock" && !partsOf(i).some((part) => part.length > 2) ? "Named lock" : TITLES[kindOf[i]] || kindOf[i];
  return `${title}, ${lane.name}`;
}

function showTip(i, x, y) {
  hover.event = i;
  if (i < 0) { tip.hidden = true; return; }
  const lines = facts(i).slice(0, 6).map(([name, value]) => element("div", {}, element("span", {}, `${name} `), `${value}`.slice(0, 300)));
  tip.replaceChildren(element("b", {}, titleOf(i)), ...lines);
  tip.hidden = false;
  placeTip(x, y);
}

function placeTip(x, y) {
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(4, y - box.height - 12) : y + 18}px`;
}

function choose(i, { bring = true } = {}) {
  chosen.event = i;
  const panel = byId("details");
  panel.hidden = i < 0;
  if (i >= 0) {
    chosen.lane = laneOf[i];
    if (bring) bringIn(i);
    const list = element("dl");
    for (const [name, value] of facts(i)) {
      const shown = `${value}`.includes("\n") ? element("pre", {}, value) : `${value}`;
      list.append(element("dt", {}, name), element("dd", {}, shown));
    }
    for (const [name, row] of [["had to happen first", causes(i)], ["came after it", effects(i)]])
      if (row.length) list.append(element("dt", {}, name), element("dd", {}, ...row));
    panel.replaceChildren(element("h3", {}, titleOf(i)), list);
  }
  redraw();
}

const causes = (i) => linksOf(arrowsTo.get(i), "source", "begin");
const effects = (i) => linksOf(arrowsFrom.get(i), "target", "end");

function linksOf(numbers, side, time) {
  const links = [];
  for (const number of (numbers || NO_ROWS).slice(0, 6)) {
    const other = arrows[side][number];
    if (links.length) links.push("; ");
    const says = `${lanes[laneOf[other]].name}: ${SAYS[arrows.kind[number]][side]} ${kindOf[other] === "lock" ? aboutText(other) : ""}`.trim();
    links.push(element("button", { class: "link", type: "button", onclick: () => { choose(other); canvas.focus({ preventScroll: true }); } },
      `${says} at ${momentText(arrows[time][number])}`));
  }
  if ((numbers || NO_ROWS).length > 6) links.push(` and ${numbers.length - 6} more`);
  return links;
}

const SAYS = {
  lock: { source: "gave back", target: "took" },
  barrier: { source: "came last to the barrier", target: "left the barrier" },
  atomic: { source: "changed the element", target: "saw the element" },
  start: { source: "started the run", target: "began" },
  join: { source: "ended", target: "saw the run end" },
};

function tellStatus() {
  const all = timeText(full.end - full.begin);
  const text = [showsAll() ? `All of it is shown: ${all}.` : `Shown: ${timeText(view.end - view.begin)} of ${all}.`];
  if (skippedArrows) text.push(`More than ${MOST_ARROWS} arrows here: zoom in to see them, or choose an event to see its own.`);
  if (drawn.columns) text.push("Columns stand for events too short to be drawn apart.");
  const said = text.join(" ");
  if (byId("status").textContent !== said) byId("status").textContent = said;
}
