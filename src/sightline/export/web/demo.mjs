// The live demo: what the reader presses, and what happens then.
import { Answer, facts } from "./answer.mjs";
import { Crop } from "./crop.mjs";
import { softmax } from "./network.mjs";
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
  /**
   * @param {HTMLElement} root the section that `demo.html` describes, with `app.html` in it
   * @param {import("./network.mjs").Network} network
   */
  constructor(root, network) {
    const { about } = network;
    Object.assign(this, { root, network });
    this.subject = null; // the picture that is shown, as an object of its own
    this.target = null; // the class to explain; null: the predicted one
    this.answer = null; // the last one of the network
    this.said = null; // the same as an `Answer`
    this.before = null; // probabilities before anything was erased
    this.moved = false; // the square was, and is not shown yet
    this.busy = null; // the questions in progress
    this.stage = new Stage(this.find(".sl-canvas"), about.image_size, about.mean, () => this.ask());
    this.crop = new Crop(this.find(".sl-crop"), () => this.move());
    this.layer = about.layers.length - 1;
    this.fill(about);
    this.wire();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  /** Listen to all elements that fit. */
  on(selector, event, act) {
    for (const element of this.root.querySelectorAll(selector)) element.addEventListener(event, act);
  }

  /** Show the first picture. */
  async open() {
    const thumb = this.find(".sl-thumbs").children[this.root.dataset.first];
    if (thumb) await this.choose(thumb);
  }

  /** Write what depends on the network: pictures, classes, layers, colours. */
  fill({ pictures, classes, layers }) {
    pictures.forEach(({ file, class: name }, number) => {
      const image = make("img", { src: this.root.dataset.folder + file, alt: `${name}, picture ${number + 1}` });
      const thumb = make("button", { type: "button", className: "sl-thumb" }, image);
      thumb.dataset.name = name;
      this.find(".sl-thumbs").append(thumb);
    });
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
    this.on(".sl-app", "drop", (event) => this.drop(event));
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      const file = files.find(({ type }) => type.startsWith("image/"));
      if (file) this.take(file);
    });
  }

  drop(event) {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) this.take(file);
    else this.complain("That was no file. Save the picture first, then choose it or drop it here.");
  }

  complain(words) {
    this.find(".sl-trouble").textContent = words;
  }

  /** Show a built-in picture. */
  async choose(thumb) {
    const image = thumb.querySelector("img");
    try {
      await image.decode();
    } catch {
      this.complain(`${image.alt} could not be fetched: no connection to the server.`);
      return;
    }
    await this.take(image, thumb);
  }

  /**
   * Show a picture; say so if it is none.
   * @param {Blob | HTMLImageElement} source
   * @param {HTMLElement | null} thumb the button of a built-in one
   */
  async take(source, thumb = null) {
    const subject = { thumb };
    this.reading = subject;
    this.complain("");
    this.wait(true);
    let picture;
    try {
      picture = await Picture.read(source);
    } catch (error) {
      if (this.reading !== subject) return;
      this.complain(error instanceof PictureError ? error.message : `That picture failed: ${error.message}`);
      this.wait(Boolean(this.busy));
      return;
    }
    if (this.reading !== subject) return; // another one was chosen meanwhile
    Object.assign(this, { subject, target: null });
    const { framing, image_size: size } = this.network.about;
    this.crop.begin(framing === "pad" ? picture.pad(size) : picture, size);
    this.cut();
    await this.ask();
  }

  /** Show the square that is chosen, whole. */
  cut() {
    this.moved = false;
    this.before = this.said = null; // what is known is of another picture
    this.stage.forget();
    this.stage.show(this.crop.picture.fit(this.crop.square, this.stage.size).rgb);
  }

  /** Show another square once the network has answered about the last one. */
  move() {
    this.moved = true;
    return this.ask();
  }

  /** Ask for the heatmap of a class; null: of the predicted one. */
  explain(target) {
    this.target = target;
    return this.ask();
  }

  pickEraser({ currentTarget: button, detail }) {
    const erasing = !this.stage.erasing;
    button.setAttribute("aria-pressed", String(erasing));
    for (const part of [".sl-how", ".sl-eraser"]) this.find(part).hidden = !erasing;
    this.stage.take(erasing);
    this.show();
    if (erasing && !detail) this.stage.canvas.focus(); // it was pressed by keyboard
  }

  /** Ask the network; questions asked meanwhile wait, and only the last counts. */
  ask() {
    this.stale = true;
    this.wait(true);
    this.busy ??= this.work().finally(() => {
      this.busy = null;
      this.wait(false);
    });
    return this.busy;
  }

  /** Mark the words as those of an earlier question, or of another picture. */
  wait(waiting) {
    const words = this.find(".sl-columns");
    words.setAttribute("aria-busy", String(waiting));
    words.classList.toggle("sl-unanswered", waiting && !this.said);
  }

  async work() {
    while (this.stale) {
      if (this.moved) this.cut();
      const erased = this.before ? this.stage.erased : 0; // first the whole picture, to compare with
      this.stale = erased !== this.stage.erased;
      const question = { subject: this.subject, target: this.target, erased };
      try {
        const answer = await this.network.run(this.stage.pixels(!erased), question.target);
        const counts = question.subject === this.subject && question.target === this.target;
        if (counts) this.hear(question, answer);
      } catch (error) {
        this.hush(`The network stopped: ${error.message}. Reload the page to go on.`);
        return;
      }
    }
  }

  /** Show an answer, and what it was asked about. */
  hear({ subject, target, erased }, answer) {
    const probabilities = softmax(answer.logits);
    if (!erased) this.before = probabilities;
    this.answer = answer;
    this.said = new Answer(this.network.about, probabilities, this.before, erased);
    this.explained = target ?? this.said.predicted;
    for (const thumb of this.root.querySelectorAll(".sl-thumb")) {
      thumb.setAttribute("aria-pressed", String(thumb === subject.thumb));
    }
    const label = subject.thumb ? `Its label: ${subject.thumb.dataset.name}.` : "";
    const square = this.crop.root.hidden ? "" : "A square of your picture: choose it below.";
    this.find(".sl-truth").textContent = erased ? "" : label || square; // the verdict takes its place
    this.find(".sl-class").value = target ?? "";
    this.show();
  }

  /** Say why there is no answer; none is left that could be taken for one. */
  hush(words) {
    this.complain(words);
    this.said = null;
    this.find(".sl-top").replaceChildren();
    for (const place of ["verdict", "truth", "map", "sets", "facts"]) this.find(`.sl-${place}`).textContent = "";
  }

  /** Show the last answer: heatmap, classes, words. */
  show() {
    if (!this.said) return;
    const { about } = this.network;
    const map = this.answer.maps[this.layer];
    this.stage.map = map;
    this.stage.draw();
    this.list();
    const words = [this.said.verdict, this.said.sets, this.said.mapSentence(this.explained, about.layers[this.layer], map)];
    [".sl-verdict", ".sl-sets", ".sl-map"].forEach((place, number) => (this.find(place).textContent = words[number]));
    this.find(".sl-facts").textContent = facts(about, this.answer.milliseconds);
    this.find(".sl-undo").disabled = !this.stage.past.length;
    this.find(".sl-reset").disabled = !this.stage.erased;
    const under = `Picture under the heatmap for ${about.classes[this.explained]}`;
    const eraser = "Eraser: arrow keys move the brush, space erases";
    this.stage.canvas.setAttribute("aria-label", this.stage.erasing ? eraser : under);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.find(".sl-live").textContent = words.filter(Boolean).join(" ")), QUIET);
  }

  /** Write the most probable classes, on buttons that keep their places. */
  list() {
    const list = this.find(".sl-top");
    this.said.top.forEach((number, place) => {
      const button = list.children[place]?.firstChild ?? this.addButton(list);
      const [name, share, bar] = button.children;
      button.value = number;
      button.setAttribute("aria-pressed", String(number === this.explained));
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
