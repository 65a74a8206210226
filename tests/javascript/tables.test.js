import assert from "node:assert/strict";
import { test } from "node:test";
import { cellNumber, sortedOrder, toCsv } from "../../keras_ae/evaluation/report/assets/tables.js";

test("a cell is its first number", () => {
  assert.equal(cellNumber("64.52 ± 0.11"), 64.52);
  assert.equal(cellNumber("634,567"), 634567);
  assert.equal(cellNumber("-0.5"), -0.5);
  assert.equal(cellNumber("1.5e-7"), 1.5e-7);
  assert.ok(Number.isNaN(cellNumber("vq_vae")));
});

test("numbers are sorted by value, and dashes come last in both directions", () => {
  const texts = ["–", "9.5", "10.25 ± 0.1", "-3", "1,000"];
  assert.deepEqual(sortedOrder(texts, false), [3, 1, 2, 4, 0]);
  assert.deepEqual(sortedOrder(texts, true), [4, 2, 1, 3, 0]);
});

test("texts are sorted in natural order, and equal cells keep theirs", () => {
  assert.deepEqual(sortedOrder(["run 10", "run 9", "a", "run 9"], false), [2, 1, 3, 0]);
});

test("CSV has plain numbers, spreads in columns of their own, and no formulas", () => {
  const rows = [
    ['say "hi", you', "64.52 ± 0.11", "634,567"],
    ["=1+1", "70.00", "–"],
    ["-d", "-3", "7"],
  ];
  assert.equal(
    toCsv(["variant", "BCE", "parameters"], rows),
    'variant,BCE,BCE (± std),parameters\r\n"say ""hi"", you",64.52,0.11,634567\r\n\'=1+1,70.00,,\r\n\'-d,-3,,7\r\n',
  );
});
