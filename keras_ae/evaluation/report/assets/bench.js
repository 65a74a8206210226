// The anomaly bench: scores of normal and anomalous test images, and what a threshold finds.

import {
  drawAxes,
  formatNumber,
  formatPercent,
  linearScale,
  linearTicks,
  onWidth,
} from "./charts.js";
import { chooser, liveText } from "./controls.js";
import { hideFallback, make, makeSvg } from "./dom.js";
import {
  changedSides,
  decodeArray,
  decodeLevels,
  histogram,
  quantile,
  verdicts,
} from "./numbers.js";
import { loadSheet, thumbnail } from "./sprites.js";

const HEIGHT = 300;
const NUM_BINS = 60;
const NUM_SHOWN = 18; // images of each group

/** The ends of the axis: nearly all scores, and always the threshold. */
export function rangeOf(normal, anomalous, threshold) {
  const ends = [normal, anomalous].filter((scores) => scores.length);
  const low = Math.min(threshold, ...ends.map((scores) => quantile(scores, 0.005)));
  const high = Math.max(threshold, ...ends.map((scores) => quantile(scores, 0.99)));
  const margin = (high - low || 1) * 0.03;
  return [low - margin, high + margin];
}

/** The images that change sides between two thresholds, by what becomes of them. */
export function groupsOf(scores, isAnomalous, stored, now) {
  const groups = { found: [], "false alarm": [], missed: [], "no alarm": [] };
  for (const index of changedSides(scores, stored, now)) {
    const lower = now < stored; // a lower threshold calls more images anomalous
    groups[
      isAnomalous[index] ? (lower ? "found" : "missed") : lower ? "false alarm" : "no alarm"
    ].push(index);
  }
  return groups;
}

