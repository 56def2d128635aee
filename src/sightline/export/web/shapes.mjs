// Drawn shapes: pictures whose object, and whose shortcut, are known exactly.
//
// Draws, byte for byte, what sightline.data.shapes draws: the same random numbers in the
// same order, and the same single precision: `fround` after every operation.
import { Random } from "./random.mjs";

export const SIZE = 32; // pixels

const CHUNK = 1000; // pictures whose random numbers are drawn together
const PIXELS = SIZE * SIZE;
const MARK = markPixels(); // indices of the pixels of the shortcut
const COS_36 = 0.80901699;
const SIN_36 = 0.58778525;

const { abs, cos, floor, fround, max, min, sin, sqrt } = Math;
const add = (a, b) => fround(fround(a) + fround(b));
const subtract = (a, b) => fround(fround(a) - fround(b));
const times = (a, b) => fround(fround(a) * fround(b));
const divide = (a, b) => fround(fround(a) / fround(b));
const clip = (a) => min(max(a, 0), 1);
const blend = (below, above, cover) => add(below, times(cover, subtract(above, below)));
const length = (a, b) => fround(sqrt(add(times(a, a), times(b, b))));

/**
 * Functions of the plane that are negative inside each shape.
 *
 * A shape fits into a circle of radius 1; v grows downwards.
 */
const OUTLINES = {
  disc: (u, v) => subtract(length(u, v), 0.9),
  ring: (u, v) => subtract(abs(subtract(length(u, v), 0.72)), 0.24),
  square: (u, v) => subtract(max(abs(u), abs(v)), 0.78),
  frame: (u, v) => subtract(abs(subtract(max(abs(u), abs(v)), 0.66)), 0.2),
  triangle: (u, v) => subtract(max(add(times(abs(u), 0.866), times(v, 0.5)), -v), 0.52),
  cross: (u, v) =>
    max(subtract(max(abs(u), abs(v)), 0.95), subtract(min(abs(u), abs(v)), 0.3)),
  star,
  crescent: (u, v) =>
    max(subtract(length(u, v), 0.95), subtract(0.62, length(subtract(u, 0.45), v))),
  bar_pair: (u, v) =>
    max(subtract(abs(subtract(abs(u), 0.55)), 0.25), subtract(abs(v), 0.9)),
  heart(u, v) {
    const bend = times(0.75, fround(sqrt(add(abs(u), 1e-6))));
    const lift = subtract(times(1.15, subtract(0.25, v)), bend);
    return subtract(add(times(u, u), times(lift, lift)), 0.82);
  },
};

/** Names of the ten shapes, in the order of the labels. */
export const CLASSES = Object.keys(OUTLINES);

function star(u, v) {
  let along = v;
  let across = abs(u);
  for (const cosine of [COS_36, -COS_36]) { // fold the five arms onto the lowest
    const over = subtract(times(cosine, across), times(SIN_36, along));
    const beyond = times(2, max(over, 0));
    along = add(along, times(SIN_36, beyond));
    across = subtract(across, times(cosine, beyond));
  }
  return subtract(add(times(0.662583, along), times(0.900013, abs(across))), 0.56);
}

/**
 * @typedef {object} Shapes drawn pictures with everything that is known about them
 * @property {Uint8Array} images (n, 32, 32, 3)
 * @property {Uint8Array} labels (n), indices into CLASSES
 * @property {Uint8Array} masks (n, 32, 32), 1 where the object can be seen
 * @property {Uint8Array} shortcuts (n, 32, 32), 1 where the planted mark is
 */

/**
 * Draw pictures, as many of each class as of any other, with a pause after every
 * hundred, for whatever else waits.
 *
 * The options are those of `draw_shapes` in sightline.data.shapes.
 * @param {number} n
 * @param {{seed?: number | number[], shortcutClass?: number | null,
 *   shortcutProbability?: number, otherProbability?: number,
 *   shortcutOn?: boolean | boolean[] | null, noise?: number,
 *   contrast?: [number, number], radius?: [number, number]}} options
 * @returns {Generator<number, Shapes>} yields how many pictures are done
 */
