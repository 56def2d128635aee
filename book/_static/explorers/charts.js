/* Line charts as SVG, drawn for the width they have. */
(() => {
  "use strict";
  const { make, draw, short } = window.sightlineExplorers;
  const LEFT = 44;
  const RIGHT = 12;
  const TOP = 24;
  const BOTTOM = 34;

  /** Choose about `count` round numbers in [low, high]. @returns {number[]} */
  function ticks([low, high], log, count) {
    if (log) {
      const first = Math.ceil(Math.log10(low) - 1e-9);
      const last = Math.floor(Math.log10(high) + 1e-9);
      const step = Math.max(1, Math.ceil((last - first + 1) / count));
      const found = [];
      for (let power = first; power <= last; power += step) found.push(10 ** power);
      return found;
    }
    const raw = (high - low) / count;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find((factor) => factor * unit >= raw) * unit;
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
      found.push(k * step);
    }
    return found;
  }

  /** Map numbers of an axis onto pixels. */
  function scale([low, high], log, from, to) {
    const f = log ? Math.log10 : (v) => v;
    const [a, b] = [f(low), f(high)];
    const place = (v) => from + ((f(v) - a) / (b - a)) * (to - from);
    place.back = (pixel) => {
      const v = a + ((pixel - from) / (to - from)) * (b - a);
      return log ? 10 ** v : v;
    };
    return place;
  }

  /**
   * @typedef {{title: string, xlabel: string, x: [number, number], y: [number, number],
   *   logX?: boolean, logY?: boolean,
   *   bands?: [number, number][], levels?: [number, string][],
   *   lines?: {points: [number, number][], kind: string}[],
   *   dots?: {x: number, y: number, kind: string}[],
   *   verticals?: {x: number, kind: string, name?: string}[]}} Chart
   */

  /** Draw a chart. @param {Chart} spec @returns {{svg: SVGElement, x: Function}} */
  function plot(spec, width, height) {
    const x = scale(spec.x, spec.logX, LEFT, width - RIGHT);
    const y = scale(spec.y, spec.logY, height - BOTTOM, TOP);
    const [left, right, top, bottom] = [LEFT, width - RIGHT, TOP, height - BOTTOM];
    const text = (px, py, words, anchor, kind = "") =>
      draw("text", { x: px, y: py, "text-anchor": anchor, class: kind }, words);
    const line = (x1, y1, x2, y2, kind) =>
      draw("line", { x1, y1, x2, y2, class: kind });
    const parts = [text(0, 13, spec.title, "start", "title")];
    for (const value of ticks(spec.x, spec.logX, width / 60)) {
      parts.push(line(x(value), bottom, x(value), bottom + 4, "axis"));
      parts.push(text(x(value), bottom + 16, short(value), "middle"));
    }
    for (const value of ticks(spec.y, spec.logY, (bottom - top) / 26)) {
      parts.push(line(left, y(value), right, y(value), "grid"));
      parts.push(text(left - 6, y(value) + 4, short(value, 3), "end"));
    }
    parts.push(line(left, bottom, right, bottom, "axis"));
    parts.push(text((left + right) / 2, height - 3, spec.xlabel, "middle"));
    const area = { x: left, y: top, width: right - left, height: bottom - top };
    const view = `${left} ${top} ${area.width} ${area.height}`;
    const curves = draw("svg", { ...area, viewBox: view }); // cuts what is beyond
    for (const [from, to] of spec.bands ?? []) {
      const wide = Math.max(x(to) - x(from), 0);
      const at = { x: x(from), y: top, width: wide, height: bottom - top };
      parts.push(draw("rect", { ...at, class: "band" }));
    }
    const words = []; // over everything
    for (const [value, name] of spec.levels ?? []) {
      parts.push(line(left, y(value), right, y(value), "level"));
      words.push(text(left + 4, y(value) - 4, name, "start"));
    }
    for (const { points, kind } of spec.lines ?? []) {
      const path = points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`);
      curves.append(draw("polyline", { points: path.join(" "), class: kind }));
    }
    parts.push(curves);
    for (const { x: px, kind, name = "" } of spec.verticals ?? []) {
      if (px < spec.x[0] || px > spec.x[1]) continue;
      parts.push(line(x(px), top, x(px), bottom, kind));
      const after = x(px) < (left + right) / 2;
      words.push(text(x(px) + (after ? 5 : -5), top + 10, name, after ? "start" : "end"));
    }
    for (const { x: px, y: py, kind } of spec.dots ?? []) {
      parts.push(draw("circle", { cx: x(px), cy: y(py), r: 4, class: kind }));
    }
    const size = { width, height, "aria-hidden": "true" };
    return { svg: draw("svg", size, ...parts, ...words), x };
  }

  /**
   * A chart that is drawn again when its width changes.
   * @param {{label: string, height?: number, point?: (x: number) => void}} how
   *   `point` is told the place on the x axis under a pointer
   */
  function chart({ label, height = 190, point }) {
    const root = make("div", { class: "explorer-chart", role: "img", "aria-label": label });
    let spec, x;
    const show = () => {
      if (!spec || !root.clientWidth) return;
      const narrow = root.clientWidth < 340;
      const drawn = plot(spec, root.clientWidth, narrow ? 0.8 * height : height);
      x = drawn.x;
      root.replaceChildren(drawn.svg);
    };
    // in the next frame: a chart has a height, and a change of it while sizes are being
    // reported would be reported as an error
    new ResizeObserver(() => requestAnimationFrame(show)).observe(root);
    if (point) {
      root.addEventListener("pointermove", (event) => {
        if (!x) return;
        const [low, high] = spec.x;
        const value = x.back(event.clientX - root.getBoundingClientRect().left);
        point(Math.min(Math.max(value, low), high));
      });
    }
    /** @param {Chart} next */
    const set = (next) => {
      spec = next;
      show();
    };
    return { root, set };
  }

  Object.assign(window.sightlineExplorers, { chart, ticks });
})();
