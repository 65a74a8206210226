// Training and validation losses by epoch: one thin line for each run.

import {
  drawAxes,
  formatNumber,
  linearScale,
  linearTicks,
  logScale,
  logTicks,
  onWidth,
} from "./charts.js";
import { chooser, switcher } from "./controls.js";
import { hideFallback, make, makeSvg } from "./dom.js";
import { quantile } from "./numbers.js";

const HEIGHT = 340;
const NEAR = 24; // pixels: how far the pointer may be from a point

/** The lines of a quantity: `{run, part, epochs, values}`, for those runs that have it. */
export function linesOf(runs, quantity) {
  const parts = { training: quantity, validation: `val_${quantity}` };
  return runs.flatMap((run) =>
    Object.entries(parts)
      .filter(([, key]) => run.values[key]?.some(Number.isFinite))
      .map(([part, key]) => ({ run, part, epochs: run.epochs, values: run.values[key] })),
  );
}

/**
 * The range of the values shown. The first epochs may be far above the rest: on a linear axis of
 * many values the highest 2% are cut off. A logarithmic axis has the positive values alone.
 */
export function rangeOf(lines, logarithmic) {
  const values = lines
    .flatMap((line) => line.values)
    .filter((value) => Number.isFinite(value) && (value > 0 || !logarithmic));
  if (!values.length) return null;
  values.sort((first, second) => first - second);
  const [low, high] = [
    values[0],
    logarithmic || values.length < 50 ? values.at(-1) : quantile(values, 0.98),
  ];
  if (logarithmic) return low === high ? [low / 2, high * 2] : [low / 1.03, high * 1.03];
  const margin = (high - low || Math.abs(high) || 1) * 0.05;
  return [low - margin, high + margin];
}