export function* drawInSteps(n, options = {}) {
  const { seed = 0, noise = 0.06, contrast = [0.25, 0.6], radius = [5.5, 10] } = options;
  const random = new Random(seed);
  const labels = Uint8Array.from({ length: n }, (_, i) => i % CLASSES.length);
  random.shuffle(labels);
  const marked = chooseMarked(random, labels, options);
  const images = new Uint8Array(n * PIXELS * 3);
  const masks = new Uint8Array(n * PIXELS);
  const shortcuts = new Uint8Array(n * PIXELS);
  for (let start = 0; start < n; start += CHUNK) {
    const count = min(CHUNK, n - start);
    const scenes = drawScenes(random, count, contrast, radius);
    for (let i = 0; i < count; i++) {
      const index = start + i;
      const part = (array, size) => array.subarray(index * size, (index + 1) * size);
      const mask = part(masks, PIXELS);
      const cover = drawObject(labels[index], scenes.objects, i);
      cover.forEach((share, pixel) => (mask[pixel] = share > 0.5));
      const pixels = paint(cover, scenes, i);
      if (marked[index]) plant(pixels, mask, part(shortcuts, PIXELS));
      develop(pixels, noise, random, part(images, 3 * PIXELS));
      if (i % 100 === 99) yield index + 1;
    }
  }
  return { images, labels, masks, shortcuts };
}

/** @returns {boolean[]} which pictures carry the shortcut */
function chooseMarked(random, labels, options) {
  const { shortcutClass = null, shortcutOn = null } = options;
  const { shortcutProbability = 1, otherProbability = 0 } = options;
  const numbers = Array.from(labels, () => random.uniform()); // whatever the options
  if (shortcutOn !== null) return numbers.map((_, i) => shortcutOn[i] ?? shortcutOn);
  if (shortcutClass === null) return numbers.map(() => false);
  const chances = Array.from(labels, (label) =>
    label === shortcutClass ? shortcutProbability : otherProbability,
  );
  return numbers.map((number, i) => number < chances[i]);
}

/** Draw all random numbers of a chunk but the noise, in the order of the Python module. */
function drawScenes(random, n, contrast, radius) {
  const fill = (array, draw) => {
    for (let i = 0; i < array.length; i++) array[i] = draw();
    return array;
  };
  const numbers = (low, high) => fill(new Float64Array(n), () => random.uniform(low, high));
  const singles = (low, high, each = 1) =>
    fill(new Float32Array(n * each), () => random.uniform(low, high));
  const normals = (each) => fill(new Float32Array(n * each), () => random.normal());
  const clouds = (cells) => ({ ...interpolation(cells), knots: normals(3 * cells * cells) });
  const blob = () => ({
    x: numbers(2, SIZE - 2),
    y: numbers(2, SIZE - 2),
    size: numbers(1, 2.4),
    colour: singles(0.1, 0.9, 3),
  });
  return {
    objects: {
      size: numbers(...radius),
      angle: numbers(-0.35, 0.35),
      x: numbers(-1, 1),
      y: numbers(-1, 1),
    },
    coarse: clouds(4),
    fine: clouds(9),
    shade: singles(-0.15, 0.15, 3),
    depth: singles(0, 0.12),
    stripes: {
      angle: numbers(0, Math.PI),
      frequency: numbers(0.5, 1.3),
      phase: numbers(0, 2 * Math.PI),
    },
    direction: normals(3),
    contrast: singles(...contrast),
    grain: clouds(6),
    blobs: [blob(), blob()],
  };
}

/** @returns {Float32Array} how much of each pixel the object covers, 0 to 1 */
function drawObject(label, objects, i) {
  const outline = OUTLINES[CLASSES[label]];
  const room = max(SIZE / 2 - 0.95 * objects.size[i], 0); // keeps the object inside
  const x = SIZE / 2 + objects.x[i] * room;
  const y = SIZE / 2 + objects.y[i] * room;
  const size = fround(objects.size[i]);
  const cosine = fround(cos(objects.angle[i]));
  const sine = fround(sin(objects.angle[i]));
  const cover = new Float32Array(PIXELS);
  for (let pixel = 0; pixel < PIXELS; pixel++) {
    const right = subtract((pixel % SIZE) + 0.5, x);
    const down = subtract(floor(pixel / SIZE) + 0.5, y);
    const u = divide(add(times(cosine, right), times(sine, down)), size);
    const v = divide(subtract(times(cosine, down), times(sine, right)), size);
    cover[pixel] = clip(subtract(0.5, times(outline(u, v), size)));
  }
  return cover;
}

