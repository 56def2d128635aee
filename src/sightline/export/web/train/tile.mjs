// One of the pictures that the reader watches: what it is, the answer, the evidence.
import { colour } from "../stage.mjs";
import { CLASSES, SIZE } from "../shapes.mjs";
import { percent } from "./outcome.mjs";
import { largest } from "./trainer.mjs";

const SIDE = 8; // of the map of evidence
const ZOOM = 3; // pixels of the heatmap for one of the picture
const OPACITY = 0.6;
const LUMA = [0.299, 0.587, 0.114]; // ITU-R BT.601
const CORNER = 6; // first row and column of the map that the mark can touch

/** @returns {number[]} shares of all classes */
function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((value) => value / sum);
}

/** @returns {Float32Array} (8, 8), what speaks for a class, as a share of the most */
function stretched(evidence, label) {
  const map = evidence.subarray(label * SIDE ** 2, (label + 1) * SIDE ** 2).map((value) => Math.max(value, 0));
  const most = Math.max(...map);
  return most > 0 ? map.map((value) => value / most) : map;
}

/** @returns {number} how much of the evidence lies in the corner of the mark */
export function cornerShare(map) {
  let [corner, all] = [0, 0];
  map.forEach((value, i) => {
    all += value;
    if (Math.floor(i / SIDE) >= CORNER && i % SIDE >= CORNER) corner += value;
  });
  return all ? corner / all : 0;
}

/** Interpolate a map at a place, in shares of the picture. */
function sample(map, x, y) {
  const place = (share) => Math.min(Math.max(share * SIDE - 0.5, 0), SIDE - 1);
  const [u, v] = [place(x), place(y)];
  const [column, row] = [u, v].map((value) => Math.min(Math.floor(value), SIDE - 2));
  const at = (down, right) => map[(row + down) * SIDE + column + right];
  const along = (down) => at(down, 0) + (u - column) * (at(down, 1) - at(down, 0));
  return along(0) + (v - row) * (along(1) - along(0));
}

/** Draw pixels (side, side, 3). */
function paint(canvas, side, pixel) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  for (let i = 0; i < side * side; i++) image.data.set([...pixel(i % side, Math.floor(i / side)), 255], 4 * i);
  context.putImageData(image, 0, 0);
}

export class Tile {
  /** @param {HTMLElement} root a list item */
  constructor(root) {
    this.root = root;
    const make = (tag, className, parent = root) => {
      const element = Object.assign(document.createElement(tag), { className });
      parent.append(element);
      return element;
    };
    const canvas = (side, name) => Object.assign(make("canvas", name), { width: side, height: side });
    [this.picture, this.heatmap] = [canvas(SIZE, "tr-picture"), canvas(SIZE * ZOOM, "tr-heat")];
    for (const part of [this.picture, this.heatmap]) part.setAttribute("aria-hidden", "true");
    [this.truth, this.answer, this.corner] = ["tr-truth", "tr-answer", "tr-corner"].map((name) => make("span", name));
  }

  /**
   * @param {Uint8Array} pixels (32, 32, 3)
   * @param {{label: number, marked: boolean}} picture
   * @param {{logits: Float32Array, evidence: Float32Array}} answer
   */
  show(pixels, { label, marked }, { logits, evidence }) {
    const predicted = largest(logits);
    const map = stretched(evidence, predicted);
    paint(this.picture, SIZE, (x, y) => pixels.subarray(3 * (y * SIZE + x), 3 * (y * SIZE + x) + 3));
    paint(this.heatmap, SIZE * ZOOM, (x, y) => {
      const start = 3 * (Math.floor(y / ZOOM) * SIZE + Math.floor(x / ZOOM));
      const grey = LUMA.reduce((sum, share, i) => sum + share * pixels[start + i], 0);
      const heat = colour(sample(map, (x + 0.5) / (SIZE * ZOOM), (y + 0.5) / (SIZE * ZOOM)));
      return heat.map((value) => OPACITY * value + (1 - OPACITY) * grey);
    });
    const right = predicted === label;
    this.truth.textContent = marked ? `${CLASSES[label]} + mark` : CLASSES[label];
    this.answer.textContent = `${right ? "✓" : "✗"} ${CLASSES[predicted]} ${percent(softmax(logits)[predicted], 0)}`;
    this.answer.classList.toggle("tr-wrong", !right);
    this.corner.textContent = marked ? `${percent(cornerShare(map), 0)} in the corner` : "";
  }
}
