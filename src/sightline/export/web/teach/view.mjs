// The picture that is asked about, with its heatmap above it.
import { INFERNO, colour } from "../stage.mjs";

const FLAT = 1e-6; // what differs by less, as a share of the most, is the same
const LUMA = [0.299, 0.587, 0.114]; // ITU-R BT.601
const COLOURS = Array.from({ length: 256 }, (_, i) => colour(i / 255));

/** The ramp of all colours, for a key beside the picture. */
export const RAMP = `linear-gradient(to right, ${INFERNO.map((rgb) => `rgb(${rgb.join(" ")})`).join(", ")})`;

/**
 * Enlarge a map bilinearly and stretch it to 0..1. What is negative is left out, as in Grad-CAM;
 * the same evidence everywhere is 1 everywhere.
 * @param {Float64Array} shares (side, side)
 * @param {number} size of the result's side
 * @returns {Float32Array | null} null where there is no positive evidence
 */
export function heatmap(shares, size) {
  const side = Math.sqrt(shares.length);
  const ends = Array.from({ length: size }, (_, place) => {
    const at = Math.min(Math.max(((place + 0.5) * side) / size - 0.5, 0), side - 1);
    const first = Math.min(Math.floor(at), side - 2);
    return { first, share: at - first };
  });
  const between = (low, high, share) => low + share * (high - low);
  const positive = shares.map((value) => Math.max(value, 0));
  const map = new Float32Array(size * size);
  ends.forEach(({ first: top, share: down }, y) => {
    const row = positive.slice(0, side).map((_, x) => between(positive[top * side + x], positive[(top + 1) * side + x], down));
    ends.forEach(({ first: left, share }, x) => (map[y * size + x] = between(row[left], row[left + 1], share)));
  });
  const least = map.reduce((a, b) => Math.min(a, b), Infinity);
  const most = map.reduce((a, b) => Math.max(a, b), 0);
  if (!most) return null;
  return map.map((value) => (most - least > FLAT * most ? (value - least) / (most - least) : 1));
}

/** A canvas that shows a picture, a heatmap above it, and a pen. */
export class View {
  /** @param {HTMLCanvasElement} canvas square */
  constructor(canvas) {
    this.side = canvas.width;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.opacity = 0.4;
  }

  /**
   * @param {HTMLCanvasElement | null} picture square, of any size; null: none
   * @param {Float32Array | null} map (side, side) in 0..1
   * @param {number[] | null} pen where it is
   */
  draw(picture, map, pen) {
    const { context, side } = this;
    context.imageSmoothingEnabled = false; // these are all the pixels there are
    context.clearRect(0, 0, side, side);
    if (picture) context.drawImage(picture, 0, 0, side, side);
    if (map && this.opacity) {
      const image = context.getImageData(0, 0, side, side);
      this.heat(image.data, map);
      context.putImageData(image, 0, 0);
    }
    if (pen) this.ring(pen);
  }

  /** Lay a map over pixels; colour fades to grey as the map comes up. */
  heat(data, map) {
    const { opacity } = this;
    const grey = Math.min(1, 4 * opacity);
    for (let i = 0, at = 0; i < map.length; i++, at += 4) {
      const light = LUMA[0] * data[at] + LUMA[1] * data[at + 1] + LUMA[2] * data[at + 2];
      const heat = COLOURS[Math.round(255 * map[i])];
      for (let channel = 0; channel < 3; channel++) {
        const ground = data[at + channel] + grey * (light - data[at + channel]);
        data[at + channel] = ground + opacity * (heat[channel] - ground);
      }
    }
  }

  ring([x, y]) {
    for (const [width, style] of [[4, "#ffffff"], [2, "#000000"]]) {
      this.context.beginPath();
      this.context.arc(x, y, this.side / 24, 0, 2 * Math.PI);
      Object.assign(this.context, { lineWidth: width, strokeStyle: style });
      this.context.stroke();
    }
  }
}