export function mount(element, data) {
  const sheets = data.sheets.map((sheet) => ({
    sheet: loadSheet(sheet.images),
    place: new Map([...decodeArray(sheet.indices)].map((index, place) => [index, place])),
    labels: sheet.labels && decodeArray(sheet.labels),
  }));
  const kinds = data.kinds.map(decodeArray);
  const runs = data.runs.map((run) => {
    const scores = decodeLevels(run.scores);
    const isAnomalous = kinds[run.kinds];
    return {
      ...run,
      scores,
      isAnomalous,
      normalScores: scores.filter((_, index) => !isAnomalous[index]).sort(),
      anomalousScores: scores.filter((_, index) => isAnomalous[index]).sort(),
    };
  });
  let run = runs[0];
  let threshold = run.threshold;
  let width = 0;
  let scale = null;

  const svg = makeSvg("svg", {
    class: "chart bench",
    "aria-label": "Histogram of the anomaly scores",
  });
  const handle = makeSvg("g", {
    class: "handle",
    role: "slider",
    tabindex: 0,
    "aria-label": "Threshold",
  });
  const plot = make("div", { class: "plot" }, svg);
  const facts = make("dl", { class: "facts" });
  const changes = make("div", { class: "changes" });
  const status = liveText("visually-hidden");
  const reset = make(
    "button",
    { type: "button", onclick: () => move(run.threshold, true) },
    "Back to the stored threshold",
  );

  function draw() {
    const range = rangeOf(run.normalScores, run.anomalousScores, run.threshold);
    const box = { left: 58, top: 26, right: width - 10, bottom: HEIGHT - 44 };
    scale = linearScale(range, [box.left, box.right]);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", HEIGHT);
    const kinds = [
      ["normal", run.normalScores, -1],
      ["anomalous", run.anomalousScores, 1],
    ].filter(([, scores]) => scores.length);
    const shares = kinds.map(([, scores]) =>
      histogram(scores, ...range, NUM_BINS).map((count) => count / scores.length),
    );
    const top = Math.max(...shares.flat());
    const middle = kinds.length > 1 ? (box.top + box.bottom) / 2 : box.bottom;
    const room = kinds.length > 1 ? (box.bottom - box.top) / 2 : box.bottom - box.top;
    drawAxes(
      svg,
      box,
      {
        scale,
        ticks: linearTicks(...range, Math.min(8, width / 90)),
        label: `anomaly score (${run.score})${width < 500 ? "" : "; the last bar has all higher ones"}`,
      },
      { scale: null, label: "share of the images of each kind" },
    );
    kinds.forEach(([kind, scores], place) => {
      const up = kinds.length === 1 || place === 1; // anomalous images above the line, normal ones below
      const bar = (box.right - box.left) / NUM_BINS;
      const group = makeSvg("g", { class: `bars ${kind}` });
      shares[place].forEach((share, bin) => {
        const height = (share / top) * (room - 22);
        if (share)
          group.append(
            makeSvg("rect", {
              x: box.left + bin * bar + 0.5,
              width: Math.max(0.5, bar - 1),
              y: up ? middle - height : middle,
              height,
            }),
          );
      });
      svg.append(
        group,
        makeSvg(
          "text",
          { class: `kind ${kind}`, x: box.left + 4, y: up ? box.top + 14 : box.bottom - 8 },
          `${scores.length.toLocaleString("en-US")} ${kind}`,
        ),
      );
    });
    svg.append(
      makeSvg("line", { class: "axis", x1: box.left, x2: box.right, y1: middle, y2: middle }),
    );
    const stored = scale(run.threshold);
    svg.append(
      makeSvg("line", { class: "stored", x1: stored, x2: stored, y1: box.top, y2: box.bottom }),
    );
    handle.replaceChildren(
      makeSvg("rect", {
        class: "grip",
        x: -12,
        y: box.top - 8,
        width: 24,
        height: box.bottom - box.top + 16,
      }),
      makeSvg("line", { x1: 0, x2: 0, y1: box.top - 8, y2: box.bottom }),
      makeSvg("circle", { cx: 0, cy: box.top - 8, r: 7 }),
    );
    svg.append(handle);
    show();
  }

  function show() {
    handle.setAttribute("transform", `translate(${scale(threshold)} 0)`);
    const found = verdicts(run.normalScores, run.anomalousScores, threshold);
    const [normal, anomalous] = [run.normalScores.length, run.anomalousScores.length];
    const count = (number) => number.toLocaleString("en-US");
    const rows = [
      [
        "Threshold",
        formatNumber(threshold, 5),
        threshold === run.threshold
          ? "the stored one"
          : `stored: ${formatNumber(run.threshold, 5)}`,
      ],
    ];
    if (anomalous) {
      rows.push(
        [
          "Recall",
          formatPercent(found.recall),
          `${count(found.found)} of ${count(anomalous)} anomalous images found`,
        ],
        [
          "Precision",
          formatPercent(found.precision),
          `${count(found.found)} of ${count(found.found + found.falseAlarms)} alarms are right`,
        ],
      );
    }
    rows.push([
      "False positives",
      formatPercent(found.falsePositiveRate),
      `${count(found.falseAlarms)} of ${count(normal)} normal images`,
    ]);
    facts.replaceChildren(
      ...rows.map(([name, value, words]) =>
        make(
          "div",
          {},
          make("dt", {}, name),
          make("dd", {}, make("strong", {}, value), make("span", {}, words)),
        ),
      ),
    );
    handle.setAttribute("aria-valuenow", String(threshold));
    const [low, high] = [scale.invert(58), scale.invert(width - 10)];
    handle.setAttribute("aria-valuemin", String(Math.min(low, threshold)));
    handle.setAttribute("aria-valuemax", String(Math.max(high, threshold)));
    handle.setAttribute(
      "aria-valuetext",
      rows.map(([name, value]) => `${name} ${value}`).join(", "),
    );
    reset.disabled = threshold === run.threshold;
    showChanges();
  }

  function showChanges() {
    changes.replaceChildren();
    const groups = groupsOf(run.scores, run.isAnomalous, run.threshold, threshold);
    const { sheet, place, labels } = sheets[run.sheet] ?? {};
    const words = {
      found: "now found",
      "false alarm": "now false alarms",
      missed: "now missed",
      "no alarm": "false alarms no more",
    };
    if (threshold === run.threshold) {
      changes.append(
        make(
          "p",
          { class: "hint" },
          "Drag the line, or move it with the arrow keys: the images that change sides appear here.",
        ),
      );
    }
    for (const [group, indices] of Object.entries(groups)) {
      if (!indices.length) continue;
      const shown = indices
        .filter((index) => place?.has(index))
        .sort(
          (first, second) =>
            Math.abs(run.scores[first] - threshold) - Math.abs(run.scores[second] - threshold),
        )
        .slice(0, NUM_SHOWN);
      const few = shown.length < indices.length ? `, ${shown.length} of them shown` : "";
      const row = make(
        "div",
        { class: `change ${group.replace(" ", "-")}` },
        make(
          "h4",
          {},
          make("strong", {}, indices.length.toLocaleString("en-US")),
          ` ${words[group]}${few}`,
        ),
      );
      const images = make("div", { class: "contact-sheet" });
      for (const index of shown) {
        const name = labels
          ? `class ${data.class_names[labels[place.get(index)]]}`
          : `image ${index}`;
        images.append(
          make(
            "figure",
            { title: `${name}, score ${formatNumber(run.scores[index], 5)}` },
            thumbnail(sheet, place.get(index), `${name}, ${words[group]}`),
          ),
        );
      }
      row.append(images);
      changes.append(row);
    }
  }

  function move(to, announce = false) {
    const [low, high] = [scale.invert(58), scale.invert(width - 10)];
    threshold = to === run.threshold ? to : Math.max(low, Math.min(high, to));
    show();
    if (announce) status.textContent = handle.getAttribute("aria-valuetext");
  }

  const scoreAt = (event) => scale.invert(event.clientX - svg.getBoundingClientRect().left);
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    svg.setPointerCapture(event.pointerId);
    svg.classList.add("dragging");
    handle.focus({ preventScroll: true });
    move(scoreAt(event));
    event.preventDefault();
  });
  svg.addEventListener(
    "pointermove",
    (event) => svg.classList.contains("dragging") && move(scoreAt(event)),
  );
  for (const name of ["pointerup", "pointercancel"])
    svg.addEventListener(name, () => svg.classList.remove("dragging"));
  handle.addEventListener("keydown", (event) => {
    const span = scale.invert(width - 10) - scale.invert(58);
    const steps = {
      ArrowLeft: -1 / 200,
      ArrowDown: -1 / 200,
      ArrowRight: 1 / 200,
      ArrowUp: 1 / 200,
      PageDown: -1 / 20,
      PageUp: 1 / 20,
    };
    if (event.key in steps) move(threshold + steps[event.key] * span);
    else if (event.key === "Home") move(Number.NEGATIVE_INFINITY);
    else if (event.key === "End") move(Number.POSITIVE_INFINITY);
    else return;
    event.preventDefault();
  });

  const nameOf = (one) => `${one.label}${one.held_out == null ? "" : `, without ${one.held_out}`}`;
  const controls = make("div", { class: "controls" });
  if (runs.length > 1) {
    controls.append(
      chooser(
        "Model",
        runs.map((one, index) => [index, nameOf(one)]),
        (index) => {
          run = runs[Number(index)];
          threshold = run.threshold;
          if (width) draw();
        },
        0,
      ),
    );
  }
  controls.append(reset);
  if (data.num_left_out) {
    const words = `${data.num_left_out} more ${data.num_left_out === 1 ? "is" : "are"} left out`;
    controls.append(make("span", { class: "key" }, `${words}, for the size of the page`));
  }
  element.append(controls, plot, facts, changes, status);
  hideFallback(element);
  onWidth(plot, (now) => {
    width = now;
    draw();
  });
}