export function mount(element, data) {
  const labels = [...new Set(data.runs.map((run) => run.label))];
  const state = {
    quantity: data.quantities[0].key,
    logarithmic: false,
    hidden: new Set(),
    focus: null,
  };
  const svg = makeSvg("svg", { class: "chart", role: "img" });
  const readout = make("div", { class: "readout", "aria-hidden": "true" });
  const plot = make("div", { class: "plot" }, svg, readout);
  const legend = make("div", { class: "legend", role: "group", "aria-label": "Lines shown" });
  let width = 0;
  let points = [];

  const redraw = () => width && draw();
  for (const label of labels) {
    const { color, dash } = data.runs.find((run) => run.label === label);
    const swatch = makeSvg(
      "svg",
      { class: "swatch", width: 22, height: 10, "aria-hidden": "true" },
      makeSvg("line", {
        class: `series-${color % 12}`,
        "data-dash": dash % 4,
        x1: 1,
        x2: 21,
        y1: 5,
        y2: 5,
      }),
    );
    const button = make("button", { type: "button", "aria-pressed": "true" }, swatch, label);
    const focus = (on) => {
      state.focus = on && !state.hidden.has(label) ? label : null;
      highlight();
    };
    button.addEventListener("click", () => {
      const isHidden = !state.hidden.delete(label);
      if (isHidden) state.hidden.add(label);
      button.setAttribute("aria-pressed", String(!isHidden));
      state.focus = null;
      redraw();
    });
    for (const [name, on] of [
      ["pointerenter", true],
      ["focus", true],
      ["pointerleave", false],
      ["blur", false],
    ]) {
      button.addEventListener(name, () => focus(on));
    }
    legend.append(button);
  }

  function highlight() {
    svg.classList.toggle("has-focus", state.focus !== null);
    for (const path of svg.querySelectorAll("path.line")) {
      path.classList.toggle("focused", path.dataset.label === state.focus);
    }
  }

  function draw() {
    svg.replaceChildren();
    readout.hidden = true;
    points = [];
    const quantity = data.quantities.find((one) => one.key === state.quantity);
    const lines = linesOf(data.runs, state.quantity).filter(
      (line) => !state.hidden.has(line.run.label),
    );
    const range = rangeOf(lines, state.logarithmic);
    const box = { left: 58, top: 26, right: width - 10, bottom: HEIGHT - 44 };
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", HEIGHT);
    svg.setAttribute(
      "aria-label",
      `${quantity.name} by epoch, ${lines.length} lines; the numbers are in the table below`,
    );
    if (!range) {
      svg.append(
        makeSvg(
          "text",
          { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" },
          "No values to draw.",
        ),
      );
      return;
    }
    const epochs = lines.flatMap((line) => [line.epochs[0], line.epochs.at(-1)]);
    const ends = [Math.min(...epochs), Math.max(...epochs)];
    const x = linearScale(ends, [box.left + 4, box.right - 4]);
    const y = (state.logarithmic ? logScale : linearScale)(range, [box.bottom, box.top]);
    const xTicks = [...new Set(linearTicks(...ends, Math.min(8, width / 80)).map(Math.round))];
    drawAxes(
      svg,
      box,
      { scale: x, ticks: xTicks, label: "epoch" },
      {
        scale: y,
        ticks: (state.logarithmic ? logTicks : linearTicks)(...range),
        label: `${quantity.name}, ${data.unit}`,
      },
    );
    // An inner SVG element cuts off what is above the range.
    const inside = makeSvg("svg", {
      x: box.left,
      y: box.top,
      width: box.right - box.left,
      height: box.bottom - box.top,
      viewBox: `${box.left} ${box.top} ${box.right - box.left} ${box.bottom - box.top}`,
    });
    for (const line of lines) {
      let path = "";
      line.values.forEach((value, index) => {
        const usable = Number.isFinite(value) && (value > 0 || !state.logarithmic);
        if (!usable) return;
        const [left, top] = [x(line.epochs[index]), y(value)];
        path += `${path && Number.isFinite(line.values[index - 1]) ? "L" : "M"}${left.toFixed(1)},${top.toFixed(1)}`;
        points.push({ left, top, line, index });
      });
      inside.append(
        makeSvg("path", {
          class: `line ${line.part} series-${line.run.color % 12}`,
          "data-dash": line.run.dash % 4,
          "data-label": line.run.label,
          d: path,
        }),
      );
      if (line.values.length === 1 && path) {
        const { left, top } = points.at(-1);
        inside.append(
          makeSvg("circle", {
            class: `dot series-${line.run.color % 12}`,
            cx: left,
            cy: top,
            r: 3,
          }),
        );
      }
    }
    svg.append(inside);
    highlight();
  }

  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect();
    const [left, top] = [event.clientX - frame.left, event.clientY - frame.top];
    let [nearest, least] = [null, NEAR * NEAR];
    for (const point of points) {
      const square = (point.left - left) ** 2 + (point.top - top) ** 2;
      if (square < least) [nearest, least] = [point, square];
    }
    state.focus = nearest?.line.run.label ?? null;
    highlight();
    readout.hidden = !nearest;
    if (!nearest) return;
    const { run, part, epochs, values } = nearest.line;
    readout.replaceChildren(
      make("strong", {}, run.label),
      ` seed ${run.seed}${run.held_out == null ? "" : `, without ${run.held_out}`}`,
      make("br"),
      `${part}, epoch ${epochs[nearest.index]}: ${formatNumber(values[nearest.index], 5)}`,
    );
    const right = nearest.left > width / 2;
    readout.style.left = right ? "" : `${nearest.left + 14}px`;
    readout.style.right = right ? `${width - nearest.left + 14}px` : "";
    readout.style.top = `${Math.max(0, Math.min(nearest.top - 20, HEIGHT - 90))}px`;
  });
  svg.addEventListener("pointerleave", () => {
    state.focus = null;
    readout.hidden = true;
    highlight();
  });

  const controls = make("div", { class: "controls" });
  if (data.quantities.length > 1) {
    controls.append(
      chooser(
        "Loss",
        data.quantities.map((one) => [one.key, one.name]),
        (key) => {
          state.quantity = key;
          redraw();
        },
        state.quantity,
      ),
    );
  }
  controls.append(
    switcher(
      "Axis of the loss",
      [
        [false, "linear"],
        [true, "log"],
      ],
      (on) => {
        state.logarithmic = on;
        redraw();
      },
      false,
    ),
    make("span", { class: "key" }, "solid: validation, faint: training"),
  );
  const table = make("details", {}, make("summary", {}, "Last and best losses as a table"));
  table.append(...element.querySelector(":scope > .fallback").childNodes);
  element.append(controls, plot, legend, table);
  hideFallback(element);
  onWidth(plot, (now) => {
    width = now;
    draw();
  });
}
