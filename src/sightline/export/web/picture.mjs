// A picture from anywhere as the square of pixels that a network takes.
import { flaw, reason } from "./file.mjs";

const LARGEST = 2048; // pixels of a side that are kept; more cost a phone its memory
const CANVAS = 2 ** 24; // pixels that a canvas may have in every browser
const GREY = 128; // around a padded picture

/** A file that no picture could be made of, in words for the reader. */
export class PictureError extends Error {}

/** Pixels in reading order, red, green and blue of each in 0..255. */
export class Picture {
  /**
   * @param {Uint8ClampedArray} rgb
   * @param {number} width
   * @param {number} height
   */
  constructor(rgb, width, height) {
    Object.assign(this, { rgb, width, height });
  }

  /**
   * Decode what the browser can decode: turned upright, transparent pixels white.
   * @param {Blob | HTMLImageElement} source
   * @returns {Promise<Picture>}
   */
  static async read(source) {
    const words = source instanceof Blob ? await flaw(source) : "";
    if (words) throw new PictureError(words);
    let bitmap;
    try {
      bitmap = await createImageBitmap(source, { colorSpaceConversion: "none" });
    } catch {
      throw new PictureError(reason(source));
    }
    let { width, height } = bitmap;
    while (width * height > CANVAS) [width, height] = halved(width, height);
    const canvas = paint(bitmap, width, height);
    bitmap.close();
    return Picture.fromCanvas(shrink(canvas));
  }

  /** @param {HTMLCanvasElement} canvas */
  static fromCanvas(canvas) {
    const { width, height } = canvas;
    const rgba = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    const rgb = new Uint8ClampedArray(width * height * 3);
    for (let i = 0, j = 0; i < rgba.length; i += 4) {
      rgb[j++] = rgba[i];
      rgb[j++] = rgba[i + 1];
      rgb[j++] = rgba[i + 2];
    }
    return new Picture(rgb, width, height);
  }

  /**
   * Scale a square part; a picture that has the size already passes unchanged.
   * @param {{left: number, top: number, side: number}} square in pixels, fractions allowed
   * @param {number} size
   * @returns {Picture}
   */
  fit({ left, top, side }, size) {
    if (this.width === size && this.height === size && side === size) return this;
    return this.scale(weights(this.width, left, side, size), weights(this.height, top, side, size));
  }

  /**
   * Scale the whole picture, and fill it up to a square with grey, as `--framing pad` does.
   * @param {number} size
   * @returns {Picture}
   */
  pad(size) {
    const longer = Math.max(this.width, this.height);
    const [width, height] = [this.width, this.height].map((side) =>
      Math.max(1, Math.floor((2 * side * size + longer) / (2 * longer))),
    );
    const across = weights(this.width, 0, this.width, width);
    const small = this.scale(across, weights(this.height, 0, this.height, height));
    const rgb = new Uint8ClampedArray(size * size * 3).fill(GREY);
    const [left, top] = [width, height].map((side) => Math.floor((size - side) / 2));
    for (let y = 0; y < height; y++) {
      rgb.set(small.rgb.subarray(y * width * 3, (y + 1) * width * 3), ((top + y) * size + left) * 3);
    }
    return new Picture(rgb, size, size);
  }

  /** Make a picture of sums of pixels: what makes up each column, and each row. */
  scale(across, down) {
    const [width, height] = [across.length, down.length];
    const narrow = new Uint8ClampedArray(width * this.height * 3);
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < width; x++) {
        sum(this.rgb, (y * this.width + across[x].first) * 3, 3, across[x].shares, narrow, (y * width + x) * 3);
      }
    }
    const small = new Uint8ClampedArray(width * height * 3);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        sum(narrow, (down[y].first * width + x) * 3, width * 3, down[y].shares, small, (y * width + x) * 3);
      }
    }
    return new Picture(small, width, height);
  }

  /** @returns {ImageData} */
  imageData() {
    const rgba = new Uint8ClampedArray(this.width * this.height * 4).fill(255);
    for (let i = 0, j = 0; j < this.rgb.length; i += 4) {
      rgba[i] = this.rgb[j++];
      rgba[i + 1] = this.rgb[j++];
      rgba[i + 2] = this.rgb[j++];
    }
    return new ImageData(rgba, this.width, this.height);
  }
}

/** Draw on white, at a given size. */
function paint(source, width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return canvas;
}

const halved = (...sides) => sides.map((side) => Math.ceil(side / 2));

/** Halve a canvas, four pixels becoming their mean, until it is small enough. */
function shrink(canvas) {
  while (Math.max(canvas.width, canvas.height) > LARGEST) {
    canvas = paint(canvas, ...halved(canvas.width, canvas.height));
  }
  return canvas;
}

/** The cubic of Keys (1981) with a = −0.5, as Pillow's BICUBIC has it. */
function cubic(x) {
  const t = Math.abs(x);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

/**
 * Say which pixels make up each new one, and with what share: wide enough when
 * shrinking that no pixel is skipped. This is how Pillow does it.
 */
function weights(length, start, side, size) {
  const scale = side / size;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: size }, (_, place) => {
    const centre = start + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * stretch + 0.5));
    const end = Math.min(length, Math.trunc(centre + 2 * stretch + 0.5));
    const shares = Array.from({ length: end - first }, (_, i) => cubic((i + first - centre + 0.5) / stretch));
    const total = shares.reduce((a, b) => a + b, 0);
    return { first, shares: shares.map((share) => share / total) };
  });
}

/** Add up weighted pixels, `step` numbers apart, into one; it is cut to 0..255. */
function sum(from, place, step, shares, to, target) {
  let [red, green, blue] = [0, 0, 0];
  for (const share of shares) {
    red += share * from[place];
    green += share * from[place + 1];
    blue += share * from[place + 2];
    place += step;
  }
  to[target] = red;
  to[target + 1] = green;
  to[target + 2] = blue;
}
