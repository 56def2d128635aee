/* A unit of a map, and the pixels of the picture that can reach it. */
(() => {
  "use strict";
  const { bytes, shares, signed, make, radios, picture, walk, frame } =
    window.sightlineExplorers;
  const VEIL = 0.75;
  const KERNELS = {
    edge: ["upright edges", [-1, 0, 1, -2, 0, 2, -1, 0, 1]],
    level: ["level edges", [-1, -2, -1, 0, 0, 0, 1, 2, 1]],
    mean: ["mean", Array(9).fill(1 / 9)],
  };

  /**
   * The square of pixels that reaches a unit: first and last row and column, as far
   * as they lie in the picture. Unit i is centred on pixel i · jump, since all
   * convolutions are padded by half of their kernel.
   */
  function field(row, column, { field: size, jump }, side) {
    const half = (size - 1) / 2;
    const clip = (v) => Math.min(Math.max(v, 0), side - 1);
    const span = (i) => [clip(i * jump - half), clip(i * jump + half)];
    return [...span(row), ...span(column)];
  }

  /** The 3 × 3 numbers around a pixel; zeros beyond the border. */
  function patch(grey, row, column, side) {
    const found = [];
    for (let r = row - 1; r <= row + 1; r++) {
      for (let c = column - 1; c <= column + 1; c++) {
        const inside = r >= 0 && r < side && c >= 0 && c < side;
        found.push(inside ? grey[side * r + c] : 0);
      }
    }
    return found;
  }

  /** Multiply nine numbers with a kernel and add them up. */
  function product(nine, kernel) {
    return nine.reduce((sum, value, i) => sum + value * kernel[i], 0);
  }

  /** Convolve a whole picture with one kernel. @returns {number[]} side × side */
  function convolve(grey, kernel, side) {
    return Array.from({ length: side * side }, (_, i) =>
      product(patch(grey, Math.floor(i / side), i % side, side), kernel),
    );
  }

  /** Stretch numbers to grey pixels. @returns {Uint8ClampedArray} */
  function greys(values) {
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    const rgb = new Uint8ClampedArray(3 * values.length);
    const level = (v) => (255 * (v - low)) / (high - low || 1);
    values.forEach((value, i) => rgb.fill(level(value), 3 * i, 3 * i + 3));
    return rgb;
  }

  function mount(place, data) {
    const pixels = bytes(data.pixels);
    const { side } = data;
    const grey = Array.from(
      { length: side * side },
      (_, i) =>
        (0.299 * pixels[3 * i] + 0.587 * pixels[3 * i + 1] + 0.114 * pixels[3 * i + 2]) /
        255,
    );
    const layers = data.layers.map((layer) => ({
      ...layer,
      influence: shares(layer.influence),
    }));
    const maps = layers.map((layer) => greys(shares(layer.map)));
    const names = layers.map(({ name }) => name);
    let at = [0.5, 0.5]; // of the map, so that another layer keeps the spot
    const change = () => refresh();
    const layer = radios({
      legend: "Layer",
      options: names.map((name) => [name, name]),
      value: names[0],
      change,
    });
    const shown = radios({
      legend: "In the picture",
      options: [
        ["field", "the whole field"],
        ["influence", "how much each pixel counts"],
      ],
      value: "field",
      change,
    });
    const kernel = radios({
      legend: "One 3 × 3 kernel, on grey",
      options: Object.entries(KERNELS).map(([key, [words]]) => [key, words]),
      value: "edge",
      change,
    });
    const map = picture("map", side);
    const input = picture("picture", side);
    const now = () => layers[names.indexOf(layer.value)];
    const cell = () => at.map((share) => Math.floor(share * now().side));
    walk(map.box, {
      label: "Map of the layer: arrow keys move the unit",
      side: () => now().side,
      at: cell,
      change: (row, column) => {
        at = [(row + 0.5) / now().side, (column + 0.5) / now().side];
        refresh();
      },
    });
    const sum = make("p", { class: "explorer-sum" });
    const nine = make("div", { class: "explorer-nine" });
    const arithmetic = make("div", { class: "explorer-arithmetic" }, nine, sum);

    /** Lay a veil over the pixels that do not count. */
    function shade(chosen, [top, bottom, left, right], [row, column]) {
      const half = (chosen.field - 1) / 2;
      const out = new Uint8ClampedArray(pixels.length);
      for (let i = 0; i < side * side; i++) {
        const [r, c] = [Math.floor(i / side), i % side];
        const inside = r >= top && r <= bottom && c >= left && c <= right;
        let clear = inside ? 1 : 0;
        if (inside && shown.value === "influence") {
          const from = [r - row * chosen.jump + half, c - column * chosen.jump + half];
          clear = chosen.influence[chosen.field * from[0] + from[1]];
        }
        for (let k = 3 * i; k < 3 * i + 3; k++) {
          out[k] = pixels[k] + VEIL * (1 - clear) * (255 - pixels[k]);
        }
      }
      return out;
    }

    function multiply(row, column) {
      const weights = KERNELS[kernel.value][1];
      const values = patch(grey, row, column, side);
      nine.replaceChildren(
        ...values.map((value, i) =>
          make(
            "span",
            { style: `--level: ${Math.round(100 * value)}%` },
            `${value.toFixed(2)} × ${signed(weights[i], weights[i] % 1 ? 2 : 0)}`,
          ),
        ),
      );
      const total = product(values, weights);
      sum.textContent = `Nine products add up to ${signed(total)}.`;
      return convolve(grey, weights, side);
    }

    function update() {
      const chosen = now();
      const [row, column] = cell();
      const first = chosen === layers[0];
      kernel.root.hidden = arithmetic.hidden = !first;
      const values = first ? greys(multiply(row, column)) : maps[names.indexOf(chosen.name)];
      map.paint(values, chosen.side);
      map.outline([column, row, 1, 1]);
      map.caption.textContent = first
        ? "what the kernel makes"
        : `${chosen.name}: ${chosen.side} × ${chosen.side} units`;
      const seen = field(row, column, chosen, side);
      const [top, bottom, left, right] = seen;
      input.paint(shade(chosen, seen, [row, column]));
      const unit = [column * chosen.jump, row * chosen.jump, 1, 1, "second"];
      const marks = chosen.field > 3 ? [unit] : []; // no room in a smaller field
      const square = [left, top, right - left + 1, bottom - top + 1];
      input.outline(...marks, square);
      const count = (bottom - top + 1) * (right - left + 1);
      const size = `${chosen.field} × ${chosen.field}`;
      const clipped = count < chosen.field ** 2;
      return (
        `Unit (${row}, ${column}) of ${chosen.name} has a field of ${size} pixels` +
        (clipped ? `; ${count} of them lie in the picture, ` : ", ") +
        `${Math.round((100 * count) / side ** 2)}\u00a0% of it.`
      );
    }

    const refresh = frame(place, "What a unit sees", {
      views: [make("div", { class: "explorer-pair" }, map.root, input.root), arithmetic],
      controls: [layer, shown, kernel],
      reset: () => (at = [0.5, 0.5]),
      update,
    });
  }

  const pure = { field, patch, product, convolve, KERNELS };
  window.sightlineExplorers.kinds["receptive-field"] = { mount, ...pure };
})();
