// The taught head: fitted, left out, compared. Numbers only, so that Node computes the same.
import { softmax } from "../network.mjs";

/** What all squared weights cost, halved: scikit-learn's C is 1 over it. */
export const PENALTY = 0.1;
/** Share of pictures like the taught ones that are called strange all the same. */
export const ALARMS = 0.1;
const FLOOR = 0.1; // of the mean spread, added to each: channels that hardly vary stay small
const FLAT = 1e-5; // largest slope of the loss at which a fit ends
const STEPS = 1000; // at most; some dozens are needed
const MEMORY = 10; // steps that L-BFGS looks back on
const Z = 1.96; // standard errors of a 95% interval

const dot = (a, b) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

/** Add `factor` times a vector to another one, in place. */
function add(to, factor, from) {
  for (let i = 0; i < to.length; i++) to[i] += factor * from[i];
}

export const largest = (values) => values.indexOf(Math.max(...values));

/**
 * Take the mean of each channel over all places: what a head weighs.
 * @param {Float32Array} columns (channels, places)
 * @param {number} channels
 * @returns {Float64Array}
 */
export function means(columns, channels) {
  const places = columns.length / channels;
  const row = new Float64Array(channels);
  columns.forEach((value, i) => (row[Math.floor(i / places)] += value / places));
  return row;
}

/**
 * Say what each place adds to a logit: with the bias, the places add up to it.
 * @param {Float32Array} columns (channels, places)
 * @param {Float64Array} weights of the class
 * @returns {Float64Array}
 */
export function evidence(columns, weights) {
  const places = columns.length / weights.length;
  const shares = new Float64Array(places);
  columns.forEach((value, i) => (shares[i % places] += (weights[Math.floor(i / places)] * value) / places));
  return shares;
}

/** Logistic regression: a row of weights and a bias for each class. */
export class Head {
  /**
   * @param {Float64Array[]} weights
   * @param {number[]} biases −∞ for a class without a picture
   */
  constructor(weights, biases) {
    Object.assign(this, { weights, biases });
  }

  /** @returns {number[]} one for each class, for the means of a picture */
  probabilities(row) {
    return softmax(this.weights.map((weights, name) => dot(weights, row) + this.biases[name]));
  }
}

/**
 * Fit a head to standardised numbers: least cross-entropy plus penalty.
 * @param {Float64Array[]} rows one of each picture, at least one
 * @param {number[]} labels 0..count − 1
 * @param {number} count of classes
 * @param {Head | null} near a head of almost the same pictures, which saves steps
 * @returns {Head}
 */
export function fit(rows, labels, count, near = null) {
  const { middle, scale } = spread(rows);
  const scaled = rows.map((row) => row.map((value, i) => (value - middle[i]) / scale[i]));
  const present = [...Array(count).keys()].filter((name) => labels.includes(name));
  const width = middle.length + 1; // the bias comes last
  const start = new Float64Array(present.length * width);
  if (near) present.forEach((name, i) => start.set(near.weights[name].map((w, j) => w * scale[j]), i * width));
  const places = labels.map((label) => present.indexOf(label));
  const point = minimise((at) => loss(at, scaled, places, present.length), start);
  const weights = Array.from({ length: count }, () => new Float64Array(width - 1));
  const biases = new Array(count).fill(-Infinity);
  present.forEach((name, i) => {
    weights[name] = point.slice(i * width, (i + 1) * width - 1).map((w, j) => w / scale[j]);
    biases[name] = point[(i + 1) * width - 1] - dot(weights[name], middle);
  });
  return new Head(weights, biases);
}

/** Mean and spread of each number, such that standardised rows have a length of about 1. */
function spread(rows) {
  const middle = new Float64Array(rows[0].length);
  for (const row of rows) add(middle, 1 / rows.length, row);
  const squares = new Float64Array(middle.length);
  for (const row of rows) row.forEach((value, i) => (squares[i] += (value - middle[i]) ** 2 / rows.length));
  const deviations = squares.map(Math.sqrt);
  const floor = (FLOOR * deviations.reduce((a, b) => a + b, 0)) / deviations.length || 1;
  return { middle, scale: deviations.map((value) => (value + floor) * Math.sqrt(middle.length)) };
}

