/* Recorded heatmaps: choose a picture, a layer and a class. */
(() => {
  "use strict";
  const { bytes, shares, make, short, slider, radios, check, picture, frame } =
    window.sightlineExplorers;
  const LUMA = [0.299, 0.587, 0.114]; // of red, green, blue: ITU-R BT.601

  /** Enlarge a square map bilinearly, as torch does without aligned corners. */
  function enlarge(map, from, to) {
    const taps = Array.from({ length: to }, (_, i) => {
      const place = Math.max(((i + 0.5) * from) / to - 0.5, 0);
      const first = Math.floor(place);
      return [first, Math.min(first + 1, from - 1), place - first];
    });
    const out = new Float64Array(to * to);
    taps.forEach(([top, bottom, down], row) =>
      taps.forEach(([left, right, across], column) => {
        const line = (r) => map[from * r + left] * (1 - across) + map[from * r + right] * across;
        out[to * row + column] = line(top) * (1 - down) + line(bottom) * down;
      }),
    );
    return out;
  }

  /** Stretch a map with evidence to 0..1; a flat one becomes ones. */
  function stretch(map) {
    const low = map.reduce((a, b) => Math.min(a, b));
    const high = map.reduce((a, b) => Math.max(a, b));
    return map.map((value) => (high > low ? (value - low) / (high - low) : 1));
  }

  /**
   * Lay a map of 0..1 over a picture turned grey, as `sightline.plots.overlay.overlay`.
   * @param {Uint8ClampedArray} rgb @param {Float64Array | null} map
   * @param {number} opacity @param {Uint8Array} colours 256 × 3
   */
  function overlay(rgb, map, opacity, colours) {
    const out = new Uint8ClampedArray(rgb.length);
    for (let i = 0; i < rgb.length / 3; i++) {
      const grey = LUMA.reduce((sum, part, c) => sum + part * rgb[3 * i + c], 0);
      const index = map ? 3 * Math.min(Math.floor(256 * map[i]), 255) : 0;
      for (let c = 0; c < 3; c++) {
        const colour = map ? colours[index + c] : grey;
        out[3 * i + c] = Math.round(grey + opacity * (colour - grey));
      }
    }
    return out;
  }

  /** Decode a PNG into pixels. @returns {Promise<Uint8ClampedArray>} */
  async function pixelsOf(png, size) {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = make("canvas", { width: size, height: size });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, size, size);
    return data.filter((_, i) => i % 4 !== 3);
  }

  async function mount(place, data) {
    const { size, classes, layers, pictures } = data;
    const colours = bytes(data.colours);
    const rgbs = await Promise.all(pictures.map(({ png }) => pixelsOf(png, size)));
    const change = () => refresh();
    const named = pictures.map(({ label, asked }) => {
      const [predicted] = asked;
      const right = predicted.label === label;
      const mistake = `${classes[label]} taken for ${classes[predicted.label]}`;
      return right ? `${classes[label]}, correct` : mistake;
    });
    const which = radios({
      legend: "Picture",
      options: pictures.map((_, i) => {
        const tile = picture("", size);
        tile.paint(rgbs[i]);
        tile.caption.remove();
        const words = make("span", { class: "explorer-unseen" }, named[i]);
        return [String(i), make("span", { title: named[i] }, tile.root, words)];
      }),
      value: "0",
      change: () => fill(),
      kind: "explorer-tiles",
    });
    const layer = radios({
      legend: "Layer",
      options: layers.map(({ name }) => [name, name]),
      value: layers.at(-1).name,
      change,
    });
    const opacity = slider({
      label: "Opacity of the map",
      low: 0,
      high: 100,
      value: 60,
      at: (p) => p / 100,
      text: (v) => `${Math.round(100 * v)}\u00a0%`,
      change,
    });
    const common = check({ label: "One scale for all classes", change });
    const whole = picture("picture", size);
    const seen = picture("map", size);
    const list = make("div"); // the classes of the chosen picture
    let target;

    /** Write down the classes that were asked of the chosen picture. */
    function fill(keep) {
      const { asked, label } = pictures[Number(which.value)];
      target = radios({
        legend: "Class that is asked for, with its confidence",
        options: asked.map(({ label: k, share }) => {
          const actual = k === label ? " (actual)" : "";
          const bar = make("i", { style: `--share: ${100 * share}%` });
          const percent = make("b", {}, `${short(100 * share)}\u00a0%`);
          return [String(k), make("span", {}, `${classes[k]}${actual} `, percent, bar)];
        }),
        value: keep ?? String(asked[0].label),
        change,
        kind: "explorer-classes",
      });
      list.replaceChildren(target.root);
      refresh?.();
    }

    function update() {
      const index = Number(which.value);
      const { asked } = pictures[index];
      const chosen = asked.find(({ label }) => label === Number(target.value));
      const at = layers.findIndex(({ name }) => name === layer.value);
      const found = chosen.maps[at];
      const strongest = Math.max(...asked.map(({ maps }) => maps[at]?.[0] ?? 0));
      whole.paint(rgbs[index]);
      whole.caption.textContent = named[index];
      const question = `${classes[chosen.label]} at ${layer.value}`;
      if (!found) {
        seen.paint(overlay(rgbs[index], null, 0, colours));
        seen.caption.textContent = "no positive evidence";
        return `For ${question} no cell of the map is positive: there is nothing to draw.`;
      }
      const [most, digits] = found;
      const large = enlarge(shares(digits), layers[at].side, size);
      const map = common.value
        ? large.map((value) => (value * most) / strongest)
        : stretch(large);
      seen.paint(overlay(rgbs[index], map, opacity.value, colours));
      seen.caption.textContent = question;
      return (
        `Asked for ${question}, confidence ${short(100 * chosen.share)}\u00a0%: ` +
        `largest evidence ${short(most)}, ` +
        `${Math.round((100 * most) / strongest)}\u00a0% of the strongest among these classes.`
      );
    }

    let refresh;
    fill();
    refresh = frame(place, "Ask twelve pictures", {
      views: [which.root, make("div", { class: "explorer-pair" }, whole.root, seen.root)],
      controls: [layer, { root: list }, opacity, common],
      reset: () => {
        which.reset();
        fill();
      },
      update,
    });
  }

  const pure = { enlarge, stretch, overlay };
  window.sightlineExplorers.kinds["grad-cam"] = { mount, ...pure };
})();
