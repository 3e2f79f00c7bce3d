// Stacked bars: where each worker's time went.
const SHARES = [
  ["running", "running, holding nothing", "running", ""],
  ["holding", "inside regions and locks", "hold", ""],
  ["locks", "waiting for rows and locks", "wait", "M-2 12 L12 -2 M5 19 L19 5 M-9 5 L5 -9"],
  ["barriers", "waiting in barriers", "barrier", "M-2 -2 L12 12 M5 -9 L19 5 M-9 5 L5 19"],
  ["elements", "waiting for elements", "element", "M2.5 0 V10 M7.5 0 V10"],
];

function drawShares() {
  const longest = Math.max(1, ...summary.workers.map((worker) => worker.shares.reduce((a, b) => a + b, 0)));
  const many = raw.teams.length > 1, k = textScale();
  const left = (many ? 130 : 84) * k, right = 76 * k, row = 34 * k, bar = 22 * k;
  const width = Math.max(280 * k, byId("shares").clientWidth), room = width - left - right;
  const used = SHARES.filter((_, at) => summary.workers.some((worker) => worker.shares[at] > 0));
  const patternsMade = SHARES.filter((share) => share[3]).map(([name, , ink, lines]) =>
    `<pattern id="p-${name}" width="10" height="10" patternUnits="userSpaceOnUse"><rect width="10" height="10" fill="var(--panel)"/>
     <rect width="10" height="10" fill="var(--${ink})" fill-opacity=".3"/><path d="${lines}" stroke="var(--${ink})" stroke-width="2.4"/></pattern>`);
  const fill = ([name, , ink, lines]) => (lines ? `url(#p-${name})` : `var(--${ink})`);
  const bars = summary.workers.map((worker, at) => {
    const total = worker.shares.reduce((a, b) => a + b, 0), y = at * row + 4;
    let x = left;
    const pieces = SHARES.map((share, number) => {
      const wide = (worker.shares[number] / longest) * room, part = total ? worker.shares[number] / total : 0;
      if (wide <= 0) return "";
      const text = `${Math.round(part * 100)} %`, fits = wide > 38 * k;
      const label = !fits ? "" : share[3]
        ? `<rect x="${x + wide / 2 - 17 * k}" y="${y + 3 * k}" width="${34 * k}" height="${bar - 6 * k}" rx="2" style="fill:var(--panel)" fill-opacity=".86"/>` : "";
      const ink = share[0] === "holding" ? "var(--text-on)" : "var(--ink)";
      const piece = `<g><title>worker ${worker.rank}, ${share[1]}: ${timeText(worker.shares[number])}, ${(part * 100).toFixed(1)} %</title>`
        + `<rect x="${x}" y="${y}" width="${wide}" height="${bar}" fill="${fill(share)}" data-share="${share[0]}"/>${label}`
        + (fits ? `<text x="${x + wide / 2}" y="${y + bar / 2}" text-anchor="middle" dominant-baseline="central" font-size="${12 * k}" font-weight="600" style="fill:${ink}">${text}</text>` : "")
        + "</g>";
      x += wide;
      return piece;
    });
    const name = (many ? `team ${worker.team + 1} ` : "") + `worker ${worker.rank}`;
    return `<text x="${left - 8}" y="${y + bar / 2}" text-anchor="end" dominant-baseline="central" font-size="${13 * k}">${name}</text>${pieces.join("")}`
      + `<text x="${x + 8}" y="${y + bar / 2}" dominant-baseline="central" font-size="${12 * k}" style="fill:var(--muted)">${timeText(total)}${worker.died ? " †" : ""}</text>`;
  });
  const key = used.map((share) => `<li><svg width="26" height="16" aria-hidden="true"><rect x=".5" y="1.5" width="25" height="13" rx="2" fill="${fill(share)}" stroke="var(--muted)" stroke-width=".5"/></svg>${share[1]}</li>`);
  const spoken = summary.workers.map((worker) => {
    const total = worker.shares.reduce((a, b) => a + b, 0) || 1;
    return `worker ${worker.rank}: ${SHARES.map((share, at) => `${share[1]} ${Math.round((worker.shares[at] / total) * 100)} %`).join(", ")}`;
  });
  byId("shares").innerHTML = `<ul class="legend">${key.join("")}</ul><svg width="100%" height="${summary.workers.length * row + 6}" role="img" aria-label="${spoken.join("; ")}"><defs>${patternsMade.join("")}</defs>${bars.join("")}</svg>`
    + (summary.workers.some((worker) => worker.died) ? '<p class="hint">† was killed in the middle of a run.</p>' : "");
}
