// Put it all together, and again when the window, the theme or the size of text changes.
function dress() {
  readColours();
  layOut();
  canvas.style.height = `${place.height}px`;
  strip = null;
  legend();
  drawShares();
  drawHeat();
  drawAll();
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  byId("theme").textContent = name === "dark" ? "Light" : "Dark";
}

const asked = matchMedia("(prefers-color-scheme: dark)");
setTheme(location.hash.includes("dark") || (asked.matches && !location.hash.includes("light")) ? "dark" : "light");
asked.addEventListener("change", () => { setTheme(asked.matches ? "dark" : "light"); dress(); });
byId("theme").onclick = () => { setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"); dress(); };
byId("larger").onclick = () => {
  const on = document.documentElement.classList.toggle("large");
  byId("larger").setAttribute("aria-pressed", String(on));
  dress();
};

byId("arrows").value = arrows.kind.length <= 120 ? "all" : "waits";
drawHead();
drawTables();
prepareHeat();
prepareMemory();
readColours();
layOut();
view.begin = full.begin - (full.end - full.begin) * 0.01;
view.end = full.end + (full.end - full.begin) * 0.01;
dress();
let resized = 0;
addEventListener("resize", () => { cancelAnimationFrame(resized); resized = requestAnimationFrame(dress); });

/** What tests and the browser's console can look at. */
window.timeline = {
  events: count, full, view, drawn, hover, chosen, heat: heatState, memory: memoryState, lanes, show, choose, drawAll, zoomTo,
  boxOf: (i) => { const box = canvas.getBoundingClientRect(), [x, y, w, h] = boxOf(i); return [x + box.left, y + box.top, w, h]; },
  kind: (i) => kindOf[i],
  ready: true,
};