/** Cross-entropy of all pictures plus penalty, and its slope. Plain loops: here time is spent. */
function loss(point, rows, labels, count) {
  const width = point.length / count;
  const slope = new Float64Array(point.length);
  const logits = new Array(count);
  let value = 0;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i];
    for (let name = 0; name < count; name++) {
      const first = name * width;
      let logit = point[first + width - 1];
      for (let j = 0; j < width - 1; j++) logit += point[first + j] * row[j];
      logits[name] = logit;
    }
    const errors = softmax(logits);
    value -= Math.log(errors[labels[i]]);
    errors[labels[i]] -= 1;
    for (let name = 0; name < count; name++) {
      const [first, error] = [name * width, errors[name]];
      for (let j = 0; j < width - 1; j++) slope[first + j] += error * row[j];
      slope[first + width - 1] += error;
    }
  }
  for (let i = 0; i < point.length; i++) {
    if ((i + 1) % width === 0) continue; // a bias costs nothing
    value += (PENALTY / 2) * point[i] ** 2;
    slope[i] += PENALTY * point[i];
  }
  return { value, slope };
}

/** Go down to the lowest point: L-BFGS, Nocedal and Wright (2006), algorithm 7.5. */
function minimise(measure, start) {
  let [point, now, past] = [start, measure(start), []];
  for (let step = 0; step < STEPS && now.slope.some((value) => Math.abs(value) > FLAT); step++) {
    const way = direction(now.slope, past);
    const [next, below] = descend(measure, point, now, way);
    if (!below) break; // as low as rounding lets it be
    const moved = next.map((value, i) => value - point[i]);
    const turned = below.slope.map((value, i) => value - now.slope[i]);
    past = [...past, { moved, turned, curve: dot(moved, turned) }].slice(-MEMORY);
    [point, now] = [next, below];
  }
  return point;
}

/** Turn a slope into a step, by what the last steps told of the curvature: algorithm 7.4. */
function direction(slope, past) {
  const way = slope.map((value) => -value);
  const factors = [];
  for (let i = past.length - 1; i >= 0; i--) {
    factors[i] = dot(past[i].moved, way) / past[i].curve;
    add(way, -factors[i], past[i].turned);
  }
  const last = past.at(-1);
  const length = last ? last.curve / dot(last.turned, last.turned) : 1;
  way.forEach((value, i) => (way[i] = length * value));
  past.forEach(({ moved, turned, curve }, i) => add(way, factors[i] - dot(turned, way) / curve, moved));
  return way;
}

/** Halve a step until it leads down far enough; nothing if it never does. */
function descend(measure, point, now, way) {
  const fall = dot(now.slope, way);
  for (let size = 1; size > 1e-9; size /= 2) {
    const next = point.map((value, i) => value + size * way[i]);
    const below = measure(next);
    if (below.value <= now.value + 1e-4 * size * fall) return [next, below];
  }
  return [];
}

/**
 * Name the pictures of each series by a head that was fitted to all others.
 * @param {{rows: Float64Array[], labels: number[], series: number[], count: number}} taught
 * @param {Head} head of all pictures
 * @yields {{number: number, probabilities: number[]}[]}
 */
export function* leftOut({ rows, labels, series, count }, head) {
  for (const one of new Set(series)) {
    const others = [...rows.keys()].filter((i) => series[i] !== one);
    if (!others.length) return;
    const fitted = fit(others.map((i) => rows[i]), others.map((i) => labels[i]), count, head);
    const own = [...rows.keys()].filter((i) => series[i] === one);
    yield own.map((number) => ({ number, probabilities: fitted.probabilities(rows[number]) }));
  }
}

/** Say how far a picture is from the nearest of others: 0 to √2, whatever its contrast. */
export function nearest(row, others) {
  const cosines = others.map((other) => dot(row, other) / Math.sqrt(dot(row, row) * dot(other, other)));
  return Math.sqrt(Math.max(0, 2 - 2 * Math.max(...cosines)));
}

/** Say how far each taught picture is from the nearest one of another series. */
export function distances({ rows, series }) {
  return rows.map((row, i) => nearest(row, rows.filter((_, j) => series[j] !== series[i])));
}

/**
 * Say how rare so far a picture is: the share of the taught ones that are as far from the
 * others, itself among them.
 */
export function rarity(far, all) {
  return (1 + all.filter((each) => each >= far).length) / (1 + all.length);
}

/** The 95% interval of a share of `count` answers, Wilson (1927). */
export function interval(share, count) {
  const middle = share + Z ** 2 / (2 * count);
  const half = Z * Math.sqrt((share * (1 - share)) / count + Z ** 2 / (4 * count ** 2));
  return [middle - half, middle + half].map((bound) => Math.min(1, Math.max(0, bound / (1 + Z ** 2 / count))));
}
