// Which square of a larger picture the network gets: three sliders and a frame.
import { capture } from "./stage.mjs";

const WIDTH = 176; // pixels of the overview's longer side

/** The square, as the reader sets it. */
export class Crop {
  /**
   * @param {HTMLElement} root the fieldset
   * @param {() => void} changed called whenever the square has moved
   */
  constructor(root, changed) {
    Object.assign(this, { root, changed, picture: null });
    this.overview = root.querySelector("canvas");
    this.sliders = ["zoom", "across", "down"].map((name) => root.querySelector(`.sl-${name}`));
    for (const slider of this.sliders) slider.addEventListener("input", () => this.move());
    this.overview.addEventListener("pointerdown", (event) => {
      capture(this.overview, event);
      this.follow(event);
    });
    this.overview.addEventListener("pointermove", (event) => this.follow(event));
  }

  /**
   * Begin with the largest square in the middle of a picture.
   * @param {import("./picture.mjs").Picture} picture
   * @param {number} size pixels that the network takes; such a picture has nothing to crop
   */
  begin(picture, size) {
    this.picture = picture;
    this.root.hidden = picture.width === size && picture.height === size;
    this.set(1, 0.5, 0.5);
    this.whole = document.createElement("canvas");
    this.whole.width = picture.width;
    this.whole.height = picture.height;
    this.whole.getContext("2d").putImageData(picture.imageData(), 0, 0);
    this.draw();
  }

  set(...values) {
    this.sliders.forEach((slider, i) => (slider.value = values[i]));
  }

  /** @returns {{left: number, top: number, side: number}} in pixels of the picture */
  get square() {
    const [zoom, across, down] = this.sliders.map((slider) => Number(slider.value));
    const { width, height } = this.picture;
    const side = Math.min(width, height) * zoom;
    return { left: (width - side) * across, top: (height - side) * down, side };
  }

  move() {
    this.draw();
    this.changed();
  }

  /** Bring the middle of the square to the pointer, as far as the picture goes. */
  follow(event) {
    if (!event.buttons) return;
    const box = this.overview.getBoundingClientRect();
    const { side } = this.square;
    const share = (distance, length, whole) => {
      const start = (distance / length) * whole - side / 2;
      return whole > side ? Math.min(1, Math.max(0, start / (whole - side))) : 0.5;
    };
    const across = share(event.clientX - box.left, box.width, this.picture.width);
    const down = share(event.clientY - box.top, box.height, this.picture.height);
    this.set(this.sliders[0].value, across, down);
    this.move();
  }

  /** Draw the whole picture, dark outside the square. */
  draw() {
    const { width, height } = this.picture;
    const scale = WIDTH / Math.max(width, height);
    this.overview.width = Math.max(1, Math.round(width * scale));
    this.overview.height = Math.max(1, Math.round(height * scale));
    const context = this.overview.getContext("2d");
    context.drawImage(this.whole, 0, 0, this.overview.width, this.overview.height);
    const { left, top, side } = this.square;
    const frame = [left, top, side, side].map((value) => value * scale);
    const outside = new Path2D();
    outside.rect(0, 0, this.overview.width, this.overview.height);
    outside.rect(...frame);
    context.fillStyle = "rgb(0 0 0 / 55%)";
    context.fill(outside, "evenodd");
    context.strokeStyle = "#ffffff";
    context.lineWidth = 2;
    context.strokeRect(frame[0] + 1, frame[1] + 1, frame[2] - 2, frame[3] - 2);
  }
}
