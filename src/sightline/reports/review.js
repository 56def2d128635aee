"use strict";
// The decisions of a review: an array of events, of which the last about a file counts.
const byId = (id) => document.getElementById(id);
const review = JSON.parse(document.querySelector("main").dataset.review);
const units = [...document.querySelectorAll("figure")].map((figure) => ({
  figure, ...JSON.parse(figure.dataset.unit),
}));
const place = new Map(units.map((unit, i) => [unit.figure, i]));
const KINDS = ["keep", "relabel", "set aside"];
let events = load();
let current = 0;

function load() {
  const now = new Map(units.map((unit) => [unit.file, unit.sha256]));
  const unchanged = (event) => (now.get(event.file) ?? event.sha256) === event.sha256;
  try {
    return (JSON.parse(localStorage.getItem(review.key)) || []).filter(unchanged);
  } catch {
    return [];
  }
}

function save() {
  try {
    localStorage.setItem(review.key, JSON.stringify(events));
  } catch {
    byId("trouble").textContent =
      "This browser keeps nothing for this page: download before you close it.";
  }
}

function decisions() {
  return new Map(events.map((event) => [event.file, event]));
}

function words(event) {
  if (!event) return "undecided";
  if (event.decision !== "relabel") return event.decision;
  return `relabel: ${review.names[review.classes.indexOf(event.class)]}`;
}

function show() {
  const made = decisions();
  for (const unit of units) {
    const event = made.get(unit.file);
    unit.figure.dataset.decision = event ? event.decision : "";
    unit.figure.querySelector(".decision").textContent = words(event);
    for (const button of unit.figure.querySelectorAll("button")) {
      const same = event && button.dataset.decision === event.decision;
      const of = button.dataset.class;
      button.setAttribute("aria-pressed", Boolean(same && (!of || JSON.parse(of) === event.class)));
    }
  }
  const files = new Set(units.map((unit) => unit.file));
  const done = [...files].filter((file) => made.has(file)).length;
  byId("count").textContent = `${done} of ${files.size} pictures decided`;
}

function go(index) {
  if (!units.length) return;
  current = Math.max(0, Math.min(units.length - 1, index));
  const { figure } = units[current];
  figure.focus({ preventScroll: true });
  figure.scrollIntoView({ block: "center" });
}

function decide(unit, decision, to) {
  const kept = decision === "relabel" && to === unit.class;
  const event = { file: unit.file, sha256: unit.sha256, decision: kept ? "keep" : decision };
  if (event.decision === "relabel") event.class = to;
  events.push(event);
  save();
  show();
  byId("said").textContent = `${words(event)}: ${unit.name}`;
  go(place.get(unit.figure) + 1);
}

function undo() {
  const last = events.pop();
  if (!last) return;
  save();
  show();
  const unit = units.find((each) => each.file === last.file);
  byId("said").textContent = unit ? `undone: ${unit.name}` : "undone";
  if (unit) go(place.get(unit.figure));
}

function ask(unit) {
  current = place.get(unit.figure);
  byId("which").textContent = unit.name;
  byId("class").value = byId("wrong").textContent = "";
  document.querySelector("dialog").showModal();
}

function take() {
  const index = review.names.indexOf(byId("class").value.trim());
  if (index < 0) {
    byId("wrong").textContent = `There is no such class; choose from ${review.names.join(", ")}`;
    return;
  }
  document.querySelector("dialog").close();
  decide(units[current], "relabel", review.classes[index]);
}

function act(unit, button) {
  if (button.dataset.decision === "other") ask(unit);
  else decide(unit, button.dataset.decision, button.dataset.class && JSON.parse(button.dataset.class));
}

function corrections() {
  return { kind: "sightline corrections", folder: review.folder, decisions: [...decisions().values()] };
}

function download() {
  const link = document.createElement("a");
  const blob = new Blob([JSON.stringify(corrections(), null, 2) + "\n"], { type: "application/json" });
  link.href = URL.createObjectURL(blob);
  link.download = "corrections.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

function fits(event) {
  const unit = event && units.find((each) => each.file === event.file && each.sha256 === event.sha256);
  return unit && KINDS.includes(event.decision)
    && (event.decision !== "relabel" || review.classes.includes(event.class));
}

async function read(file) {
  let all;
  try {
    all = JSON.parse(await file.text()).decisions;
    if (!Array.isArray(all)) throw new TypeError();
  } catch {
    byId("trouble").textContent = `${file.name} holds no corrections.`;
    return;
  }
  const own = all.filter(fits);
  events.push(...own);
  save();
  show();
  byId("trouble").textContent = `${own.length} decisions were read`
    + (own.length < all.length ? `; ${all.length - own.length} are not about pictures of this page.` : ".");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, dialog")) return;
  const figure = event.target.closest("figure");
  if (figure) current = place.get(figure);
  const steps = { ArrowDown: 1, ArrowRight: 1, j: 1, ArrowUp: -1, ArrowLeft: -1, i: -1 };
  const key = event.key.length > 1 ? event.key : event.key.toLowerCase();
  const inside = [...(units[current]?.figure.querySelectorAll("button") || [])];
  const button = inside.find((each) => each.querySelector("kbd").textContent === key);
  if (key === "u") undo();
  else if (!figure && (steps[key] || button)) go(current); // look before you decide
  else if (steps[key]) go(current + steps[key]);
  else if (button) act(units[current], button);
  else return;
  event.preventDefault();
});
document.querySelector("main").addEventListener("click", (event) => {
  const figure = event.target.closest("figure");
  if (!figure) return;
  current = place.get(figure);
  const button = event.target.closest("button");
  if (button) act(units[current], button);
});
byId("undo").addEventListener("click", undo);
byId("download").addEventListener("click", download);
byId("import").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  if (event.target.files[0]) read(event.target.files[0]);
  event.target.value = "";
});
byId("take").addEventListener("click", take);
byId("class").addEventListener("keydown", (event) => {
  if (event.key === "Enter") take();
});
document.querySelector("dialog").addEventListener("close", () => units[current]?.figure.focus());
show();
const made = decisions();
const first = units.findIndex((unit) => !made.has(unit.file));
if (first > 0) go(first);
