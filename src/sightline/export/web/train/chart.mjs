// A curve over the steps of a training, as SVG that stretches to the width it gets.

const NS = "http://www.w3.org/2000/svg";

function svg(tag, attributes) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Text at a place of the chart, in shares of its width and height. */
function label(words, className, style) {
  const span = Object.assign(document.createElement("span"), { className, textContent: words });
  Object.assign(span.style, style);
  return span;
}

export class Chart {
  /**
   * @param {HTMLElement} root
   * @param {{steps: number, top: number, ticks: [number, string][], guess: number}} axes
   *   `top` of the vertical axis, which begins at 0; `guess` is what guessing gives
   */
  constructor(root, { steps, top, ticks, guess }) {
    Object.assign(this, { steps, top });
    this.view = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
    root.append(this.view);
    const high = (value) => `${(100 * (1 - value / top)).toFixed(2)}%`;
    for (const [value, words] of ticks) {
      this.line(0, value, steps, value, "tr-grid");
      root.append(label(words, "tr-tick-y", { top: high(value) }));
    }
    for (let step = 0; step <= steps; step += 1000) {
      root.append(label(step.toLocaleString("en"), "tr-tick-x", { left: `${(100 * step) / steps}%` }));
    }
    this.line(0, guess, steps, guess, "tr-guess");
    root.append(label("guessing", "tr-guessing", { top: high(guess) }));
    this.changing = svg("g", {});
    this.view.append(this.changing);
  }

  x(step) {
    return (step / this.steps).toFixed(4);
  }

  y(value) {
    return (1 - Math.min(Math.max(value / this.top, 0), 1)).toFixed(4);
  }

  line(fromStep, from, toStep, to, kind, parent = this.view) {
    parent.append(svg("line", { x1: this.x(fromStep), y1: this.y(from), x2: this.x(toStep), y2: this.y(to), class: kind }));
  }

  /**
   * @param {{points: [number, number][], kind: string}[]} curves
   * @param {number[]} changes steps at which the reader switched something
   */
  draw(curves, changes) {
    this.changing.replaceChildren();
    for (const step of changes) this.line(step, 0, step, this.top, "tr-change", this.changing);
    for (const { points, kind } of curves) {
      const path = points.map(([step, value]) => `${this.x(step)},${this.y(value)}`).join(" ");
      this.changing.append(svg("polyline", { points: path, class: kind }));
    }
  }
}
