// One class on the page: its name, its bar, its pictures.
import { percent } from "../answer.mjs";
import { capture } from "../stage.mjs";
import { NAME } from "./taught.mjs";
import { counted, quoted } from "./words.mjs";

const EVERY = 200; // milliseconds between two pictures while a button is held

/** Draw pixels on a small canvas of their size. */
export function thumbnail(rgb, size) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  canvas.setAttribute("aria-hidden", "true");
  const rgba = new Uint8ClampedArray(4 * size * size).fill(255);
  for (let i = 0; i < size * size; i++) rgba.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
  canvas.getContext("2d").putImageData(new ImageData(rgba, size, size), 0, 0);
  return canvas;
}

/** What the reader sees and presses of a class. */
export class Card {
  /**
   * @param {HTMLTemplateElement} template
   * @param {{name: string, pictures: object[]}} own the class
   * @param {import("./teach.mjs").Lesson} lesson which is told what was pressed
   */
  constructor(template, own, lesson) {
    Object.assign(this, { own, lesson, timer: null, thumbs: new Map() });
    this.root = template.content.firstElementChild.cloneNode(true);
    this.find = (name) => this.root.querySelector(name);
    this.find(".te-name").maxLength = NAME;
    this.find(".te-name").addEventListener("change", ({ target }) => {
      lesson.rename(own, target.value);
      target.value = own.name;
    });
    this.find(".te-answer").addEventListener("click", () => lesson.explain(own));
    this.find(".te-drop").addEventListener("click", () => lesson.dropClass(own));
    this.find(".te-file").addEventListener("change", ({ target }) => {
      lesson.addFiles(own, [...target.files]);
      target.value = ""; // so that the same file can be chosen again
    });
    this.root.addEventListener("dragover", (event) => event.preventDefault());
    this.root.addEventListener("drop", (event) => {
      event.preventDefault();
      lesson.addFiles(own, [...event.dataTransfer.files]);
    });
    this.listen(this.find(".te-add"));
  }

  /** Take pictures as long as the button is held, by pointer or by key; one if it is clicked. */
  listen(button) {
    button.addEventListener("pointerdown", (event) => {
      if (event.button || button.disabled) return;
      capture(button, event); // a finger may drift
      this.hold();
    });
    button.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault(); // or a click follows
      if (!event.repeat) this.hold();
    });
    for (const end of ["pointerup", "pointercancel", "keyup", "blur"]) button.addEventListener(end, () => this.release());
    button.addEventListener("contextmenu", (event) => event.preventDefault()); // of a long press
    button.addEventListener("click", ({ detail }) => {
      if (detail) return; // a pointer, which was heard already
      this.hold(); // a screen reader
      this.release();
    });
  }

  hold() {
    if (this.timer) return;
    this.taken = 0;
    const series = this.lesson.taught.series();
    const take = () => (this.taken += this.lesson.take(this.own, series));
    take();
    this.timer = setInterval(() => this.lesson.looking.live && take(), EVERY);
    this.root.classList.add("te-holding");
    this.lesson.holding = true;
  }

  release() {
    if (!this.timer) return;
    clearInterval(this.timer);
    this.timer = null;
    this.root.classList.remove("te-holding");
    this.lesson.holding = false;
    this.lesson.taken(this.own, this.taken);
  }

  /**
   * Write the name and what depends on it.
   * @param {string} words on the button that adds a picture
   * @param {object | null} inspected the taught picture that is looked at
   */
  write(words, inspected) {
    const { name, pictures } = this.own;
    const field = this.find(".te-name");
    if (document.activeElement !== field) field.value = name; // or it would be typed in vain
    this.find(".te-add").textContent = words;
    this.find(".te-add").setAttribute("aria-label", `${words}: ${name}`);
    this.find(".te-file").setAttribute("aria-label", `Choose files: ${name}`);
    this.find(".te-drop").setAttribute("aria-label", `Remove the class ${quoted(name)}`);
    this.find(".te-thumbs").setAttribute("aria-label", `Pictures of ${name}`);
    this.find(".te-count").textContent = counted(pictures.length, "picture");
    for (const [picture, thumb] of this.thumbs) thumb.setAttribute("aria-pressed", String(picture === inspected));
  }

  /**
   * Show the pictures, those that were taken for another class marked.
   * @param {Map<object, string>} wrong the class that each was taken for
   */
  list(wrong) {
    for (const [picture, thumb] of this.thumbs) if (!this.own.pictures.includes(picture)) this.forget(picture, thumb);
    this.own.pictures.forEach((picture, place) => {
      const thumb = this.thumbs.get(picture) ?? this.addThumb(picture);
      const taken = wrong.get(picture);
      thumb.classList.toggle("te-wrong", taken !== undefined);
      const words = taken === undefined ? "" : `, taken for ${taken} when left out`;
      thumb.setAttribute("aria-label", `Picture ${place + 1} of ${this.own.name}${words}`);
    });
  }

  addThumb(picture) {
    const thumb = document.createElement("button");
    Object.assign(thumb, { type: "button", className: "te-thumb" });
    thumb.setAttribute("aria-pressed", "false");
    thumb.append(thumbnail(picture.rgb, this.lesson.taught.size));
    thumb.addEventListener("click", () => this.lesson.inspect(picture));
    thumb.addEventListener("keydown", ({ key }) => {
      if (key === "Delete" || key === "Backspace") this.lesson.remove(picture);
    });
    this.thumbs.set(picture, thumb);
    const list = this.find(".te-thumbs");
    list.append(thumb);
    list.scrollTo(list.scrollWidth, list.scrollHeight);
    return thumb;
  }

  /** Take a thumbnail away; the focus goes to its neighbour. */
  forget(picture, thumb) {
    const neighbour = thumb.nextElementSibling ?? thumb.previousElementSibling ?? this.find(".te-add");
    if (document.activeElement === thumb) neighbour.focus();
    thumb.remove();
    this.thumbs.delete(picture);
  }

  /** Show a probability; null: there is none yet. */
  answer(share, explained) {
    const words = share === null ? "–" : percent(share);
    this.find(".te-share").textContent = words;
    this.find(".te-bar").style.setProperty("--share", share ?? 0);
    const button = this.find(".te-answer");
    button.disabled = share === null;
    button.setAttribute("aria-pressed", String(explained));
    button.setAttribute("aria-label", share === null ? `${this.own.name}: no answer yet` : `${this.own.name}, ${words}: show its heatmap`);
  }
}
