// The start of the page's script: mounts every interactive part.

/** The mount function of each kind of `Interactive` block: `mount(element, data)`. */
const PARTS = {};

function mountAll() {
  for (const element of document.querySelectorAll(".interactive")) {
    const mount = Object.hasOwn(PARTS, element.dataset.kind) ? PARTS[element.dataset.kind] : null;
    const source = element.querySelector(":scope > script[type='application/json']");
    if (!mount || !source) continue; // the fallback stays
    try {
      mount(element, JSON.parse(source.textContent));
    } catch (error) {
      console.error(`${element.dataset.kind}:`, error); // one part must not break the others
    }
  }
}

mountAll();
