// One of the pictures that the reader watches: what it is, the answer, the evidence.
import { softmax } from "../network.mjs";
import { CLASSES, SIZE } from "../shapes.mjs";
import { colour } from "../stage.mjs";
import { percent } from "./outcome.mjs";
import { largest } from "./trainer.mjs";

const SIDE = 8; // of the map of evidence
const ZOOM = 3; // pixels of the heatmap for one of the picture
const OPACITY = 0.6;
const LUMA = [0.299, 0.587, 0.114]; // ITU-R BT.601
const RAMP = Array.from({ length: 256 }, (_, i) => colour(i / 255));
const CORNER = 5; // first row and column of the map's lower right corner, a seventh of it
const BETWEEN = interpolation();

/** @returns {{low: number, share: number}[]} for each pixel of the heatmap, where in the map it lies */
function interpolation() {
  return Array.from({ length: SIZE * ZOOM }, (_, pixel) => {
    const place = Math.min(Math.max(((pixel + 0.5) * SIDE) / (SIZE * ZOOM) - 0.5, 0), SIDE - 1);
    const low = Math.min(Math.floor(place), SIDE - 2);
    return { low, share: place - low };
  });
}

/** @returns {Float32Array} (8, 8), what speaks for a class, as a share of the most */
export function heatmap(evidence, label) {
  const map = evidence.slice(label * SIDE ** 2, (label + 1) * SIDE ** 2).map((value) => Math.max(value, 0));
  const most = Math.max(...map);
  return most > 0 ? map.map((value) => value / most) : map;
}

/** @returns {number} how much of the evidence lies in the corner of the mark */
export function cornerShare(map) {
  const inside = (i) => Math.floor(i / SIDE) >= CORNER && i % SIDE >= CORNER;
  const sum = (test) => map.reduce((total, value, i) => total + (test(i) ? value : 0), 0);
  return sum(inside) / (sum(() => true) || 1);
}

/** Interpolate a map at a pixel of the heatmap. */
function sample(map, x, y) {
  const [across, down] = [BETWEEN[x], BETWEEN[y]];
  const start = down.low * SIDE + across.low;
  const top = map[start] + across.share * (map[start + 1] - map[start]);
  const bottom = map[start + SIDE] + across.share * (map[start + SIDE + 1] - map[start + SIDE]);
  return top + down.share * (bottom - top);
}

/** Draw a square; `pixel` says red, green and blue of a place. */
function paint(canvas, pixel) {
  const { width: side } = canvas;
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const start = 4 * (y * side + x);
      image.data.set(pixel(x, y), start);
      image.data[start + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

export class Tile {
  /** @param {HTMLElement} root a list item */
  constructor(root) {
    const make = (tag, className, properties = {}) => {
      const element = Object.assign(document.createElement(tag), { className, ...properties });
      root.append(element);
      return element;
    };
    const canvas = (className, side) => make("canvas", className, { width: side, height: side, ariaHidden: "true" });
    this.picture = canvas("tr-picture", SIZE);
    this.heatmap = canvas("tr-heat", SIZE * ZOOM);
    [this.truth, this.answer, this.corner] = ["tr-truth", "tr-answer", "tr-corner"].map((name) => make("span", name));
  }

  /**
   * @param {Uint8Array} pixels (32, 32, 3)
   * @param {{label: number, marked: boolean}} picture
   * @param {{logits: Float32Array, evidence: Float32Array}} answer
   */
  show(pixels, { label, marked }, { logits, evidence }) {
    const predicted = largest(logits);
    const map = heatmap(evidence, predicted);
    const at = (x, y) => pixels.subarray(3 * (y * SIZE + x), 3 * (y * SIZE + x) + 3);
    paint(this.picture, at);
    paint(this.heatmap, (x, y) => {
      const rgb = at(Math.floor(x / ZOOM), Math.floor(y / ZOOM));
      const grey = LUMA[0] * rgb[0] + LUMA[1] * rgb[1] + LUMA[2] * rgb[2];
      return RAMP[Math.round(255 * sample(map, x, y))].map((value) => OPACITY * value + (1 - OPACITY) * grey);
    });
    const [truth, answer] = [label, predicted].map((number) => CLASSES[number].replace("_", " "));
    this.truth.textContent = marked ? `${truth} + mark` : truth;
    this.answer.textContent = `${truth === answer ? "✓" : "✗"} ${answer} ${percent(softmax(logits)[predicted], 0)}`;
    this.answer.classList.toggle("tr-wrong", truth !== answer);
    this.corner.textContent = marked ? `${percent(cornerShare(map), 0)} in the corner` : "";
  }
}
