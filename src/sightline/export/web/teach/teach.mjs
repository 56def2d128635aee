// Teach it your own classes: what the reader presses, and what the page says to that.
import { dress } from "../dress.mjs";
import { Network, missing } from "../network.mjs";
import { Card, thumbnail } from "./card.mjs";
import { Head, evidence, largest, nearest, rarity } from "./head.mjs";
import { Looking } from "./looking.mjs";
import { BYTES, CLASSES, PICTURES, Taught, parse } from "./taught.mjs";
import { RAMP, View, heatmap } from "./view.mjs";
import { counted, invitation, lacking, leftOutAnswer, likeness, mapSentence, quoted, score, strange, verdict } from "./words.mjs";

const QUIET = 1000; // milliseconds that an answer lasts before a screen reader is told
const SETTLE = 250; // milliseconds without a change before the head is fitted again
const DOUBT = 5000; // milliseconds in which a second press means yes
const NAMES = ["Class 1", "Class 2"];

/** The words on a button that adds what is seen. */
const ADD = { camera: "Hold to take", drawing: "Add the drawing", picture: "Add the picture" };

/** Start a worker; wait until it has fetched what it needs. */
function start(address) {
  const worker = new Worker(address, { type: "module" });
  return new Promise((done, fail) => {
    worker.addEventListener("message", () => done(worker), { once: true });
    worker.addEventListener("error", () => fail(new Error(`${address.pathname.split("/").pop()} could not be loaded.`)));
  });
}

/**
 * Fetch everything, and show the lesson in the place of its button.
 * @param {HTMLElement} root the section that `teach.html` describes
 * @param {(share: number) => void} progress called with 0..1
 */
export async function load(root, progress) {
  await dress(new URL("teach.css", import.meta.url));
  root.lesson = await Lesson.load(root, progress);
}

/** One lesson on a page. */
export class Lesson {
  /**
   * Fetch the network; the rest as `load`.
   * @returns {Promise<Lesson>}
   */
  static async load(root, progress) {
    if (missing()) throw new Error(missing());
    const { folder, bytes } = root.dataset;
    const address = new URL(folder, document.baseURI).href;
    const worker = await start(new URL("head-worker.mjs", import.meta.url));
    return new Lesson(root, await Network.load(address, Number(bytes), progress), worker);
  }

