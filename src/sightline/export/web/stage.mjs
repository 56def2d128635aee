// The picture on the screen: heatmap above it, eraser in hand.

// matplotlib's inferno, 33 of its colours from no evidence to most
export const INFERNO = [
  [0, 0, 4], [4, 3, 18], [11, 7, 36], [21, 11, 55], [33, 12, 74], [47, 10, 91],
  [61, 9, 101], [74, 12, 107], [87, 16, 110], [100, 21, 110], [113, 25, 110], [125, 30, 109],
  [138, 34, 106], [151, 39, 102], [163, 44, 97], [176, 49, 91], [188, 55, 84], [199, 62, 76],
  [210, 70, 68], [219, 80, 59], [228, 90, 49], [235, 102, 40], [241, 115, 29], [246, 128, 19],
  [249, 142, 9], [251, 157, 7], [252, 172, 17], [251, 188, 33], [249, 203, 53], [245, 219, 76],
  [242, 234, 105], [243, 246, 138], [252, 255, 164],
];
const LUMA = [0.299, 0.587, 0.114]; // ITU-R BT.601
const CHANGES = 60; // that can be undone

/** Colour of evidence in 0..1, as red, green and blue in 0..255. */
export function colour(evidence) {
  const place = Math.min(Math.max(evidence, 0), 1) * (INFERNO.length - 1);
  const low = Math.min(Math.floor(place), INFERNO.length - 2);
  return INFERNO[low].map((value, i) => value + (place - low) * (INFERNO[low + 1][i] - value));
}

/** Send an element all that a pointer does until it is let go. */
export function capture(element, { pointerId }) {
  try {
    element.setPointerCapture(pointerId);
  } catch {
    // the pointer is gone already, or a script made it: the element gets what is above it
  }
}

/** A canvas with a picture of `size` pixels a side, its heatmap and what is erased. */
export class Stage {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number} size pixels of the picture's side
   * @param {number[]} mean red, green and blue in 0..1 of erased pixels
   * @param {() => void} changed called when something was erased or put back
   */
  constructor(canvas, size, mean, changed) {
    Object.assign(this, { canvas, size, changed });
    this.fill = mean.map((value) => Math.round(value * 255));
    this.rgb = new Uint8ClampedArray(size * size * 3);
    this.map = null;
    this.opacity = 0.6;
    this.brush = 0.2; // diameter, as a share of the side
    this.erasing = false;
    this.cursor = null; // where the brush is, in pixels of the picture
    this.small = document.createElement("canvas");
    this.small.width = this.small.height = size;
    this.forget();
    this.listen();
  }

  /** Show another picture: (size, size) pixels. */
  show(rgb) {
    this.rgb = rgb;
    this.map = null;
    this.draw();
  }

  /** Put everything erased back, beyond undoing. */
  forget() {
    this.mask = new Uint8Array(this.size ** 2);
    this.past = [];
  }

  get erased() {
    return this.mask.reduce((a, b) => a + b, 0) / this.mask.length;
  }

  /** Colour of pixel `i` after erasing. */
  pixel(i) {
    return this.mask[i] ? this.fill : [this.rgb[3 * i], this.rgb[3 * i + 1], this.rgb[3 * i + 2]];
  }

  /** What the network gets: (3, size, size) in 0..1, as it is or as it was before erasing. */
  pixels(whole = false) {
    const count = this.size ** 2;
    const planes = new Float32Array(3 * count);
    for (let i = 0; i < count; i++) {
      const rgb = whole ? this.rgb.subarray(3 * i, 3 * i + 3) : this.pixel(i);
      rgb.forEach((value, channel) => (planes[channel * count + i] = value / 255));
    }
    return planes;
  }

  undo() {
    if (this.past.length) this.mask = this.past.pop();
    this.draw();
    this.changed();
  }

  reset() {
    this.remember();
    this.mask.fill(0);
    this.draw();
    this.changed();
  }

  remember() {
    this.past.push(this.mask.slice());
    if (this.past.length > CHANGES) this.past.shift();
  }

  /** Erase a disc around a place in pixels of the picture. */
  erase([x, y]) {
    const radius = Math.max((this.brush * this.size) / 2, 0.71); // one pixel at least
    for (let row = 0; row < this.size; row++) {
      for (let column = 0; column < this.size; column++) {
        const inside = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius ** 2;
        if (inside) this.mask[row * this.size + column] = 1;
      }
    }
  }

  /** Erase all along a line, so that a quick finger leaves no gaps. */
  stroke(from, to) {
    const steps = Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1])) || 1;
    for (let i = 0; i <= steps; i++) {
      this.erase(from.map((start, axis) => start + ((to[axis] - start) * i) / steps));
    }
  }

  /** Take the eraser into the hand, or lay it down. */
  take(erasing) {
    this.erasing = erasing;
    this.cursor = erasing ? [this.size / 2, this.size / 2] : null;
    this.canvas.tabIndex = erasing ? 0 : -1;
    this.canvas.setAttribute("role", erasing ? "application" : "img");
    this.canvas.classList.toggle("sl-erasing", erasing);
    this.draw();
  }

  listen() {
    const { canvas } = this;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top].map(
        (distance, axis) => (distance / (axis ? box.height : box.width)) * this.size,
      );
    };
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.erasing || event.button) return;
      capture(canvas, event);
      this.remember();
      last = this.cursor = place(event);
      this.erase(last);
      this.draw();
      this.changed();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.erasing) return;
      this.cursor = place(event);
      if (last) {
        this.stroke(last, this.cursor);
        last = this.cursor;
        this.changed();
      }
      this.draw();
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => {
        last = null;
      });
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const step = Math.max(this.size / 32, 1) * (event.shiftKey ? 4 : 1);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const erases = event.key === " " || event.key === "Enter";
    if (!this.erasing || !(event.key in moves || erases)) return;
    event.preventDefault();
    if (erases) {
      this.remember();
      this.erase(this.cursor);
      this.changed();
    } else {
      const kept = (value) => Math.min(Math.max(value, 0.5), this.size - 0.5);
      this.cursor = this.cursor.map((value, axis) => kept(value + moves[event.key][axis]));
    }
    this.draw();
  }

  /** Draw picture, heatmap and brush. Colour fades to grey as the map comes up. */
  draw() {
    const image = new ImageData(this.size, this.size);
    const opacity = this.map ? this.opacity : 0;
    const grey = Math.min(1, 4 * opacity);
    for (let i = 0; i < this.size ** 2; i++) {
      const rgb = this.pixel(i);
      const light = rgb.reduce((sum, value, channel) => sum + LUMA[channel] * value, 0);
      const heat = opacity && !this.mask[i] ? colour(this.map[i]) : rgb; // a hole is seen as one
      rgb.forEach((value, channel) => {
        const ground = value + grey * (light - value);
        image.data[4 * i + channel] = ground + opacity * (heat[channel] - ground);
      });
      image.data[4 * i + 3] = 255;
    }
    this.small.getContext("2d").putImageData(image, 0, 0);
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = false; // these are all the pixels there are
    context.drawImage(this.small, 0, 0, this.canvas.width, this.canvas.height);
    if (this.cursor) this.drawBrush(context);
  }

  drawBrush(context) {
    const scale = this.canvas.width / this.size;
    const [x, y] = this.cursor.map((value) => value * scale);
    const radius = (this.brush * this.canvas.width) / 2;
    for (const [width, style] of [[5, "#000000"], [2, "#ffffff"]]) {
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = style;
      context.stroke();
    }
  }
}
