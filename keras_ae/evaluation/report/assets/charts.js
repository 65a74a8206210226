// Scales, ticks and axes of the SVG charts. Colors and sizes are in report.css.

import { makeSvg } from "./dom.js";

/** A function from a domain to a range, with `invert`. A domain of one point maps to the middle. */
export function linearScale([low, high], [start, end]) {
  const span = high - low;
  const scale = (value) =>
    span === 0 ? (start + end) / 2 : start + ((value - low) / span) * (end - start);
  scale.invert = (place) => (end === start ? low : low + ((place - start) / (end - start)) * span);
  return scale;
}

/** The same on logarithms; the domain is positive. */
export function logScale([low, high], range) {
  const linear = linearScale([Math.log(low), Math.log(high)], range);
  const scale = (value) => linear(Math.log(value));
  scale.invert = (place) => Math.exp(linear.invert(place));
  return scale;
}

/** About `count` round numbers within [low, high]: steps of 1, 2 or 5 times a power of ten. */
export function linearTicks(low, high, count = 5) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index++) {
    ticks.push(Number((index * step).toPrecision(12)));
  }
  return ticks;
}

/** Ticks of a logarithmic axis: powers of ten, with 2 and 5 times them where there are few. */
export function logTicks(low, high, count = 5) {
  const ticks = (factors) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const factor of factors) {
        const value = Number((factor * 10 ** power).toPrecision(12));
        if (value >= low * 0.9999 && value <= high * 1.0001) found.push(value);
      }
    }
    return found;
  };
  const sets = [ticks([1]), ticks([1, 3]), ticks([1, 2, 5])];
  return sets.find((set) => set.length >= 3) ?? linearTicks(low, high, count);
}

/** A number with at most `digits` significant digits, in the notation that is shorter to read. */
export function formatNumber(value, digits = 4) {
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) {
    return value
      .toExponential(Math.max(0, digits - 2))
      .replace(/\.?0+e/, "e")
      .replace("e+", "e");
  }
  const rounded = Number(value.toPrecision(digits));
  return Math.abs(rounded) >= 10000 ? Math.round(value).toLocaleString("en-US") : String(rounded);
}

/** A share as a percentage with three digits. */
export function formatPercent(share) {
  return Number.isFinite(share) ? `${Number((100 * share).toPrecision(3))}%` : "–";
}

/**
 * Axes with grid lines and labels.
 * @param box {left, top, right, bottom}: the plot area, in pixels of the SVG element.
 * @param x, y: {scale, ticks, label}; without ticks an axis has its label alone.
 */
export function drawAxes(svg, box, x, y) {
  const axes = makeSvg("g", { class: "axes", "aria-hidden": "true" });
  for (const tick of y.ticks ?? []) {
    const place = y.scale(tick);
    axes.append(
      makeSvg("line", { class: "grid", x1: box.left, x2: box.right, y1: place, y2: place }),
      makeSvg(
        "text",
        { x: box.left - 6, y: place + 4, "text-anchor": "end" },
        (y.format ?? formatNumber)(tick),
      ),
    );
  }
  for (const tick of x.ticks ?? []) {
    const place = x.scale(tick);
    axes.append(
      makeSvg("line", { class: "tick", x1: place, x2: place, y1: box.bottom, y2: box.bottom + 4 }),
      makeSvg(
        "text",
        { x: place, y: box.bottom + 17, "text-anchor": "middle" },
        (x.format ?? formatNumber)(tick),
      ),
    );
  }
  axes.append(
    makeSvg("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
    makeSvg(
      "text",
      {
        class: "axis-label",
        x: (box.left + box.right) / 2,
        y: box.bottom + 35,
        "text-anchor": "middle",
      },
      x.label,
    ),
    makeSvg("text", { class: "axis-label", x: 0, y: box.top - 10 }, y.label),
  );
  svg.append(axes);
}

/** Call `draw(width)` now and whenever the width of an element changes. */
export function onWidth(element, draw) {
  let width = 0;
  const observer = new ResizeObserver(() => {
    const now = Math.floor(element.clientWidth);
    if (now === width || now === 0) return; // 0: inside a folded element
    width = now;
    draw(width);
  });
  observer.observe(element);
}
