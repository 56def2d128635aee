// The live demo: what the reader presses, and what happens then.
import { Answer, facts } from "./answer.mjs";
import { Crop } from "./crop.mjs";
import { LoadError, Network, missing, softmax } from "./network.mjs";
import { Picture, PictureError } from "./picture.mjs";
import { Stage, colour } from "./stage.mjs";

const QUIET = 600; // milliseconds without a change before a screen reader is told

/** Make an element with properties, and children in it. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** One demo on a page. */
export class Demo {
  /** @param {HTMLElement} root the section that `app.html` describes */
  constructor(root) {
    this.root = root;
    this.target = null; // the class asked for; null: the predicted one
    this.said = null; // the last answer as an `Answer`
    this.busy = null; // the questions in progress
    this.find(".sl-static").remove();
    this.find(".sl-start").hidden = false;
    this.find(".sl-load").addEventListener("click", () => this.load());
    const lacking = missing();
    if (lacking) {
      this.find(".sl-load").disabled = true;
      this.find(".sl-start .sl-message").textContent = lacking;
    }
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  /** Listen to all elements that fit. */
  on(selector, event, act) {
    for (const element of this.root.querySelectorAll(selector)) element.addEventListener(event, act);
  }

  /** Fetch the network and show the first picture; when that fails, say why. */
  async load() {
    const [button, bar, message] = [".sl-load", ".sl-progress", ".sl-start .sl-message"].map((name) => this.find(name));
    const { folder, modelBytes, runtimeBytes } = this.root.dataset;
    button.disabled = true;
    bar.hidden = false;
    message.textContent = "";
    try {
      const address = new URL(folder, document.baseURI).href;
      const total = Number(modelBytes) + Number(runtimeBytes);
      this.network = await Network.load(address, total, (share) => (bar.value = share));
    } catch (error) {
      message.textContent = error instanceof LoadError ? error.message : `Loading failed: ${error.message}`;
      button.textContent = "Try again";
      button.disabled = false;
      bar.hidden = true;
      return;
    }
    this.open(this.network.about);
  }

  /** Turn the controls on. */
  open(about) {
    this.stage = new Stage(this.find(".sl-canvas"), about.image_size, about.mean, () => this.ask());
    this.crop = new Crop(this.find(".sl-crop"), () => this.cut());
    this.layer = about.layers.length - 1;
    this.fill(about);
    this.wire();
    this.find(".sl-start").hidden = true;
    this.find(".sl-app").hidden = false;
    const first = this.find(".sl-thumb");
    first?.focus({ preventScroll: true });
    first?.click();
  }

  /** Write what depends on the network: classes, layers, colours. */
  fill({ classes, layers }) {
    const options = classes.map((name, number) => make("option", { value: number, textContent: name }));
    this.find(".sl-class").append(make("option", { value: "", textContent: "the predicted class" }), ...options);
    layers.forEach(({ name, side }, number) => {
      const checked = number === this.layer;
      const radio = make("input", { type: "radio", name: "sl-layer", value: number, checked });
      const words = ` ${name}, ${side}×${side} (${checked ? "last" : "finer"})`;
      this.find(".sl-layers").append(make("label", {}, radio, words));
    });
    const stops = Array.from({ length: 9 }, (_, i) => `rgb(${colour(i / 8).map(Math.round).join(" ")})`);
    this.find(".sl-ramp").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  }

  wire() {
    this.on(".sl-thumb", "click", ({ currentTarget }) => this.choose(currentTarget));
    this.on(".sl-file", "change", ({ target }) => {
      if (target.files.length) this.take(target.files[0]);
      target.value = ""; // so that the same file can be chosen again
    });
    this.on(".sl-opacity", "input", ({ target }) => {
      this.stage.opacity = Number(target.value);
      this.stage.draw();
    });
    this.on(".sl-layers", "change", ({ target }) => {
      this.layer = Number(target.value);
      this.show();
    });
    this.on(".sl-class", "change", ({ target }) => this.explain(target.value === "" ? null : Number(target.value)));
    this.on(".sl-erase", "click", (event) => this.pickEraser(event));
    this.on(".sl-undo", "click", () => this.stage.undo());
    this.on(".sl-reset", "click", () => this.stage.reset());
    this.on(".sl-brush", "input", ({ target }) => {
      this.stage.brush = Number(target.value);
      this.stage.draw();
    });
    this.on(".sl-app", "dragover", (event) => event.preventDefault());
    this.on(".sl-app", "drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
    });
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      const file = files.find(({ type }) => type.startsWith("image/"));
      if (file) this.take(file);
    });
  }

  /** Show a built-in picture. */
  async choose(thumb) {
    const blob = await (await fetch(thumb.querySelector("img").src)).blob();
    await this.take(blob, thumb);
  }

  /**
   * Show a picture; say so if it is none.
   * @param {Blob} blob
   * @param {HTMLElement | null} thumb the button of a built-in one
   */
  async take(blob, thumb = null) {
    const trouble = this.find(".sl-trouble");
    trouble.textContent = "";
    let picture;
    try {
      picture = await Picture.read(blob);
    } catch (error) {
      trouble.textContent = error instanceof PictureError ? error.message : `That picture failed: ${error.message}`;
      return;
    }
    for (const other of this.root.querySelectorAll(".sl-thumb")) {
      other.setAttribute("aria-pressed", String(other === thumb));
    }
    this.find(".sl-truth").textContent = thumb ? `Its label: ${thumb.dataset.name}.` : "";
    this.setTarget(null);
    const { framing, image_size: size } = this.network.about;
    this.crop.begin(framing === "pad" ? picture.pad(size) : picture, size);
    await this.cut();
  }

  /** Show the square that is chosen, whole. */
  cut() {
    this.stage.forget();
    this.stage.show(this.crop.picture.fit(this.crop.square, this.stage.size).rgb);
    this.before = null;
    return this.ask();
  }

  /** Ask for the heatmap of a class; null: of the predicted one. */
  explain(target) {
    this.setTarget(target);
    return this.ask();
  }

  setTarget(target) {
    this.target = target;
    this.find(".sl-class").value = target ?? "";
  }

  pickEraser({ currentTarget: button, detail }) {
    const erasing = !this.stage.erasing;
    button.setAttribute("aria-pressed", String(erasing));
    this.find(".sl-how").hidden = !erasing;
    this.stage.take(erasing);
    this.show();
    if (erasing && !detail) this.stage.canvas.focus(); // it was pressed by keyboard
  }

  /** Ask the network; questions asked meanwhile wait, and only the last counts. */
  ask() {
    this.stale = true;
    this.busy ??= this.work().finally(() => (this.busy = null));
    return this.busy;
  }

  async work() {
    while (this.stale) {
      this.stale = false;
      const { erased } = this.stage;
      try {
        this.answer = await this.network.run(this.stage.pixels(), this.target);
      } catch (error) {
        this.find(".sl-trouble").textContent = `The network stopped: ${error.message}. Reload the page to go on.`;
        return;
      }
      const probabilities = softmax(this.answer.logits);
      if (!erased) this.before = probabilities;
      this.said = new Answer(this.network.about, probabilities, this.before ?? probabilities, erased);
      this.show();
    }
  }

  /** Show the last answer: heatmap, classes, words. */
  show() {
    if (!this.said) return;
    const { about } = this.network;
    const explained = this.target ?? this.said.predicted;
    const map = this.answer.maps[this.layer];
    this.stage.map = map;
    this.stage.draw();
    this.list(explained);
    const words = [this.said.verdict, this.said.sets, this.said.mapSentence(explained, about.layers[this.layer], map)];
    [".sl-verdict", ".sl-sets", ".sl-map"].forEach((place, number) => (this.find(place).textContent = words[number]));
    this.find(".sl-facts").textContent = facts(about, this.answer.milliseconds);
    this.find(".sl-undo").disabled = !this.stage.past.length;
    this.find(".sl-reset").disabled = !this.stage.erased;
    const under = `Picture under the heatmap for ${about.classes[explained]}`;
    const eraser = "Eraser: arrow keys move the brush, space erases";
    this.stage.canvas.setAttribute("aria-label", this.stage.erasing ? eraser : under);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.find(".sl-live").textContent = words.filter(Boolean).join(" ")), QUIET);
  }

  /** Write the most probable classes, on buttons that keep their places. */
  list(explained) {
    const list = this.find(".sl-top");
    this.said.top.forEach((number, place) => {
      const button = list.children[place]?.firstChild ?? this.addButton(list);
      const [name, share, bar] = button.children;
      button.value = number;
      button.setAttribute("aria-pressed", String(number === explained));
      name.textContent = this.network.about.classes[number];
      share.textContent = this.said.share(number);
      bar.style.setProperty("--now", this.said.probabilities[number]);
      bar.style.setProperty("--was", this.said.before[number]);
    });
  }

  addButton(list) {
    const parts = ["sl-name", "sl-share", "sl-bar"].map((className) => make("span", { className }));
    const button = make("button", { type: "button" }, ...parts);
    button.addEventListener("click", () => this.explain(Number(button.value)));
    list.append(make("li", {}, button));
    return button;
  }
}

export const demos = [...document.querySelectorAll(".sl-demo")].map((root) => new Demo(root));
