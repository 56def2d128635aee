/* One picture, augmented by hand: shift, mirror, hole, and the numbers behind them. */
(() => {
  "use strict";
  const { bytes, signed, make, slider, radios, check, picture, walk, frame } =
    window.sightlineExplorers;

  /**
   * What may be done to a picture, as `sightline.data.augment.Draw`.
   * @typedef {{down: number, right: number, mirrored: boolean, border: string,
   *   row: number, column: number, hole: number, fill: string}} Draw
   */

  /** Fold an index beyond the border back inside, without repeating the edge. */
  function reflect(index, size) {
    return size - 1 - Math.abs(size - 1 - Math.abs(index));
  }

  /**
   * Say where a pixel of the augmented picture comes from.
   * @returns {{row: number, column: number, kind: "picture" | "border" | "hole"}}
   */
  function source(row, column, size, d) {
    const inHole = (v, start) => v >= start && v < start + d.hole;
    const from = d.mirrored ? size - 1 - column : column;
    const [r, c] = [row + d.down, from + d.right];
    const inside = (v) => v >= 0 && v < size;
    let kind = inside(r) && inside(c) ? "picture" : "border";
    if (inHole(row, d.row) && inHole(column, d.column)) kind = "hole";
    return { row: reflect(r, size), column: reflect(c, size), kind };
  }

  /**
   * Shift, mirror, normalise and punch a hole, as `sightline.data.augment` does.
   * @returns {Float64Array} size × size × 3, in normalised units
   */
  function augment({ size, pixels, mean, std, fills }, d) {
    const out = new Float64Array(size * size * 3);
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        const from = source(row, column, size, d);
        const flat = { hole: d.fill, border: d.border }[from.kind] ?? "reflect";
        for (let c = 0; c < 3; c++) {
          const stored = pixels[3 * (size * from.row + from.column) + c];
          const value = (stored / 255 - mean[c]) / std[c];
          out[3 * (size * row + column) + c] =
            flat === "reflect" ? value : fills[flat][c];
        }
      }
    }
    return out;
  }

  /** Undo the normalisation. @returns {Uint8ClampedArray} */
  function toPixels(values, { mean, std }) {
    const level = (v, i) => Math.round(255 * (v * std[i % 3] + mean[i % 3]));
    return Uint8ClampedArray.from(values, level);
  }

  const PLACES = {
    picture: "from the picture itself",
    border: "from beyond the border",
    hole: "in the hole",
  };

  function mount(place, stored) {
    const data = { ...stored, pixels: bytes(stored.pixels) };
    const { size, reach } = data;
    const half = Math.floor(size / 2);
    let at = [half, half];
    const change = () => refresh();
    const shift = { low: -2 * reach, high: 2 * reach, value: 0, change };
    const pixels = (v) => `${v} px`;
    const moved = (v) => signed(v, 0) + " px";
    const down = slider({ label: "Window down", text: moved, ...shift });
    const right = slider({ label: "Window right", text: moved, ...shift });
    const mirrored = check({ label: "Mirror left and right", change });
    const border = radios({
      legend: "Beyond the border",
      options: [
        ["reflect", "reflected"],
        ["mean", "mean colour"],
      ],
      value: "reflect",
      change,
    });
    const side = { low: 0, change, text: pixels };
    const hole = slider({ label: "Side of the hole", high: size, value: 0, ...side });
    const corner = { high: size - 1, value: Math.floor(size / 4), ...side };
    const row = slider({ label: "Hole from the top", ...corner });
    const column = slider({ label: "Hole from the left", ...corner });
    const fill = radios({
      legend: "Filled, after normalising, with",
      options: [
        ["mean", "0, the mean colour"],
        ["raw_mean", "the raw mean, by mistake"],
        ["black", "black, by mistake"],
      ],
      value: "mean",
      change,
    });
    const before = picture("before", size);
    const after = picture("after", size);
    walk(after.box, {
      label: "Augmented picture: arrow keys move the pixel whose numbers are shown",
      side: () => size,
      at: () => at,
      change: (r, c) => {
        at = [r, c];
        refresh();
      },
    });
    before.paint(data.pixels);
    const cells = [0, 1, 2].map(() => [make("td"), make("td")]);
    const table = make(
      "table",
      { class: "explorer-numbers" },
      make("caption", {}, "The marked pixel"),
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          ...["", "stored, 0 to 255", "for the network"].map((words) =>
            make(words ? "th" : "td", words ? { scope: "col" } : {}, words),
          ),
        ),
      ),
      make(
        "tbody",
        {},
        ...["red", "green", "blue"].map((name, c) =>
          make("tr", {}, make("th", { scope: "row" }, name), ...cells[c]),
        ),
      ),
    );

    function update() {
      const d = {
        down: down.value,
        right: right.value,
        mirrored: mirrored.value,
        border: border.value,
        row: row.value,
        column: column.value,
        hole: hole.value,
        fill: fill.value,
      };
      const values = augment(data, d);
      after.paint(toPixels(values, data));
      const from = source(...at, size, d);
      const taken = from.kind !== "hole" && (from.kind === "picture" || d.border === "reflect");
      after.outline([at[1], at[0], 1, 1]);
      before.outline(...(taken ? [[from.column, from.row, 1, 1]] : []));
      const index = 3 * (size * from.row + from.column);
      cells.forEach(([store, value], c) => {
        store.textContent = taken ? data.pixels[index + c] : "–";
        value.textContent = signed(values[3 * (size * at[0] + at[1]) + c]);
      });
      const origin = taken
        ? `row ${from.row}, column ${from.column} of the original`
        : "no pixel of the original";
      return (
        `Row ${at[0]}, column ${at[1]} is ${PLACES[from.kind]}: ${origin}; ` +
        `${covered(d, size)} of the picture is hole.`
      );
    }

    const refresh = frame(place, "Augment one picture", {
      views: [make("div", { class: "explorer-pair" }, before.root, after.root)],
      below: [table],
      controls: [down, right, mirrored, border, hole, row, column, fill],
      reset: () => (at = [half, half]),
      update,
    });
  }

  /** Share of the picture inside the hole, which the border may clip, in words. */
  function covered(d, size) {
    const inside = (start) => Math.max(Math.min(start + d.hole, size) - start, 0);
    return `${Math.round((100 * inside(d.row) * inside(d.column)) / size ** 2)}\u00a0%`;
  }

  window.sightlineExplorers.kinds.augmentation = { mount, augment, toPixels, source };
})();
