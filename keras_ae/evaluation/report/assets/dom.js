// Elements made of text and attributes only: data of a report is untrusted, so it never becomes
// markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Properties are attributes, or listeners where their name starts with `on`; the
 * page's policy forbids `style` attributes (set `element.style` instead). Children are elements or
 * text. */
export function make(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for an SVG element. */
export function makeSvg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Hide what stands for a part without scripts. A part calls it when it has drawn itself. */
export function hideFallback(element) {
  for (const fallback of element.querySelectorAll(":scope > .fallback")) fallback.hidden = true;
}

/** The value of a custom property of report.css, such as `--ink`: for canvases, which CSS does not
 * reach. */
export function cssValue(name, element = document.documentElement) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

/** Call `redraw` whenever the page changes between light and dark. */
export function onColorScheme(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}
