/* What explorers share: elements, controls, small pictures, charts. */
window.sightlineExplorers = (() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  /** @type {Record<string, {mount: Function}>} every loaded explorer by its name */
  const kinds = {};
  let ids = 0;

  /** Make an element with attributes and children. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === true) element.setAttribute(key, "");
      else if (value !== false && value != null) element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child != null));
    return element;
  }

  /** Make an SVG element. */
  function draw(tag, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) {
      element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  /** Decode bytes in base64. @returns {Uint8Array} */
  function bytes(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  /** Decode numbers of 0..1, one digit of base64 each. @returns {Float64Array} */
  function shares(text) {
    return Float64Array.from(text, (letter) => BASE64.indexOf(letter) / 63);
  }

  /** Write a number with a few digits, without an exponent where it can be read. */
  function short(value, digits = 2) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 1e-3 || size >= 1e5) {
      const [mantissa, power] = value.toExponential(digits - 1).split("e");
      const plain = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
      return `${plain}e${Number(power)}`.replaceAll("-", "−");
    }
    const text = Number(value.toPrecision(digits));
    return String(size >= 10 ** digits ? Math.round(value) : text).replace("-", "−");
  }

  /** Write a number with a sign and a fixed number of decimals. */
  function signed(value, decimals = 2) {
    const text = Math.abs(value).toFixed(decimals);
    if (Number(text) === 0) return text;
    return (value < 0 ? "−" : "+") + text;
  }

  /**
   * A labelled slider. Its positions are whole numbers; `at` turns one into a value.
   * @param {{label: string, low: number, high: number, value: number,
   *   at?: (position: number) => number, text?: (value: number) => string,
   *   change: () => void}} options
   */
  function slider({ label, low, high, value, at = (p) => p, text = String, change }) {
    const id = `explorer-${++ids}`;
    const input = make("input", { type: "range", id, min: low, max: high, step: 1 });
    const output = make("output", { for: id });
    const name = make("label", { for: id }, label);
    const show = () => {
      output.textContent = text(at(input.valueAsNumber));
      input.setAttribute("aria-valuetext", output.textContent);
    };
    const control = {
      root: make("div", { class: "explorer-slider" }, name, output, input),
      show,
      /** @returns {number} */
      get value() {
        return at(input.valueAsNumber);
      },
      /** Move it without a change being reported. */
      set position(position) {
        input.value = position;
        show();
      },
    };
    const first = value;
    control.reset = () => (control.position = first);
    control.reset();
    input.addEventListener("input", () => {
      show();
      change();
    });
    return control;
  }

  /**
   * A slider over powers of ten, `steps` positions to each; the value given is hit
   * exactly, the others are rounded to `digits`.
   */
  function logSlider({ low, high, value, steps = 20, digits = 2, ...rest }) {
    const place = (v) => Math.round(steps * Math.log10(v));
    const first = place(value);
    const at = (p) =>
      p === first ? value : Number((10 ** (p / steps)).toPrecision(digits));
    const ends = { low: place(low), high: place(high), value: first };
    return slider({ ...ends, at, text: (v) => short(v, 3), ...rest });
  }

  /**
   * A fieldset of radio buttons.
   * @param {{legend: string, options: [string, string | Node][], value: string,
   *   change: () => void}} options each option: its value and what stands beside it
   */
  function radios({ legend, options, value, change, kind = "" }) {
    const name = `explorer-${++ids}`;
    const root = make(
      "fieldset",
      { class: `explorer-radios ${kind}` },
      make("legend", {}, legend),
    );
    const inputs = options.map(([key, words]) => {
      const input = make("input", { type: "radio", name, value: key });
      const beside = words instanceof Node ? words : make("span", {}, words);
      root.append(make("label", {}, input, beside));
      input.addEventListener("change", () => change());
      return input;
    });
    const control = {
      root,
      get value() {
        return inputs.find((input) => input.checked).value;
      },
      set value(key) {
        for (const input of inputs) input.checked = input.value === key;
      },
    };
    control.reset = () => (control.value = value);
    control.reset();
    return control;
  }

  /** A labelled check box. */
  function check({ label, value = false, change }) {
    const input = make("input", { type: "checkbox" });
    input.addEventListener("change", () => change());
    const root = make("label", { class: "explorer-check" }, input, label);
    const control = {
      root,
      get value() {
        return input.checked;
      },
      reset: () => (input.checked = value),
    };
    control.reset();
    return control;
  }

  /**
   * A small picture of square pixels, with a layer for outlines above it.
   * @param {string} title @param {number} side in pixels
   */
  function picture(title, side) {
    const canvas = make("canvas", { width: side, height: side, "aria-hidden": "true" });
    const marks = draw("svg", { viewBox: `0 0 ${side} ${side}`, "aria-hidden": "true" });
    const box = make("div", { class: "explorer-pixels" }, canvas, marks);
    const caption = make("figcaption", {}, title);
    const root = make("figure", { class: "explorer-picture" }, box, caption);
    return {
      root,
      box,
      caption,
      /** Paint `rgb`, 0..255, side × side × 3; another side changes the canvas. */
      paint(rgb, size = side) {
        if (canvas.width !== size) canvas.width = canvas.height = size;
        marks.setAttribute("viewBox", `0 0 ${size} ${size}`);
        const context = canvas.getContext("2d");
        const image = context.createImageData(size, size);
        for (let i = 0; i < size * size; i++) {
          for (let c = 0; c < 3; c++) image.data[4 * i + c] = rgb[3 * i + c];
          image.data[4 * i + 3] = 255;
        }
        context.putImageData(image, 0, 0);
      },
      /** Outline [column, row, width, height, kind]; replaces what was before. */
      outline(...squares) {
        const rects = squares.flatMap(([x, y, width, height, kind = ""]) => {
          const at = { x, y, width, height };
          return [
            draw("rect", { ...at, class: "explorer-halo" }),
            draw("rect", { ...at, class: `explorer-outline ${kind}` }),
          ];
        });
        marks.replaceChildren(...rects);
      },
    };
  }

  /**
   * Let a picture's cells be chosen by pointer, finger and arrow keys.
   * @param {HTMLElement} box @param {{label: string, side: () => number,
   *   at: () => [number, number], change: (row: number, column: number) => void}} how
   */
  function walk(box, { label, side, at, change }) {
    box.tabIndex = 0;
    box.setAttribute("role", "application"); // arrow keys reach us, not the reader
    box.setAttribute("aria-label", label);
    box.classList.add("explorer-walk");
    const go = (row, column) => {
      const inside = (v) => Math.min(Math.max(v, 0), side() - 1);
      change(inside(row), inside(column));
    };
    const point = (event) => {
      const area = box.getBoundingClientRect();
      const cell = (from, length) => Math.floor((from / length) * side());
      go(
        cell(event.clientY - area.top, area.height),
        cell(event.clientX - area.left, area.width),
      );
    };
    box.addEventListener("pointerdown", (event) => {
      box.setPointerCapture(event.pointerId);
      point(event);
    });
    box.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" || event.buttons) point(event);
    });
    const moves = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    box.addEventListener("keydown", (event) => {
      if (!(event.key in moves)) return;
      event.preventDefault();
      const [down, right] = moves[event.key];
      const [row, column] = at();
      go(row + down, column + right);
    });
  }

  /**
   * Build the frame of an explorer: title, button, views, a sentence, controls.
   * @param {HTMLElement} place @param {string} title
   * @param {{views: Node[], controls: {root: Node, reset?: () => void}[],
   *   below?: Node[], reset?: () => void, update: () => string}} parts
   *   `below` stands under the views where there is room beside the controls;
   *   `update` draws everything and returns one sentence that says what is seen
   */
  function frame(place, title, { views, controls, below = [], reset, update }) {
    const id = `explorer-${++ids}`;
    const said = make("p", { class: "explorer-said", role: "status", "aria-live": "polite" });
    const button = make("button", { type: "button" }, "Start again");
    const live = make(
      "div",
      { class: "explorer-live", role: "group", "aria-labelledby": id },
      make("div", { class: "explorer-head" }, make("p", { id }, title), button),
      make(
        "div",
        { class: "explorer-parts" },
        make("div", { class: "explorer-views" }, ...views, said),
        make("div", { class: "explorer-controls" }, ...controls.map((c) => c.root)),
        make("div", { class: "explorer-below" }, ...below),
      ),
    );
    let timer;
    const refresh = () => {
      const sentence = update();
      clearTimeout(timer); // a drag is told once, at its end
      timer = setTimeout(() => {
        if (said.textContent !== sentence) said.textContent = sentence;
      }, 150);
    };
    button.addEventListener("click", () => {
      for (const control of controls) control.reset?.();
      reset?.();
      refresh();
    });
    said.textContent = update(); // before it is on the page: not to be announced
    place.append(live);
    return refresh;
  }

  /** Bring the element of one explorer to life; its sentence goes only then. */
  async function mount(place, name) {
    if (place.dataset.ready) return;
    const data = JSON.parse(place.querySelector('[type="application/json"]').textContent);
    const sentence = place.querySelector("p");
    await kinds[name].mount(place, data);
    sentence.hidden = true;
    place.dataset.ready = "yes";
  }

  const tools = { make, draw, bytes, shares, short, signed };
  const controls = { slider, logSlider, radios, check, picture, walk, frame };
  return { kinds, mount, ...tools, ...controls };
})();
