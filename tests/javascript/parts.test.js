import assert from "node:assert/strict";
import { test } from "node:test";
import * as bench from "../../keras_ae/evaluation/report/assets/bench.js";
import {
  formatNumber,
  formatPercent,
  linearScale,
  linearTicks,
  logScale,
  logTicks,
} from "../../keras_ae/evaluation/report/assets/charts.js";
import { linesOf, rangeOf } from "../../keras_ae/evaluation/report/assets/curves.js";
import {
  describeSelection,
  errorSteps,
  placesOf,
} from "../../keras_ae/evaluation/report/assets/maps.js";

test("scales map ends to ends and back", () => {
  for (const scale of [linearScale([2, 10], [100, 0]), logScale([2, 10], [100, 0])]) {
    assert.ok(Math.abs(scale(2) - 100) < 1e-9 && Math.abs(scale(10)) < 1e-9);
    assert.ok(Math.abs(scale.invert(scale(3.7)) - 3.7) < 1e-9);
  }
  assert.equal(logScale([1, 100], [0, 10])(10), 5);
  assert.equal(linearScale([3, 3], [0, 10])(3), 5);
});

test("ticks are round numbers within their range", () => {
  assert.deepEqual(linearTicks(0, 100), [0, 20, 40, 60, 80, 100]);
  assert.deepEqual(linearTicks(0.13, 0.38, 5), [0.15, 0.2, 0.25, 0.3, 0.35]);
  assert.deepEqual(linearTicks(5, 5), [5]);
  assert.deepEqual(logTicks(1, 1000), [1, 10, 100, 1000]);
  assert.deepEqual(logTicks(80, 600), [100, 200, 500]);
  for (const tick of logTicks(70, 90)) assert.ok(tick >= 70 && tick <= 90);
});

test("numbers are short", () => {
  assert.deepEqual(
    [0, 64.5234, 1234567, 1e-9, 0.5, Number.NaN].map((value) => formatNumber(value)),
    ["0", "64.52", "1,234,567", "1e-9", "0.5", "–"],
  );
  assert.deepEqual([0.01234, 1, Number.NaN].map(formatPercent), ["1.23%", "100%", "–"]);
});

test("curves have a line for training and one for validation", () => {
  const runs = [
    { epochs: [1, 2], values: { loss: [3, 2], val_loss: [4, null] } },
    { epochs: [1], values: {} },
  ];
  assert.deepEqual(
    linesOf(runs, "loss").map((line) => line.part),
    ["training", "validation"],
  );
  const [low, high] = rangeOf(linesOf(runs, "loss"), false);
  assert.ok(low < 2 && low > 1.8 && high > 4 && high < 4.2);
  assert.equal(rangeOf([], false), null);
  assert.equal(rangeOf([{ values: [-1, 0] }], true), null); // nothing that a logarithm has
});

test("a first epoch far above the rest does not flatten the others", () => {
  const values = [1e6, ...Array.from({ length: 99 }, (_, index) => 100 - index / 2)];
  assert.ok(rangeOf([{ values }], false)[1] < 200);
});

test("places of a map lie within its margins", () => {
  assert.deepEqual([...placesOf([0, 65535], 100, 10)], [10, 90]);
});

test("errors become steps of a color scale", () => {
  const { steps, low, high } = errorSteps(
    Float32Array.from({ length: 101 }, (_, index) => index),
    10,
  );
  assert.ok(Math.abs(low - 2) < 1e-9 && Math.abs(high - 98) < 1e-9);
  assert.deepEqual([steps[0], steps[50], steps[100]], [0, 5, 9]);
  assert.deepEqual(errorSteps(Float32Array.of(3, 3), 10).steps, [0, 0]);
});

test("a selection is described by its classes, the most frequent first", () => {
  const words = describeSelection([0, 1, 2], [1, 1, 0], ["cat", "dog"]);
  assert.equal(words, "3 images: 2 of class dog, 1 of class cat");
  assert.equal(describeSelection([4], null, []), "1 image");
});

test("the axis of the bench always has the threshold", () => {
  const [low, high] = bench.rangeOf([1, 2, 3], [2, 3], 50);
  assert.ok(low < 1.1 && high > 50);
  assert.deepEqual(bench.rangeOf([2], [], 2).map(Number.isFinite), [true, true]);
});

test("images that change sides are told apart", () => {
  const [scores, anomalous] = [
    [1, 2, 3, 4],
    [0, 1, 0, 1],
  ];
  assert.deepEqual(bench.groupsOf(scores, anomalous, 4.5, 2.5), {
    found: [3],
    "false alarm": [2],
    missed: [],
    "no alarm": [],
  });
  assert.deepEqual(bench.groupsOf(scores, anomalous, 0, 2.5), {
    found: [],
    "false alarm": [],
    missed: [1],
    "no alarm": [0],
  });
});
