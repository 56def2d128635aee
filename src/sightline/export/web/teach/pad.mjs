// A sheet to draw on, with finger, mouse or keys.
import { capture } from "../stage.mjs";

const WIDTH = 0.07; // of the pen, as a share of the side
const STEP = 0.05; // of the pen with an arrow key
const CHANGES = 30; // that can be undone
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Black on white. While it is turned on, it listens to its canvas. */
export class Pad {
  /**
   * @param {HTMLCanvasElement} canvas where the reader draws
   * @param {CanvasRenderingContext2D} context of a square canvas that keeps the drawing
   * @param {() => void} changed called after each change, and when the pen has moved
   */
  constructor(canvas, context, changed) {
    Object.assign(this, { canvas, context, changed, on: false, down: false, blank: true, past: [] });
    this.side = context.canvas.width;
    this.pen = [this.side / 2, this.side / 2];
    this.wipe();
    this.sheet = this.image(); // while something else is on the canvas
    this.listen();
  }

  /** Whether the reader steers the pen by keys. */
  get steered() {
    return this.on && document.activeElement === this.canvas;
  }

  /** Begin or end to listen; the drawing is kept. */
  turn(on) {
    if (on === this.on) return;
    Object.assign(this, { on, down: false });
    if (on) this.context.putImageData(this.sheet, 0, 0);
    else this.sheet = this.image();
    this.canvas.tabIndex = on ? 0 : -1;
    this.canvas.setAttribute("role", on ? "application" : "img");
    this.canvas.classList.toggle("te-sheet", on);
  }

  image() {
    return this.context.getImageData(0, 0, this.side, this.side);
  }

  wipe() {
    this.context.fillStyle = "#ffffff";
    this.context.fillRect(0, 0, this.side, this.side);
    this.blank = true;
  }

  remember() {
    this.past.push({ image: this.image(), blank: this.blank });
    if (this.past.length > CHANGES) this.past.shift();
  }

  clear() {
    this.remember();
    this.wipe();
    this.changed();
  }

  undo() {
    const { image, blank } = this.past.pop();
    this.context.putImageData(image, 0, 0);
    this.blank = blank;
    this.changed();
  }

  /** Draw a line to a place; a dot where the pen is already. */
  draw(to) {
    const { context } = this;
    context.beginPath();
    context.moveTo(...this.pen);
    context.lineTo(...to);
    Object.assign(context, { lineWidth: WIDTH * this.side, lineCap: "round", strokeStyle: "#000000" });
    context.stroke();
    Object.assign(this, { pen: to, blank: false });
    this.changed();
  }

  listen() {
    const { canvas } = this;
    const place = ({ clientX, clientY }) => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      return [((clientX - left) / width) * this.side, ((clientY - top) / height) * this.side];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.on || event.button) return;
      capture(canvas, event);
      this.remember();
      this.down = true;
      this.pen = place(event);
      this.draw(this.pen);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.on && this.down && event.buttons) this.draw(place(event));
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.lift());
    for (const turn of ["focus", "blur"]) canvas.addEventListener(turn, () => this.on && this.lift());
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  lift() {
    this.down = false;
    if (this.on) this.changed();
  }

  /** Arrow keys move the pen, Space or Enter lowers and lifts it. */
  key(event) {
    const move = MOVES[event.key];
    const turns = event.key === " " || event.key === "Enter";
    if (!this.on || !(move || turns)) return;
    event.preventDefault();
    if (event.repeat && turns) return;
    if (turns && this.down) return this.lift();
    if (turns) this.remember();
    this.down ||= turns;
    const step = STEP * this.side * (event.shiftKey ? 3 : 1);
    const inside = (value) => Math.min(Math.max(value, 0), this.side);
    const to = move ? this.pen.map((value, axis) => inside(value + step * move[axis])) : this.pen;
    if (this.down) return this.draw(to);
    this.pen = to;
    this.changed();
  }
}
