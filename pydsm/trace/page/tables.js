// Tables: the rows and the moments that cost most, and the races.
function table(heads, rows) {
  const made = element("table", {}, element("thead", {}, element("tr", {}, ...heads.map(([text, number]) => element("th", { class: number && "number", scope: "col" }, text)))));
  const body = element("tbody");
  for (const cells of rows)
    body.append(element("tr", {}, ...cells.map((cell, at) => element("td", { class: heads[at][1] && "number" }, cell))));
  made.append(body);
  return made;
}

const goTo = (i, text) => element("button", { class: "link", type: "button", onclick: () => {
  choose(i, { bring: false });
  zoomTo(i);
  byId("h-timeline").scrollIntoView({ block: "start", behavior: "smooth" });
  canvas.focus({ preventScroll: true });
} }, text);

function bar(part, name) {
  const made = element("span", { class: "bar" });
  made.style.width = `${part * 4.5}rem`;
  if (name) made.style.background = `var(--${name})`;
  return made;
}

/** The line of the program, without the folder, which is there to be pointed at. */
function placeOf(i) {
  const where = word("where", i);
  return element("code", { title: where }, where.slice(where.lastIndexOf("/") + 1));
}

function drawTables() {
  const most = Math.max(1, ...summary.waits.map(waited));
  byId("waits").replaceChildren(summary.waits.length
    ? table([["waited", true], ["", false], ["worker", true], ["for", false], ["because", false], ["line", false]], summary.waits.map((i) => [
      goTo(i, timeText(waited(i))),
      bar(waited(i) / most, kindOf[i] === "barrier" ? "barrier" : kindOf[i] === "wait_until" ? "element" : "wait"),
      `${lanes[laneOf[i]].rank}`, kindOf[i] === "barrier" ? "the barrier" : aboutText(i), reasonOf(i), placeOf(i)]))
    : element("p", { class: "hint" }, "No worker waited for another."));
  const hot = summary.rows, worst = Math.max(1, ...hot.map((row) => row.waited));
  byId("rows").replaceChildren(hot.length
    ? table([["rows", false], ["waited for", true], ["", false], ["held", true], ["regions", true]], hot.slice(0, 8).map((row) => [
      element("code", {}, row.name), timeText(row.waited), bar(row.waited / worst), timeText(row.held), row.taken.toLocaleString("en")]))
    : element("p", { class: "hint" }, "No rows were locked."));
  const races = [];
  for (let i = 0; i < count && races.length < 100; i++) if (kindOf[i] === "race") races.push(i);
  byId("s-races").hidden = !races.length;
  if (races.length)
    byId("races").replaceChildren(table([["at", true], ["worker", true], ["what was told", false]], races.map((i) => [
      goTo(i, momentText(begin[i])), `${lanes[laneOf[i]].rank}`, element("code", {}, element("span", { style: "white-space: pre-wrap" }, detailsText(raw.details[i] || {})))])));
}

function drawHead() {
  const workers = summary.workers, sum = workers.reduce((all, worker) => all.map((value, at) => value + worker.shares[at]), [0, 0, 0, 0, 0]);
  const total = sum.reduce((a, b) => a + b, 0) || 1, waits = sum[2] + sum[3] + sum[4], percent = (part) => `${Math.round((part / total) * 100)} %`;
  const hot = summary.rows[0], runs = raw.runs.length, died = workers.filter((worker) => worker.died);
  const most = [[sum[2], "for rows and locks"], [sum[3], "in barriers"], [sum[4], "for elements"]].sort((a, b) => b[0] - a[0])[0];
  byId("lead").textContent = `${plural(workers.length, "worker")}${raw.teams.length > 1 ? ` in ${raw.teams.length} teams` : ""}, ${plural(runs, "run")}, ${timeText(full.end - full.begin)} from the first start to the last end. `
    + (waits / total < 0.005 ? "The workers hardly ever waited for one another." : `Of their time, the workers spent ${percent(waits)} waiting for one another, most of it ${most[1]}.`);
  const tiles = [
    ["Time", timeText(full.end - full.begin), plural(runs, "run")],
    ["Events", count.toLocaleString("en"), plural(arrows.kind.length, "arrow")],
    ["Waiting for rows and locks", percent(sum[2]), timeText(sum[2])],
    ["Waiting in barriers", percent(sum[3]), timeText(sum[3])],
    ...(sum[4] ? [["Waiting for elements", percent(sum[4]), timeText(sum[4])]] : []),
    ...(hot && hot.waited ? [["Hottest rows", hot.name, `waited for ${timeText(hot.waited)} in all`]] : []),
    ...(summary.races ? [["Data races", `${summary.races}`, "see below"]] : []),
  ];
  byId("tiles").replaceChildren(...tiles.map(([name, value, more]) => element("div", {}, element("dt", {}, name), element("dd", {}, value, element("small", {}, more)))));
  const remarks = [];
  const lost = workers.reduce((all, worker) => all + worker.lost, 0);
  if (lost) remarks.push(`${plural(lost, "event")} came after the limit and are missing here: what is shown is the beginning.`);
  if (died.length) remarks.push(`${died.map((worker) => `Worker ${worker.rank}`).join(" and ")} did not live to the end of a run; what it was doing then is drawn up to the moment when it was found dead.`);
  byId("banner").hidden = !remarks.length;
  byId("banner").textContent = remarks.join(" ");
  byId("noticeable").textContent = timeText(raw.noticeable);
}
