// The lesson: what the reader presses, and what the training answers.
import { dress } from "../dress.mjs";
import { download, missing, unpack } from "../network.mjs";
import { CLASSES } from "../shapes.mjs";
import { Chart } from "./chart.mjs";
import { compare, percent, verdict } from "./outcome.mjs";
import { Tile } from "./tile.mjs";
import { EPOCH, MARKED, RIGHT, STEPS } from "./trainer.mjs";

const WASM = "ort/ort-wasm-simd-threaded.wasm.gz";
const FILES = { wasm: WASM, step: "train/step.onnx", look: "train/look.onnx", layout: "train/layout.json" };
const SMOOTH = 50; // steps in the mean that a curve shows
const DENSE = 10; // steps between two points of a curve
const LARGEST_LOSS = 3.2;
const BYTES = 32 * 32 * 3;

const thousands = (number) => number.toLocaleString("en");

/** What one training has shown so far. */
class Curves {
  constructor() {
    this.recent = [];
    this.loss = [];
    this.accuracy = [];
    this.unseen = [];
    this.changes = [];
  }

  /** Take in the steps up to and including `steps`. */
  add(points, steps) {
    points.forEach((point, i) => {
      this.recent.push(point);
      if (this.recent.length > SMOOTH) this.recent.shift();
      const step = steps - points.length + i + 1;
      if (step % DENSE) return;
      for (const name of ["loss", "accuracy"]) {
        const mean = this.recent.reduce((sum, value) => sum + value[name], 0) / this.recent.length;
        this[name].push([step, mean]);
      }
    });
  }
}

/**
 * Fetch everything and begin to train.
 * @param {HTMLElement} root the section that `train.html` describes
 * @param {(share: number) => void} progress called with 0..1
 */
export async function load(root, progress) {
  await dress(new URL("train.css", import.meta.url));
  root.lesson = await Lesson.load(root, progress);
}

export class Lesson {
  /** The same without the style. */
  static async load(root, progress) {
    if (missing()) throw new Error(missing());
    const folder = new URL(root.dataset.folder, document.baseURI);
    let bytes = 0;
    const tell = (more) => progress(Math.min(1, (bytes += more) / Number(root.dataset.bytes)));
    const names = Object.keys(FILES);
    const files = await Promise.all(names.map((name) => download(new URL(FILES[name], folder), tell)));
    const [wasm, step, look, layout] = files;
    const lesson = new Lesson(root);
    await lesson.begin({
      wasm: await unpack(wasm, WASM),
      step: step.buffer,
      look: look.buffer,
      layout: JSON.parse(new TextDecoder().decode(layout)),
    });
    return lesson;
  }

