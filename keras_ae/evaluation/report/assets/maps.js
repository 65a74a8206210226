// Maps of codes: every point is a test image, shown with its reconstruction on hover. Two maps side
// by side mark the same images; a selection is shown as a contact sheet.

import { formatNumber, onWidth } from "./charts.js";
import { chooser, liveText, switcher } from "./controls.js";
import { cssValue, hideFallback, make, onColorScheme } from "./dom.js";
import { decodeArray, nearestPoint, nextPoint, pointsWithin, quantile } from "./numbers.js";
import { loadSheet, thumbnail } from "./sprites.js";
import { placeBeside } from "./tips.js";

const MARGIN = 14; // pixels around the points
const NEAR = 18; // pixels: how far the pointer may be from a point
const PAGE = 48; // images of the contact sheet at first
const STEPS = 9; // colors of the scale of errors
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Places in [0, size] of coordinates in [0, 65535]. */
export function placesOf(coordinates, size, margin = MARGIN) {
  return Float32Array.from(coordinates, (value) => margin + (value / 65535) * (size - 2 * margin));
}

/** Errors as steps 0 to `STEPS` - 1 between their 2% and 98% quantiles, and these two. */
export function errorSteps(errors, steps = STEPS) {
  const sorted = Float32Array.from(errors).sort();
  const [low, high] = [quantile(sorted, 0.02), quantile(sorted, 0.98)];
  const step = (error) => Math.floor(((error - low) / (high - low || 1)) * steps);
  return {
    steps: Array.from(errors, (error) => Math.max(0, Math.min(steps - 1, step(error)))),
    low,
    high,
  };
}

/** "87 images: 60 of 7, 27 of 9": the classes of a selection, the most frequent first. */
export function describeSelection(chosen, labels, names) {
  const words = `${chosen.length} ${chosen.length === 1 ? "image" : "images"}`;
  if (!labels || !chosen.length) return words;
  const counts = new Map();
  for (const index of chosen) counts.set(labels[index], (counts.get(labels[index]) ?? 0) + 1);
  const ordered = [...counts].sort((first, second) => second[1] - first[1] || first[0] - second[0]);
  const listed = ordered.slice(0, 6).map(([label, count]) => `${count} of class ${names[label]}`);
  return `${words}: ${listed.join(", ")}${ordered.length > 6 ? ", …" : ""}`;
}