/** @returns {Float32Array} colours (3, 32, 32) of an object on its background */
function paint(cover, scenes, i) {
  const [coarse, fine, grain] = [scenes.coarse, scenes.fine, scenes.grain].map((clouds) =>
    drawClouds(clouds, i),
  );
  const stripes = drawStripes(scenes.stripes, i);
  const blobs = scenes.blobs.map((blob) => drawBlob(blob, i));
  const direction = scenes.direction.subarray(3 * i, 3 * i + 3);
  const largest = max(...direction.map(abs));
  const pixels = new Float32Array(3 * PIXELS);
  for (let channel = 0; channel < 3; channel++) {
    const shade = scenes.shade[3 * i + channel];
    const [colour, other] = scenes.blobs.map((blob) => blob.colour[3 * i + channel]);
    const shift = times(divide(direction[channel], largest), scenes.contrast[i]);
    const first = channel * PIXELS;
    let sum = 0;
    for (let pixel = 0; pixel < PIXELS; pixel++) {
      const at = first + pixel;
      const clouds = add(add(0.5, times(0.14, coarse[at])), times(0.1, fine[at]));
      pixels[at] = add(add(clouds, shade), times(scenes.depth[i], stripes[pixel]));
      sum += pixels[at];
    }
    const mean = add(sum / PIXELS, shift);
    for (let pixel = 0; pixel < PIXELS; pixel++) {
      const at = first + pixel;
      const one = blend(pixels[at], colour, blobs[0][pixel]);
      const background = blend(one, other, blobs[1][pixel]);
      pixels[at] = blend(background, add(mean, times(0.08, grain[at])), cover[pixel]);
    }
  }
  return pixels;
}

/** Weights of two neighbouring knots for each of the 32 pixels of a line. */
function interpolation(cells) {
  const place = Float32Array.from({ length: SIZE }, (_, i) => i * ((cells - 1) / (SIZE - 1)));
  const low = Uint8Array.from(place, (value) => min(value, cells - 2));
  const near = place.map((value, i) => 1 - (value - low[i]));
  const far = place.map((value, i) => 1 - (low[i] + 1 - value));
  return { cells, low, near, far };
}

/** @returns {Float32Array} smooth colour noise (3, 32, 32) */
function drawClouds({ cells, low, near, far, knots }, i) {
  const clouds = new Float32Array(3 * PIXELS);
  const line = new Float32Array(cells);
  for (let row = 0; row < 3 * SIZE; row++) {
    const y = row % SIZE;
    const above = ((3 * i + floor(row / SIZE)) * cells + low[y]) * cells;
    // the products are exact in double precision: each sum is rounded once, where it is stored
    for (let cell = 0; cell < cells; cell++)
      line[cell] = near[y] * knots[above + cell] + far[y] * knots[above + cells + cell];
    for (let x = 0; x < SIZE; x++)
      clouds[row * SIZE + x] = near[x] * line[low[x]] + far[x] * line[low[x] + 1];
  }
  return clouds;
}

/** @returns {Float32Array} waves (32, 32), -1 to 1 */
function drawStripes({ angle, frequency, phase }, i) {
  const waves = (slope, start, wave) =>
    Float32Array.from({ length: SIZE }, (_, line) =>
      wave(frequency[i] * slope * (line + 0.5) + start),
    );
  const [sinAcross, cosAcross] = [sin, cos].map((wave) => waves(cos(angle[i]), phase[i], wave));
  const [sinDown, cosDown] = [sin, cos].map((wave) => waves(sin(angle[i]), 0, wave));
  const stripes = new Float32Array(PIXELS);
  for (let y = 0; y < SIZE; y++)
    for (let x = 0; x < SIZE; x++)
      stripes[y * SIZE + x] = add(times(sinAcross[x], cosDown[y]), times(cosAcross[x], sinDown[y]));
  return stripes;
}

/** @returns {Float32Array} the cover (32, 32) of one small dot, 0 to 1 */
function drawBlob(blob, i) {
  const cover = new Float32Array(PIXELS);
  for (let pixel = 0; pixel < PIXELS; pixel++) {
    const right = subtract((pixel % SIZE) + 0.5, blob.x[i]);
    const down = subtract(floor(pixel / SIZE) + 0.5, blob.y[i]);
    cover[pixel] = clip(add(subtract(blob.size[i], length(right, down)), 0.5));
  }
  return cover;
}

function markPixels() {
  const line = [6, 5, 4, 3, 2].map((distance) => SIZE - distance); // rows, and columns
  return line.flatMap((row) => line.map((column) => row * SIZE + column));
}

/** Put the checker over a picture, and out of the mask of its object. */
function plant(pixels, mask, shortcut) {
  MARK.forEach((pixel, i) => {
    for (let channel = 0; channel < 3; channel++)
      pixels[channel * PIXELS + pixel] = i % 2 ? 0.95 : 0.05;
    mask[pixel] = 0;
    shortcut[pixel] = 1;
  });
}

/** Add the noise and write the levels (32, 32, 3). */
function develop(pixels, noise, random, levels) {
  for (let channel = 0; channel < 3; channel++)
    for (let pixel = 0; pixel < PIXELS; pixel++) {
      const value = add(pixels[channel * PIXELS + pixel], times(noise, random.normal()));
      levels[3 * pixel + channel] = add(times(clip(value), 255), 0.5);
    }
}
