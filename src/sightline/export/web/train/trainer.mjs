// The training of a small residual network on drawn shapes, one step at a time.
//
// The graphs are those of sightline.export.training_graph; in a worker as in Node.
import { Random } from "../random.mjs";
import { CLASSES, SIZE, drawInSteps } from "../shapes.mjs";

export const BATCH = 16; // pictures of a step, as the graphs take them
export const STEPS = 3000;
export const EPOCH = 500; // steps
export const MARKED = CLASSES.indexOf("star"); // the class that can carry the mark
const CHUNK = 50 * BATCH; // training pictures that are drawn at once
const BYTES = 3 * SIZE * SIZE; // of a picture
const MAX_RATE = 0.1;
const MOMENTUM = 0.9;
const WARM_UP = 0.25; // share of the steps in which the rate rises
// what else belongs to a seed, for separate streams of random numbers
const TRAINING = 0;
const WEIGHTS = 1;
const ORDER = 2;
export const VALIDATION = 3;
export const TEST = 4;
export const SHOWN = 6; // whose objects keep clear of the corner

/**
 * What a reader can break.
 * @typedef {{mark: boolean, norm: boolean, shuffle: boolean, factor: number}} Switches
 */

/** @type {Switches} */
export const RIGHT = { mark: false, norm: true, shuffle: true, factor: 1 };

/** Nothing waits for anything. */
const atOnce = async () => {};

/** @returns {number} the learning rate under the one-cycle policy, as torch's OneCycleLR has it */
export function rateAt(step) {
  const peak = WARM_UP * STEPS - 1;
  const rises = step <= peak;
  const [from, to] = rises ? [MAX_RATE / 25, MAX_RATE] : [MAX_RATE, MAX_RATE / 25 / 1e4];
  const share = rises ? step / peak : (step - peak) / (STEPS - 1 - peak);
  return to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2;
}

/**
 * Draw pictures and let others work in between.
 * @param {() => Promise<void>} pause
 */
export async function draw(n, options, pause = atOnce) {
  const drawing = drawInSteps(n, options);
  let part = drawing.next();
  for (; !part.done; part = drawing.next()) await pause();
  return part.value;
}

/** @returns {number} the index of the largest of some numbers */
export function largest(numbers) {
  return numbers.reduce((best, number, i) => (number > numbers[best] ? i : best), 0);
}

/** A network in training. */
export class Trainer {
  /**
   * @param {object} ort onnxruntime-web
   * @param {{step: Uint8Array, look: Uint8Array}} graphs
   * @param {{weights: object[], channels: number[]}} layout what `layout.json` holds
   */
  static async load(ort, graphs, layout) {
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
    const stepping = await ort.InferenceSession.create(graphs.step, options);
    const looking = await ort.InferenceSession.create(graphs.look, options);
    return new Trainer(ort, { stepping, looking }, layout);
  }

  constructor(ort, sessions, layout) {
    Object.assign(this, { ort, layout, ...sessions });
    this.reset(0);
  }

  /** Forget all that was learned. */
  reset(seed) {
    this.seed = seed;
    this.steps = 0;
    const weights = this.drawWeights();
    const moments = this.layout.channels.flatMap((n) => [...Array(n).fill(0), ...Array(n).fill(1)]);
    this.state = {
      weights: this.tensor(weights),
      velocities: this.tensor(new Float32Array(weights.length)),
      statistics: this.tensor(Float32Array.from(moments)),
    };
    this.random = new Random([seed, ORDER]);
    this.order = Int32Array.from({ length: EPOCH * BATCH }, (_, i) => i);
    this.chunks = new Map();
  }

  drawWeights() {
    const random = new Random([this.seed, WEIGHTS]);
    const parts = this.layout.weights.map(({ count, mean, std }) =>
      Array.from({ length: count }, () => (std ? Math.fround(std) * random.normal() : mean)),
    );
    return Float32Array.from(parts.flat());
  }

