import assert from "node:assert/strict";
import { test } from "node:test";
import {
  changedSides,
  decodeArray,
  histogram,
  nearestPoint,
  nextPoint,
  numAbove,
  pointsWithin,
  quantile,
  verdicts,
} from "../../keras_ae/evaluation/report/assets/numbers.js";

const packed = (array) => ({
  type: { Float32Array: "float32", Uint16Array: "uint16", Uint8Array: "uint8" }[
    array.constructor.name
  ],
  base64: Buffer.from(array.buffer).toString("base64"),
});

test("arrays survive base64", () => {
  for (const array of [
    Float32Array.of(-1.5, 3e10, 0),
    Uint16Array.of(0, 65535, 258),
    Uint8Array.of(255, 0),
  ]) {
    assert.deepEqual(decodeArray(packed(array)), array);
  }
  assert.throws(() => decodeArray({ type: "constructor", base64: "" }));
});

test("the nearest point is found, within a distance only", () => {
  const [xs, ys] = [
    [0, 10, 10],
    [0, 0, 8],
  ];
  assert.equal(nearestPoint(xs, ys, 9, 7), 2);
  assert.equal(nearestPoint(xs, ys, 9, 7, 1), -1);
  assert.equal(nearestPoint([], [], 0, 0), -1);
});

test("arrow keys go to the nearest point in their direction", () => {
  const [xs, ys] = [
    [0, 5, 2, 0],
    [0, 0, 9, 3],
  ];
  assert.equal(nextPoint(xs, ys, 0, 1, 0), 1);
  assert.equal(nextPoint(xs, ys, 0, 0, 1), 3);
  assert.equal(nextPoint(xs, ys, 0, -1, 0), 0);
});

test("a rectangle selects whichever of its corners comes first", () => {
  const [xs, ys] = [
    [1, 5, 9],
    [1, 5, 9],
  ];
  assert.deepEqual(pointsWithin(xs, ys, 6, 6, 0, 0), [0, 1]);
  assert.deepEqual(pointsWithin(xs, ys, 0, 6, 6, 0), [0, 1]);
});

test("quantiles are those of NumPy", () => {
  assert.equal(quantile([1, 2, 3, 10], 0.5), 2.5);
  assert.equal(quantile([1, 2, 3, 10], 1), 10);
  assert.ok(Math.abs(quantile([1, 2, 3, 10], 0.9) - 7.9) < 1e-12);
});

test("verdicts count scores above the threshold, as the programs do", () => {
  const [normal, anomalous] = [
    [1, 2, 2, 3],
    [2, 4, 5],
  ];
  assert.equal(numAbove(normal, 2), 1); // a score equal to the threshold is normal
  const found = verdicts(normal, anomalous, 2);
  assert.deepEqual(found, {
    falseAlarms: 1,
    found: 2,
    missed: 1,
    falsePositiveRate: 0.25,
    recall: 2 / 3,
    precision: 2 / 3,
    f1: 4 / 6,
  });
  assert.ok(Number.isNaN(verdicts(normal, anomalous, 9).precision));
  for (const threshold of [-1, 0.5, 1, 2.5, 3, 4, 7]) {
    assert.equal(numAbove(normal, threshold), normal.filter((score) => score > threshold).length);
  }
});

test("images change sides where their verdict does", () => {
  const scores = [1, 2, 3, 4];
  for (const [before, after] of [
    [1, 3],
    [3, 1],
    [0, 9],
    [2.5, 2.5],
  ]) {
    const expected = [...scores.keys()].filter(
      (index) => scores[index] > before !== scores[index] > after,
    );
    assert.deepEqual(changedSides(scores, before, after), expected);
  }
});

test("outer bins of a histogram hold what is beyond", () => {
  assert.deepEqual(histogram([-9, 0, 1.5, 4, 99], 0, 4, 4), [2, 1, 0, 2]);
});
