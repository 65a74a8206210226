// The start of the page's script: tables first, then every interactive part.

import { mount as mountBench } from "./bench.js";
import { mount as mountCurves } from "./curves.js";
import { mount as mountMaps } from "./maps.js";
import { enhanceTable } from "./tables.js";

/** The mount function of each kind of `Interactive` block: `mount(element, data)`. */
const PARTS = { curves: mountCurves, bench: mountBench, maps: mountMaps };

function tryTo(name, task) {
  try {
    task();
  } catch (error) {
    console.error(`${name}:`, error); // one part must not break the others
  }
}

for (const table of document.querySelectorAll("main table")) {
  tryTo("table", () => enhanceTable(table));
}
for (const element of document.querySelectorAll(".interactive")) {
  const { kind } = element.dataset;
  const source = element.querySelector(":scope > script[type='application/json']");
  if (!Object.hasOwn(PARTS, kind) || !source) continue; // the fallback stays
  tryTo(kind, () => PARTS[kind](element, JSON.parse(source.textContent)));
}

// Folded blocks are printed open.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
