// Numbers of a page's data: arrays in base64, and what is counted from them. No document here.

const TYPES = {
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  float32: Float32Array,
};

/** The array in `{type, base64}`, little-endian. */
export function decodeArray({ type, base64 }) {
  if (!Object.hasOwn(TYPES, type)) throw new TypeError(`unknown type of array: ${type}`);
  const text = atob(base64);
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  return new TYPES[type](bytes.buffer);
}

/** Numbers stored as equal steps: `low + step * levels`. */
export function decodeLevels({ low, step, levels }) {
  return Float64Array.from(decodeArray(levels), (level) => low + step * level);
}

/** The index of the nearest point to (x, y), or -1 where none is within `within`. */
export function nearestPoint(xs, ys, x, y, within = Number.POSITIVE_INFINITY) {
  let [found, least] = [-1, within * within];
  for (let index = 0; index < xs.length; index++) {
    const square = (xs[index] - x) ** 2 + (ys[index] - y) ** 2;
    if (square < least) [found, least] = [index, square];
  }
  return found;
}

/** The nearest point in the direction (dx, dy) of a point, within 45 degrees; itself without any. */
export function nextPoint(xs, ys, from, dx, dy) {
  let [found, least] = [from, Number.POSITIVE_INFINITY];
  for (let index = 0; index < xs.length; index++) {
    const [right, down] = [xs[index] - xs[from], ys[index] - ys[from]];
    const along = right * dx + down * dy;
    const across = Math.abs(right * dy) + Math.abs(down * dx);
    if (along <= 0 || across > along) continue;
    const square = right * right + down * down;
    if (square < least) [found, least] = [index, square];
  }
  return found;
}

/** The indices of the points within a rectangle, whichever of its corners are given. */
export function pointsWithin(xs, ys, x1, y1, x2, y2) {
  const [left, right] = [Math.min(x1, x2), Math.max(x1, x2)];
  const [top, bottom] = [Math.min(y1, y2), Math.max(y1, y2)];
  const found = [];
  for (let index = 0; index < xs.length; index++) {
    if (xs[index] >= left && xs[index] <= right && ys[index] >= top && ys[index] <= bottom) {
      found.push(index);
    }
  }
  return found;
}

/** The value below which a share of sorted values lies. */
export function quantile(sorted, share) {
  if (!sorted.length) return Number.NaN;
  const place = (sorted.length - 1) * share;
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

/** How many of the sorted values are above a threshold. */
export function numAbove(sorted, threshold) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] > threshold) high = middle;
    else low = middle + 1;
  }
  return sorted.length - low;
}

/** What a threshold finds: images above it are called anomalous. A share of nothing is NaN. */
export function verdicts(normal, anomalous, threshold) {
  const falseAlarms = numAbove(normal, threshold);
  const found = numAbove(anomalous, threshold);
  return {
    falseAlarms,
    found,
    missed: anomalous.length - found,
    falsePositiveRate: falseAlarms / normal.length,
    recall: found / anomalous.length,
    precision: found / (found + falseAlarms),
    f1: (2 * found) / (found + falseAlarms + anomalous.length),
  };
}

/** The indices of the scores between two thresholds: the images that change sides. */
export function changedSides(scores, before, after) {
  const [low, high] = [Math.min(before, after), Math.max(before, after)];
  const changed = [];
  for (let index = 0; index < scores.length; index++) {
    if (scores[index] > low && scores[index] <= high) changed.push(index);
  }
  return changed;
}

/** The counts of values in equal bins on [low, high]; the outer bins hold what is beyond. */
export function histogram(values, low, high, bins) {
  const counts = new Array(bins).fill(0);
  for (const value of values) {
    const bin = high > low ? Math.floor(((value - low) / (high - low)) * bins) : 0;
    counts[Math.min(bins - 1, Math.max(0, bin))] += 1;
  }
  return counts;
}