export function mount(element, data) {
  const labels = data.labels && decodeArray(data.labels);
  const sheet = loadSheet(data.images);
  const maps = data.maps.map((map) => {
    const points = decodeArray(map.points);
    const errors = map.errors && decodeArray(map.errors);
    return {
      ...map,
      x: points.filter((_, index) => index % 2 === 0),
      y: points.filter((_, index) => index % 2 === 1),
      errors,
      scale: errors && errorSteps(errors),
      sheet: null,
    };
  });
  const state = {
    by: labels ? "class" : "error",
    marked: -1,
    chosen: [],
    shown: PAGE,
    muted: null,
  };
  const status = liveText("visually-hidden");
  const hover = make("div", { class: "map-tip", hidden: true, "aria-hidden": "true" });
  const legend = make("div", { class: "legend", role: "group", "aria-label": "Colors" });
  const contact = make("div", { class: "contact" });

  const reconstructions = (map) => {
    if (map.reconstructions && !map.sheet) map.sheet = loadSheet(map.reconstructions);
    return map.sheet;
  };
  const nameOf = (index) =>
    labels ? `class ${data.class_names[labels[index]]}` : `image ${index + 1}`;
  const errorOf = (map, index) =>
    map.errors ? `${data.error_name} ${formatNumber(map.errors[index], 3)}` : "";

  const panels = maps.slice(0, 2).map((_, place) => makePanel(place));
  const redraw = () => {
    for (const panel of panels) panel.draw();
  };

  function makePanel(place) {
    const canvas = make("canvas", {
      class: "map",
      tabindex: 0,
      role: "application",
      "aria-roledescription": "map",
    });
    const area = make("div", { class: "map-area" }, canvas);
    const panel = { map: maps[place], size: 0, x: [], y: [], box: null };
    const caption = make("span", { class: "key" });
    const describe = () => {
      caption.textContent = panel.map.caption ?? "";
      canvas.setAttribute(
        "aria-label",
        `Map of ${panel.map.label}. Arrow keys go from image to image, Enter selects the nearest ones.`,
      );
    };
    const choose = chooser(
      maps.length > 2 ? (place ? "Beside it" : "Map") : "Map",
      maps.map((map, index) => [index, map.label]),
      (index) => {
        panel.map = maps[Number(index)];
        describe();
        layOut(panel.size);
        showContact();
        drawLegend();
      },
      place,
    );
    describe();

    function layOut(size) {
      panel.size = size;
      canvas.style.height = `${size}px`;
      panel.x = placesOf(panel.map.x, size);
      panel.y = placesOf(panel.map.y, size);
      panel.draw();
    }

    panel.draw = () => {
      if (!panel.size) return;
      const ratio = window.devicePixelRatio || 1;
      canvas.width = canvas.height = Math.round(panel.size * ratio);
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      const radius = panel.x.length > 1200 ? 2 : panel.x.length > 300 ? 2.6 : 3.5;
      const byError = state.by === "error" && panel.map.scale;
      const colors = Array.from({ length: byError ? STEPS : 10 }, (_, index) =>
        cssValue(`--${byError ? "heat" : "class"}-${index}`),
      );
      const plain = cssValue("--quiet");
      const chosen = state.chosen.length ? new Set(state.chosen) : null;
      const dot = (index, size) => {
        context.beginPath();
        context.arc(panel.x[index], panel.y[index], size, 0, 2 * Math.PI);
      };
      const draw = (index) => {
        const color = byError
          ? colors[panel.map.scale.steps[index]]
          : labels && state.by === "class"
            ? colors[labels[index] % 10]
            : plain;
        context.fillStyle = color;
        dot(index, radius);
        context.fill();
      };
      const isFaint = (index) =>
        (chosen && !chosen.has(index)) || (state.muted !== null && labels[index] !== state.muted);
      context.globalAlpha = 0.13;
      for (let index = 0; index < panel.x.length; index++) if (isFaint(index)) draw(index);
      context.globalAlpha = 0.85;
      for (let index = 0; index < panel.x.length; index++) if (!isFaint(index)) draw(index);
      context.globalAlpha = 1;
      if (state.marked >= 0) {
        context.strokeStyle = cssValue("--ink");
        context.lineWidth = 2;
        dot(state.marked, radius + 4);
        context.stroke();
      }
      if (panel.box) {
        const { x1, y1, x2, y2 } = panel.box;
        context.strokeStyle = cssValue("--link");
        context.setLineDash([4, 3]);
        context.strokeRect(x1, y1, x2 - x1, y2 - y1);
        context.setLineDash([]);
      }
    };

    const placeOf = (event) => {
      const frame = canvas.getBoundingClientRect();
      return [event.clientX - frame.left, event.clientY - frame.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" || event.button !== 0) return;
      const [x, y] = placeOf(event);
      panel.box = { x1: x, y1: y, x2: x, y2: y };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = placeOf(event);
      if (panel.box) {
        Object.assign(panel.box, { x2: x, y2: y });
        select(pointsWithin(panel.x, panel.y, panel.box.x1, panel.box.y1, x, y));
        return;
      }
      mark(panel, nearestPoint(panel.x, panel.y, x, y, NEAR), canvas);
    });
    canvas.addEventListener("pointerup", () => {
      if (!panel.box) return;
      const { x1, y1, x2, y2 } = panel.box;
      panel.box = null;
      if (Math.hypot(x2 - x1, y2 - y1) < 4)
        select([]); // a click clears
      else redraw();
    });
    canvas.addEventListener("pointerleave", () => mark(panel, -1, canvas));
    canvas.addEventListener("blur", () => mark(panel, -1, canvas));
    canvas.addEventListener("keydown", (event) => {
      const direction = DIRECTIONS[event.key];
      if (direction) {
        const middle = panel.size / 2;
        const next =
          state.marked < 0
            ? nearestPoint(panel.x, panel.y, middle, middle)
            : nextPoint(panel.x, panel.y, state.marked, ...direction);
        mark(panel, next, canvas);
        status.textContent = [nameOf(next), errorOf(panel.map, next)].filter(Boolean).join(", ");
      } else if (event.key === "Enter" && state.marked >= 0) {
        const [x, y] = [panel.x[state.marked], panel.y[state.marked]];
        select(pointsWithin(panel.x, panel.y, x - 20, y - 20, x + 20, y + 20));
      } else if (event.key === "Escape") {
        mark(panel, -1, canvas);
        select([]);
      } else return;
      event.preventDefault();
    });
    onWidth(area, (width) => layOut(Math.min(width, 560)));
    panel.element = make(
      "div",
      { class: "map-panel" },
      make("div", { class: "controls" }, choose, caption),
      area,
    );
    return panel;
  }

  function mark(panel, index, canvas) {
    if (index === state.marked && index < 0 === hover.hidden) return;
    state.marked = index;
    redraw();
    hover.hidden = index < 0;
    if (index < 0) return;
    const pictures = make("div", { class: "pair" });
    pictures.append(
      make("figure", {}, thumbnail(sheet, index, "image"), make("figcaption", {}, "image")),
    );
    const made = reconstructions(panel.map);
    if (made)
      pictures.append(
        make(
          "figure",
          {},
          thumbnail(made, index, "reconstruction"),
          make("figcaption", {}, "reconstruction"),
        ),
      );
    hover.replaceChildren(
      pictures,
      make("strong", {}, nameOf(index)),
      make("span", {}, errorOf(panel.map, index)),
    );
    const frame = canvas.getBoundingClientRect();
    placeBeside(hover, {
      left: frame.left + panel.x[index] - 8,
      top: frame.top + panel.y[index] - 8,
      bottom: frame.top + panel.y[index] + 8,
      width: 16,
    });
  }

  function select(chosen) {
    state.chosen = chosen;
    state.shown = PAGE;
    redraw();
    showContact();
  }

  function showContact() {
    const { map } = panels[0];
    contact.replaceChildren();
    if (!state.chosen.length) {
      contact.append(
        make("p", { class: "hint" }, "Drag a rectangle on a map to see its images here."),
      );
      return;
    }
    const words = describeSelection(state.chosen, labels, data.class_names);
    status.textContent = words;
    const clear = make("button", { type: "button" }, "Clear");
    clear.addEventListener("click", () => select([]));
    contact.append(make("p", { class: "selection" }, words, " ", clear));
    const made = reconstructions(map);
    const ordered = map.errors
      ? [...state.chosen].sort((first, second) => map.errors[second] - map.errors[first])
      : state.chosen;
    const sheetOfChosen = make("div", { class: "contact-sheet" });
    for (const index of ordered.slice(0, state.shown)) {
      const text = [nameOf(index), errorOf(map, index)].filter(Boolean).join(", ");
      const cell = make("figure", { title: text }, thumbnail(sheet, index, text));
      if (made) cell.append(thumbnail(made, index, `reconstruction by ${map.label}`));
      cell.append(
        make("figcaption", {}, labels ? data.class_names[labels[index]] : String(index + 1)),
      );
      sheetOfChosen.append(cell);
    }
    contact.append(sheetOfChosen);
    const notes = [
      made ? `Images above their reconstructions by ${map.label}` : "Images",
      map.errors ? ", the highest error first." : ".",
    ];
    contact.append(make("p", { class: "hint" }, notes.join("")));
    if (ordered.length > state.shown) {
      const more = make(
        "button",
        { type: "button" },
        `Show ${Math.min(PAGE * 4, ordered.length - state.shown)} more of ${ordered.length}`,
      );
      more.addEventListener("click", () => {
        state.shown += PAGE * 4;
        showContact();
      });
      contact.append(more);
    }
  }

  function drawLegend() {
    legend.replaceChildren();
    if (state.by === "error") {
      const { scale } = panels[0].map;
      if (!scale) {
        legend.append(
          make("span", { class: "key" }, `${panels[0].map.label} has no reconstructions.`),
        );
        return;
      }
      const bar = make("span", { class: "heat", "aria-hidden": "true" });
      for (let step = 0; step < STEPS; step++) bar.append(make("span", { class: `heat-${step}` }));
      legend.append(
        make("span", { class: "key" }, `${data.error_name}: ${formatNumber(scale.low, 3)} or less`),
        bar,
        make("span", { class: "key" }, `${formatNumber(scale.high, 3)} or more (left map)`),
      );
      return;
    }
    data.class_names.forEach((name, index) => {
      const button = make(
        "button",
        { type: "button" },
        make("span", { class: `dot class-${index % 10}`, "aria-hidden": "true" }),
        name,
      );
      const mute = (on) => {
        state.muted = on ? index : null;
        redraw();
      };
      for (const [event, on] of [
        ["pointerenter", true],
        ["focus", true],
        ["pointerleave", false],
        ["blur", false],
      ])
        button.addEventListener(event, () => mute(on));
      button.addEventListener("click", () =>
        select([...labels.keys()].filter((each) => labels[each] === index)),
      );
      legend.append(button);
    });
  }

  const controls = make("div", { class: "controls" });
  if (labels && maps.some((map) => map.errors)) {
    controls.append(
      make("span", { class: "key" }, "Color by"),
      switcher(
        "Color by",
        [
          ["class", "class"],
          ["error", "reconstruction error"],
        ],
        (by) => {
          state.by = by;
          drawLegend();
          redraw();
        },
        state.by,
      ),
    );
  }
  element.append(
    controls,
    make("div", { class: "map-panels" }, ...panels.map((panel) => panel.element)),
    legend,
    contact,
    status,
    hover,
  );
  drawLegend();
  showContact();
  onColorScheme(redraw);
  hideFallback(element);
}