  /**
   * @param {Network} network
   * @param {Worker} worker which fits heads
   */
  constructor(root, network, worker) {
    Object.assign(this, { root, worker, explained: null, number: 0, pending: [], holding: false });
    this.side = network.about.side;
    this.taught = new Taught(network.about.image_size);
    this.cards = new Map();
    const canvas = this.find(".te-canvas");
    this.view = new View(canvas);
    const listener = { changed: () => this.arrange(), warn: (words) => this.warn(words) };
    this.looking = new Looking(network, canvas, this.find(".te-video"), listener);
    this.find(".te-ramp").style.background = RAMP;
    worker.addEventListener("message", ({ data }) => data.number === this.number && this.learn(data));
    this.wire();
    for (const name of NAMES) this.addClass(name);
    this.find(".sl-start").hidden = true;
    this.find(".te-app").hidden = false;
    this.looking.turn("drawing");
    this.find('[data-source="drawing"]').focus({ preventScroll: true });
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  on(selector, event, act) {
    for (const element of this.root.querySelectorAll(selector)) element.addEventListener(event, act);
  }

  wire() {
    const { looking } = this;
    this.on(".te-source", "click", ({ currentTarget }) => looking.turn(currentTarget.dataset.source));
    this.on(".te-own", "change", ({ target }) => this.takeFile(target, (file) => looking.lookAtFile(file)));
    this.on(".te-import", "change", ({ target }) => this.takeFile(target, (file) => this.import(file)));
    this.on(".te-stop", "click", () => looking.close(""));
    this.on(".te-next", "click", () => looking.otherCamera());
    this.on(".te-undo", "click", () => looking.pad.undo());
    this.on(".te-clear", "click", () => looking.pad.clear());
    this.on(".te-remove", "click", () => this.remove(looking.inspected));
    this.on(".te-back", "click", () => looking.back());
    this.on(".te-more", "click", () => this.addClass(`Class ${this.taught.classes.length + 1}`)?.find(".te-name").select());
    this.on(".te-export", "click", () => this.export());
    this.on(".te-over", "click", ({ currentTarget }) => this.startOver(currentTarget));
    this.on(".te-pixels", "change", () => this.show());
    this.on(".te-opacity", "input", ({ target }) => {
      this.view.opacity = Number(target.value);
      this.show();
    });
  }

  /** Give the only file of a field to whoever takes it. */
  takeFile(field, act) {
    const [file] = field.files;
    if (file) act(file);
    field.value = ""; // so that the same file can be chosen again
  }

  /** Show what went wrong, or that nothing did. */
  warn(words) {
    this.find(".te-trouble").textContent = words;
  }

  /** Tell a screen reader what has happened. */
  say(words) {
    this.pending.push(words);
    clearTimeout(this.saying);
    this.saying = setTimeout(() => {
      this.find(".te-live").textContent = this.pending.join(" ");
      this.pending = [];
    }, SETTLE);
  }

  /** Tell a screen reader an answer, once it has lasted; through a camera, once its class has. */
  announce(words, name) {
    const key = this.looking.live ? name : words;
    if (key === this.heard) return;
    this.heard = key;
    clearTimeout(this.hearing);
    this.hearing = setTimeout(() => (this.find(".te-heard").textContent = this.find(".te-verdict").textContent), QUIET);
  }

  // classes and pictures

  /** @returns {Card | undefined} none where there are enough */
  addClass(name) {
    if (this.taught.classes.length === CLASSES) return void this.warn(`${CLASSES} classes are the most that fit on this page.`);
    const own = this.taught.addClass(name);
    const card = new Card(this.find(".te-parts"), own, this);
    this.cards.set(own, card);
    this.find(".te-cards").append(card.root);
    this.change();
    return card;
  }

  rename(own, name) {
    own.name = this.taught.free(name, own);
    this.report();
    this.arrange();
  }

  dropClass(own) {
    const { classes } = this.taught;
    const place = classes.indexOf(own);
    const focused = this.cards.get(own).root.contains(document.activeElement);
    classes.splice(place, 1);
    this.cards.get(own).root.remove();
    this.cards.delete(own);
    if (own.pictures.includes(this.looking.inspected)) this.looking.back();
    if (focused) (this.cards.get(classes[Math.min(place, classes.length - 1)])?.find(".te-name") ?? this.find(".te-more")).focus();
    this.say(`${quoted(own.name)} removed.`);
    this.change();
  }

  room() {
    if (this.taught.count < PICTURES) return true;
    this.warn(`${PICTURES} pictures are the most that are taught here. Remove some to go on.`);
    return false;
  }

  /** Give a class what is seen; @returns {number} of pictures that it got */
  take(own, series) {
    const { seen, source, pad } = this.looking;
    if (!seen || seen === this.last || !this.room()) return 0;
    this.last = seen;
    own.pictures.push({ rgb: seen.rgb, row: seen.row, series });
    if (source === "drawing") pad.clear();
    this.change();
    return 1;
  }

  /** A button was let go after so many pictures. */
  taken(own, count) {
    if (count) this.say(`${counted(count, "picture")} added to ${quoted(own.name)}.`);
  }

  /** Give a class pictures from files, each a series of its own. */
  async addFiles(own, files) {
    this.warn("");
    const troubles = [];
    let count = 0;
    for (const file of files) {
      if (!this.room()) break;
      try {
        const { rgb, row } = await this.looking.read(file);
        own.pictures.push({ rgb, row, series: this.taught.series() });
        count += 1;
      } catch (error) {
        troubles.push(error.message);
      }
    }
    if (count) this.change();
    if (troubles.length) this.warn(`${troubles.length} of ${counted(files.length, "file")} not added. ${troubles[0]}`);
    this.taken(own, count);
  }

  /** Look at a taught picture; pressed again: no more. */
  inspect(picture) {
    if (this.looking.inspected === picture) this.looking.back();
    else this.looking.inspect(picture);
  }

  remove(picture) {
    const own = this.taught.classes.find(({ pictures }) => pictures.includes(picture));
    own.pictures.splice(own.pictures.indexOf(picture), 1);
    if (this.looking.inspected === picture) this.looking.back();
    this.say(`Picture removed from ${quoted(own.name)}.`);
    this.change();
  }

  /** Remove everything, when pressed twice. */
  startOver(button) {
    const sure = button.dataset.sure === "yes";
    if (sure) {
      for (const own of [...this.taught.classes]) this.dropClass(own);
      for (const name of NAMES) this.addClass(name);
    }
    const turn = (asking) => {
      button.dataset.sure = asking ? "yes" : "";
      button.textContent = asking ? `Remove ${counted(this.taught.count, "picture")}?` : "Start over";
    };
    turn(!sure);
    clearTimeout(this.doubt);
    this.doubt = setTimeout(() => turn(false), DOUBT);
  }

  // files

  export() {
    const link = document.createElement("a");
    const address = URL.createObjectURL(new Blob([this.taught.text()], { type: "application/json" }));
    Object.assign(link, { href: address, download: "taught-classes.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000); // until then it is being read
  }

  /** Add the classes of a file, all of them or none. */
  async import(file) {
    this.warn("");
    try {
      if (file.size > BYTES) throw new Error(`it has ${(file.size / 1e6).toFixed(1)} MB; ${BYTES / 1e6} MB are the most.`);
      const classes = parse(await file.text(), this.taught.size);
      this.taught.refuse(classes);
      for (const { pictures } of classes) {
        for (const picture of pictures) picture.row = (await this.looking.look(picture.rgb)).row;
      }
      this.adopt(classes);
    } catch (error) {
      this.warn(`${quoted(file.name)} was not imported, and nothing has changed: ${error.message}`);
    }
  }

  adopt(classes) {
    const names = classes.map(({ name }) => name);
    for (const own of this.taught.bare) if (!names.includes(own.name)) this.dropClass(own);
    for (const { name } of classes) if (!this.taught.named(name)) this.addClass(name);
    this.taught.adopt(classes);
    this.say(`Imported: ${names.join(", ")}.`);
    this.change();
  }

  // what the head makes of it

  /** Something was added or removed: fit again soon. Until then the head of before answers, if it can. */
  change() {
    Object.assign(this, { answers: null, done: 0 });
    if (!this.taught.enough || this.head?.weights.length !== this.taught.classes.length) {
      Object.assign(this, { head: null, distances: [] });
    }
    this.number += 1;
    this.report();
    this.arrange();
    clearTimeout(this.settle);
    if (!this.taught.enough) return;
    this.settle = setTimeout(() => {
      this.order = this.taught.pictures.map(({ picture }) => picture);
      this.worker.postMessage({ number: this.number, taught: this.taught.problem() });
    }, SETTLE);
  }

  /** Take what the worker has: a head, how far it is with measuring, or the answers left out. */
  learn({ weights, biases, distances, done, answers }) {
    if (weights) Object.assign(this, { head: new Head(weights, biases), distances });
    if (done) this.done = done;
    if (answers) this.answers = new Map(answers.map(({ number, probabilities }) => [this.order[number], probabilities]));
    this.report();
    this.show();
  }

  /** Say how good the head is, and mark what it got wrong. */
  report() {
    const { taught, answers } = this;
    const wanting = taught.enough ? lacking(taught) : "";
    const wrong = new Map();
    if (answers && !wanting) {
      for (const { picture, label } of taught.pictures) {
        const first = largest(answers.get(picture));
        if (first !== label) wrong.set(picture, taught.classes[first].name);
      }
    }
    const measuring = taught.enough && !answers && !wanting;
    const words = wanting || (answers ? score(taught, taught.count - wrong.size) : "");
    this.find(".te-score").textContent = measuring ? "Measuring…" : words;
    this.find(".te-measuring").hidden = !measuring;
    this.find(".te-measuring").value = this.done / Math.max(1, taught.count);
    this.find(".te-marks").hidden = !wrong.size;
    for (const card of this.cards.values()) card.list(wrong);
    if (answers && !wanting) this.say(words);
  }

  /** Show the heatmap for a class; pressed again: for the predicted one. */
  explain(own) {
    this.explained = this.explained === own ? null : own;
    this.show();
  }

  /** Write names and counts, turn on what can be pressed, and show the rest. */
  arrange() {
    const { source, inspected, seen, pad, camera, others } = this.looking;
    const drawing = source === "drawing" && !inspected;
    for (const button of this.root.querySelectorAll(".te-source")) {
      button.setAttribute("aria-pressed", String(button.dataset.source === source && !inspected));
    }
    const visible = { stop: camera.on && !inspected, next: camera.on && !inspected && others, undo: drawing, clear: drawing };
    Object.assign(visible, { how: drawing, remove: inspected, back: inspected });
    for (const [name, shown] of Object.entries(visible)) this.find(`.te-${name}`).hidden = !shown;
    const hints = { camera: seen ? "" : "Starting the camera…", drawing: pad.blank ? "Draw here" : "", picture: "" };
    this.find(".te-hint").textContent = inspected ? "" : (hints[source] ?? "Choose one of the three above");
    this.find(".te-undo").disabled = !pad.past.length;
    this.find(".te-clear").disabled = pad.blank;
    for (const card of this.cards.values()) {
      card.write(ADD[source] ?? ADD.camera, inspected);
      card.find(".te-add").disabled = !seen || Boolean(inspected);
    }
    this.find(".te-export").disabled = this.find(".te-over").disabled = !this.taught.count;
    this.show();
  }

  /** Show what is seen, with the head's answer. */
  show() {
    const { seen, inspected } = this.looking;
    const { classes } = this.taught;
    const left = this.answers?.get(inspected);
    const probabilities = this.head && seen ? (left ?? this.head.probabilities(seen.row)) : null;
    const first = probabilities ? largest(probabilities) : -1;
    const explained = classes.includes(this.explained) ? classes.indexOf(this.explained) : first;
    classes.forEach((own, name) => this.cards.get(own).answer(probabilities?.[name] ?? null, name === explained));
    const map = probabilities && heatmap(evidence(seen.columns, this.head.weights[explained]), this.view.side);
    const words = this.sentences(probabilities, left);
    words.map = probabilities ? mapSentence(classes[explained].name, map, this.side) : "";
    for (const name of ["verdict", "why", "map"]) this.find(`.te-${name}`).textContent = words[name];
    this.root.classList.toggle("te-strange", Boolean(words.strange));
    this.paint(map, words.verdict);
    if (words.verdict) this.announce(words.verdict, `${first} ${words.strange}`);
  }

  /** Say what is seen: a taught picture, or a new one and whether it is like those. */
  sentences(probabilities, left) {
    const { seen, inspected } = this.looking;
    const { classes, pictures } = this.taught;
    const names = classes.map(({ name }) => name);
    if (inspected) {
      const label = classes.findIndex((own) => own.pictures.includes(inspected));
      const place = classes[label].pictures.indexOf(inspected) + 1;
      return { verdict: `Picture ${place} of ${quoted(names[label])}.`, why: left ? leftOutAnswer(names, label, left) : "" };
    }
    if (!probabilities) return { verdict: "", why: this.taught.enough ? "" : invitation(this.taught) };
    const far = nearest(seen.row, pictures.map(({ row }) => row));
    const rare = strange(rarity(far, this.distances));
    return { verdict: verdict(names, probabilities, rare), why: likeness(far, this.distances), strange: rare };
  }

  /** Draw what is seen with its map: as it is, or in the pixels that the network gets. */
  paint(map, words) {
    const { source, seen, inspected, pad, ground } = this.looking;
    const coarse = inspected ?? (this.find(".te-pixels").checked && !pad.down && seen);
    const picture = coarse ? thumbnail(coarse.rgb, this.taught.size) : source && ground.canvas;
    const clear = pad.down || this.holding; // to see what one does
    this.view.draw(picture, clear ? null : map, pad.steered ? pad.pen : null);
    const sheet = "Sheet: arrow keys move the pen, space lowers and lifts it";
    this.view.context.canvas.setAttribute("aria-label", pad.on ? sheet : words || "What is seen");
  }
}