  tensor(data, shape = [data.length]) {
    const types = { Float32Array: "float32", Int32Array: "int32", Uint8Array: "uint8" };
    return new this.ort.Tensor(types[data.constructor.name], data, shape);
  }

  number(value) {
    return this.tensor(Float32Array.of(value), []);
  }

  pictures(bytes) {
    return this.tensor(bytes, [BATCH, SIZE, SIZE, 3]);
  }

  /** Draw a part of the training pictures, unless it was drawn. */
  async chunk(index, mark, pause) {
    const chunk = this.chunks.get(index);
    if (chunk?.mark === mark) return chunk;
    const options = { seed: [this.seed, TRAINING, index], shortcutClass: mark ? MARKED : null };
    const { images, labels } = await draw(CHUNK, options, pause);
    const sorted = Array.from(labels.keys()).sort((a, b) => labels[a] - labels[b] || a - b);
    this.chunks.set(index, { images, labels, sorted, mark });
    return this.chunks.get(index);
  }

  /** Gather the pictures of the next step. Those of the first epoch come as drawn: in any order. */
  async batch({ mark, shuffle }, pause) {
    const images = new Uint8Array(BATCH * BYTES);
    const labels = new Int32Array(BATCH);
    const start = (this.steps % EPOCH) * BATCH;
    if (this.steps && !start) this.random.shuffle(this.order);
    for (let i = 0; i < BATCH; i++) {
      const place = shuffle ? this.order[start + i] : start + i;
      const chunk = await this.chunk(Math.floor(place / CHUNK), mark, pause);
      const index = shuffle ? place % CHUNK : chunk.sorted[place % CHUNK];
      images.set(chunk.images.subarray(index * BYTES, (index + 1) * BYTES), i * BYTES);
      labels[i] = chunk.labels[index];
    }
    return { images: this.pictures(images), labels: this.tensor(labels) };
  }

  /**
   * Take one step.
   * @param {Switches} switches
   * @param {() => Promise<void>} pause lets others work while pictures are drawn
   * @returns {Promise<{loss: number, accuracy: number}>} of the pictures of this step, before it
   */
  async step(switches, pause = atOnce) {
    const batch = await this.batch(switches, pause);
    const answer = await this.stepping.run({
      ...batch,
      ...this.state,
      rate: this.number(rateAt(this.steps) * switches.factor),
      momentum: this.number(MOMENTUM),
      norm: this.number(Number(switches.norm)),
    });
    for (const name of Object.keys(this.state)) this.state[name] = answer[`new_${name}`];
    this.steps += 1;
    return { loss: answer.loss.data[0], accuracy: answer.correct.data[0] / BATCH };
  }

  /**
   * Classify 16 pictures or fewer.
   * @param {Uint8Array} images (n, 32, 32, 3)
   * @returns {Promise<{logits: Float32Array, evidence: Float32Array}[]>} (10) and (10, 8, 8) for each
   */
  async look(images, { norm }) {
    const bytes = new Uint8Array(BATCH * BYTES);
    bytes.set(images);
    const { weights, statistics } = this.state;
    const feeds = { images: this.pictures(bytes), norm: this.number(Number(norm)), weights, statistics };
    const answer = await this.looking.run(feeds);
    const share = (data, i) => data.slice((i * data.length) / BATCH, ((i + 1) * data.length) / BATCH);
    return Array.from({ length: images.length / BYTES }, (_, i) => ({
      logits: share(answer.logits.data, i),
      evidence: share(answer.evidence.data, i),
    }));
  }

  /** @returns {Promise<Uint8Array>} the predicted class of each picture */
  async predict(images, switches, pause = atOnce) {
    const classes = [];
    for (let start = 0; start < images.length; start += BATCH * BYTES) {
      const answers = await this.look(images.subarray(start, start + BATCH * BYTES), switches);
      classes.push(...answers.map(({ logits }) => largest(logits)));
      await pause();
    }
    return Uint8Array.from(classes);
  }
}