  constructor(root) {
    this.root = root;
    root.dataset.state = "loading";
    this.number = 0; // of the last message to the worker
    this.first = 0; // number of the message with which this training began
    this.state = "paused"; // or training, finished, broken
    this.steps = 0;
    this.curves = new Curves();
    this.before = null; // the curves of the training before this one
    this.worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => {
      if (data.number >= this.first) this[data.kind](data);
    });
    this.worker.addEventListener("error", () => this.error({ message: "a part of the runtime could not be loaded." }));
  }

  find(name) {
    return this.root.querySelector(`.tr-${name}`);
  }

  /** Send the worker a message; it interrupts what is under way. */
  send(task, more = {}, transfer = []) {
    this.number += 1;
    const often = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 200; // milliseconds
    this.worker.postMessage({ task, number: this.number, switches: this.switches, often, ...more }, transfer);
  }

  get switches() {
    const checked = (name) => this.find(name).checked;
    const { value } = this.root.querySelector(".tr-rate:checked");
    return { ...RIGHT, mark: checked("mark"), norm: !checked("norm"), shuffle: !checked("shuffle"), factor: Number(value) };
  }

  async begin(files) {
    this.build();
    await new Promise((done, fail) => {
      Object.assign(this, { done, fail });
      this.send("load", files, [files.wasm, files.step, files.look]);
    });
    this.send("reset");
    this.root.querySelector(".sl-start").hidden = true;
    this.find("app").hidden = false;
    this.find("go").focus({ preventScroll: true });
    this.train();
  }

  /** Make what needs the script, and listen. */
  build() {
    this.tiles = [...this.root.querySelectorAll(".tr-tile")].map((item) => new Tile(item));
    const axes = { steps: STEPS };
    const levels = [0, 1, 2, 3].map((value) => [value, String(value)]);
    const shares = [0, 0.25, 0.5, 0.75, 1].map((value) => [value, `${100 * value}%`]);
    this.losses = new Chart(this.find("loss"), { ...axes, top: LARGEST_LOSS, ticks: levels, guess: Math.log(CLASSES.length) });
    this.accuracies = new Chart(this.find("accuracy"), { ...axes, top: 1, ticks: shares, guess: 1 / CLASSES.length });
    this.find("go").addEventListener("click", () => (this.state === "training" ? this.pause() : this.train()));
    this.find("step").addEventListener("click", () => this.oneStep());
    this.find("reset").addEventListener("click", () => this.reset());
    this.find("switches").addEventListener("change", ({ target }) => this.change(target));
    document.addEventListener("visibilitychange", () => this.look());
  }

  train() {
    this.enter("training");
    this.say(this.steps ? "Training goes on." : "Training.");
    this.go();
  }

  /** Train unless nobody looks; `look` goes on when somebody does. */
  go() {
    if (!document.hidden) this.send("go");
  }

  pause() {
    this.enter("paused");
    this.say(`Paused after ${thousands(this.steps)} steps.`);
    this.send("show");
  }

  oneStep() {
    this.enter("paused");
    this.send("go", { steps: 1 });
  }

  /** Begin again; the curves of this training stay for comparison. */
  reset() {
    if (this.steps) this.before = this.curves;
    this.curves = new Curves();
    this.steps = 0;
    this.find("outcome").hidden = true;
    this.find("verdict").textContent = "";
    this.enter("paused");
    this.say("Reset: the network has its first weights again.");
    this.send("reset");
    this.first = this.number;
  }

  /** A switch holds from the next step on. */
  change(target) {
    if (this.steps) this.curves.changes.push(this.steps);
    const words = target.closest("label").textContent.trim();
    this.say(target.type === "checkbox" ? `${words}: ${target.checked ? "on" : "off"}.` : `Rate: ${words}.`);
    if (this.state === "training") this.go();
    else if (this.state === "paused") this.send("show");
    else this.say("Press Reset to train with this.");
  }

  /** Wait while nobody looks. */
  look() {
    if (this.state !== "training") return;
    if (document.hidden) this.send("show");
    else this.go();
  }

  /** Enable what can be pressed. */
  enter(state) {
    this.state = state;
    const over = state === "finished" || state === "broken";
    this.root.dataset.state = state;
    this.find("go").textContent = state === "training" ? "Pause" : "Train";
    for (const name of ["go", "step"]) this.find(name).disabled = over;
  }

  /** Announce something, at once on the screen and politely to a screen reader. */
  say(words) {
    this.find("live").textContent = words;
  }

  progress({ steps, rate, points, images, pictures, answers }) {
    this.steps = steps;
    this.curves.add(points, steps);
    this.tiles.forEach((tile, i) => tile.show(images.subarray(i * BYTES, (i + 1) * BYTES), pictures[i], answers[i]));
    this.find("count").textContent = `Step ${thousands(steps)} of ${thousands(STEPS)}`;
    this.find("done").value = steps / STEPS;
    this.find("now").textContent = `learning rate ${rate.toPrecision(2)}`;
    this.draw();
    if (steps === STEPS && this.state === "training") this.say("Trained. Asking about 1,000 unseen pictures, without the mark and with it…");
  }

  validated({ steps, accuracy }) {
    this.curves.unseen.push([steps, accuracy]);
    this.draw();
    if (steps && steps % EPOCH === 0) this.say(`Step ${thousands(steps)}: ${percent(accuracy, 0)} of unseen pictures right.`);
  }

  draw() {
    const { loss, accuracy, unseen, changes } = this.curves;
    const ghost = (name) => ({ points: this.before?.[name] ?? [], kind: "tr-before" });
    this.losses.draw([ghost("loss"), { points: loss, kind: "tr-training" }], changes);
    const curves = [ghost("unseen"), { points: accuracy, kind: "tr-training" }, { points: unseen, kind: "tr-unseen" }];
    this.accuracies.draw(curves, changes);
    const last = (points, text) => (points.length ? text(points.at(-1)[1]) : "–");
    this.find("loss-now").textContent = last(loss, (value) => value.toFixed(2));
    this.find("accuracy-now").textContent = last(unseen, (value) => percent(value, 0));
  }

  tested(answers) {
    const result = compare(answers);
    for (const name of ["all", "own", "others"]) {
      const { n, ...hits } = result[name];
      for (const version of ["plain", "marked"]) {
        this.find(`${name}-${version}`).textContent = percent(hits[version] / n);
      }
    }
    this.enter("finished");
    this.say("Finished.");
    this.find("outcome").hidden = false;
    this.find("verdict").textContent = verdict(result, CLASSES[MARKED], 1 / CLASSES.length);
  }

  broken({ steps }) {
    this.enter("broken");
    this.say(`At step ${thousands(steps)} the loss is no number any more, and no weight will be one again. Press Reset.`);
  }

  error({ message }) {
    this.fail(new Error(message)); // if it was about to be loaded
    this.enter("broken");
    this.say(`The training stopped: ${message} Reload the page to go on.`);
  }
}
