"""What the tests of the live demo do in its page, in its own language."""

# what the page's own module offers, and a pause until all is shown
TOOLS = """
const { demos } = await import("./load.mjs");
const [demo] = demos, find = (name) => document.querySelector(name);
const press = (name) => find(name).click();
const settled = async () => { while (demo.busy) await demo.busy; };
const until = async (test) => {
  for (let i = 0; i < 400 && !test(); i++)
    await new Promise((go) => setTimeout(go, 25));
};
const said = () => ({
  verdict: find(".sl-verdict").textContent, sets: find(".sl-sets").textContent,
  live: find(".sl-live").textContent, sentence: find(".sl-map").textContent,
  message: find(".sl-trouble").textContent, erased: demo.stage.erased,
  confidence: demo.said.probabilities, map: [...demo.answer.maps[demo.layer]],
  pressed: [...document.querySelectorAll(".sl-top button")].map((b) => b.ariaPressed),
  undo: !find(".sl-undo").disabled,
});
"""
LOAD = """
const offer = find(".sl-load").textContent, stages = [], shares = [];
const { color, opacity } = getComputedStyle(find(".sl-load"));
const listener = new MutationObserver(() => {
  stages.push(find(".sl-stage").textContent);
  shares.push(find(".sl-progress").value);
});
listener.observe(find(".sl-stage"), { childList: true });
press(".sl-load");
const button = find(".sl-load"), style = getComputedStyle(button);
const colours = [style.color, style.backgroundColor, style.opacity];
const focused = (button.focus(), document.activeElement === button);
const shown = () => find(".sl-app")?.hidden === false;
await until(() => shown() || find(".sl-start .sl-message").textContent);
return { message: find(".sl-start .sl-message").textContent, offer,
         button: button.textContent, stages, shares, colours, focused,
         pressed: document.activeElement.className,
         wide: document.documentElement.scrollWidth };
"""
# an answer that comes when the test lets it
HELD = """
const real = demo.network.run.bind(demo.network), held = [];
demo.network.run = async (...question) => {
  const answer = await real(...question);
  await new Promise((go) => held.push(go));
  return answer;
};
const ready = () => until(() => held.length);
const release = async () => { await ready(); held.shift()(); };
const thumbs = document.querySelectorAll(".sl-thumb");
const text = (name) => find(name).textContent;
const state = () => ({
  verdict: text(".sl-verdict"), truth: text(".sl-truth"),
  target: find(".sl-class").value,
  thumb: [...thumbs].map((b) => b.ariaPressed).indexOf("true"),
  first: text(".sl-top button .sl-name"), busy: find(".sl-columns").ariaBusy,
  unanswered: find(".sl-columns").classList.contains("sl-unanswered"),
  map: demo.stage.map !== null, label: find(".sl-canvas").ariaLabel,
});
const free = () => { demo.network.run = real; };
"""
BUSY = """
demo.explain(2), await release(), await settled();
const before = state();
demo.choose(thumbs[1]);
await ready();
const { color: quiet } = getComputedStyle(find(".sl-note"));
await until(() => getComputedStyle(find(".sl-top button")).color === quiet);
const { visibility } = getComputedStyle(find(".sl-verdict"));
const asking = getComputedStyle(find(".sl-asking")).visibility;
find(".sl-layers input").click(); // it has nothing to show yet
const during = state();
await release(), await settled();
const after = state();
find(".sl-layers input:not(:checked)").click();
free();
return { before, during, after, visibility, asking };
"""
OVERTAKEN = """
await (demo.choose(thumbs[0]), ready());
const before = state();
const last = demo.choose(thumbs[3]);
await until(() => demo.subject.thumb === thumbs[3]);
await release(), await ready(); // the answer about the first one is there by now
const during = state();
await release(), await last;
const after = state();
free();
return { before, during, after, name: thumbs[3].dataset.name };
"""
EARLY = """
const whole = demo.choose(thumbs[2]);
await release(), await whole;
const expected = demo.said.probabilities;
demo.choose(thumbs[0]);
await ready();
const last = demo.choose(thumbs[2]);
await until(() => demo.subject.thumb === thumbs[2]);
demo.stage.erase([16, 16]); // before anything is known about it
demo.ask();
free(), await release(), await last, await settled();
const { before, probabilities, erased } = demo.said;
return { expected, before, now: probabilities, erased };
"""
SYNTHETIC = """
await demo.choose(find(".sl-thumb"));
press(".sl-erase");
const pointer = (kind, target, share) => {
  const { left, top, width, height } = target.getBoundingClientRect();
  const place = { clientX: left + share * width, clientY: top + share * height };
  const more = { pointerId: 77, buttons: 1, bubbles: true };
  target.dispatchEvent(new PointerEvent(kind, { ...place, ...more }));
};
pointer("pointerdown", find(".sl-canvas"), 0.5);
pointer("pointerup", find(".sl-canvas"), 0.5);
await settled();
const { erased } = demo.said;
press(".sl-erase");
const canvas = document.createElement("canvas");
Object.assign(canvas, { width: 90, height: 60 });
await demo.take(await new Promise((done) => canvas.toBlob(done)));
pointer("pointerdown", find(".sl-overview"), 0);
await settled();
return { erased, left: demo.crop.square.left };
"""
CROP_LIVE = """
const canvas = document.createElement("canvas");
Object.assign(canvas, { width: 90, height: 60 });
canvas.getContext("2d").fillRect(20, 0, 30, 60);
demo.take(await new Promise((done) => canvas.toBlob(done)));
await release(), await settled();
const rgb = () => demo.stage.rgb.reduce((a, b, i) => a + b * (i % 7), 0);
const first = rgb(), slide = (to) => {
  find(".sl-across").value = to;
  find(".sl-across").dispatchEvent(new Event("input"));
};
slide(0);
await ready();
const second = rgb();
slide(1); // before the answer about the second square
const waiting = rgb();
await release(), await ready();
const third = rgb();
await release(), await settled();
free();
return { squares: [first, second, waiting, third], truth: text(".sl-truth") };
"""
TARGETS = """
await demo.choose(find(".sl-thumb"));
press(".sl-erase");
const parts = "button, .sl-button, select, input[type=range], .sl-layers label";
const small = [...document.querySelectorAll(`.sl-app :is(${parts})`)]
  .map((part) => [part.className || part.outerHTML, part.getBoundingClientRect()])
  .filter(([, { width, height }]) => width && Math.min(width, height) < 44);
press(".sl-erase");
return small.map(([name, { width, height }]) => [name, width, height]);
"""
FILES = """
const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
const canvases = [];
document.createElement = (tag) => {
  const element = Document.prototype.createElement.call(document, tag);
  if (tag === "canvas") canvases.push(element);
  return element;
};
await demo.take(new File([bytes], "%s", { type: "%s" }));
await settled();
delete document.createElement;
const { width, height } = demo.crop.picture;
return { message: find(".sl-trouble").textContent, side: [width, height],
         most: Math.max(0, ...canvases.map((c) => c.width * c.height)),
         busy: find(".sl-columns").ariaBusy, rgb: [...demo.stage.rgb] };
"""
NO_FILE = """
const event = new Event("drop", { bubbles: true, cancelable: true });
event.dataTransfer = { files: [] };
find(".sl-canvas").dispatchEvent(event);
return find(".sl-trouble").textContent;
"""
STOPPED = """
demo.network.run = () => Promise.reject(new Error("out of memory"));
await demo.choose(find(".sl-thumb"));
return { message: find(".sl-trouble").textContent,
         verdict: find(".sl-verdict").textContent,
         classes: find(".sl-top").children.length, busy: find(".sl-columns").ariaBusy };
"""
SECONDS = """
const { facts } = await import("./answer.mjs");
return [130.4, 23732].map((time) => facts(demo.network.about, time));
"""
FORCED = """
await demo.choose(find(".sl-thumb"));
const pressed = find('.sl-top [aria-pressed="true"]');
const other = find('.sl-top [aria-pressed="false"]');
const edge = (button) => getComputedStyle(button).borderTopWidth;
const bar = pressed.querySelector(".sl-bar");
return { active: matchMedia("(forced-colors: active)").matches,
         pressed: edge(pressed), other: edge(other), frame: edge(bar),
         bar: getComputedStyle(bar, "::after").backgroundColor,
         paper: getComputedStyle(pressed).backgroundColor,
         ramp: getComputedStyle(find(".sl-ramp")).backgroundImage };
"""
STILL = """
await demo.choose(find(".sl-thumb"));
return ["::before", "::after"].map((part) =>
  getComputedStyle(find(".sl-bar"), part).transitionDuration);
"""
ALL_THERE = """
const pictures = [...document.querySelectorAll(".sl-thumb img")];
await until(() => pictures.every((image) => image.complete && image.naturalWidth));
"""
EVERY_PICTURE = """
const found = [];
for (const thumb of document.querySelectorAll(".sl-thumb")) {
  await demo.choose(thumb);
  const { logits, maps } = demo.answer;
  found.push({ logits: [...logits], maps: maps.map((map) => [...map]) });
}
return found;
"""
TAP = """
await demo.choose(find(".sl-thumb"));
const before = said();
document.querySelectorAll(".sl-top button")[1].click();
await settled();
return [before, said()];
"""
BY_POINTER = """
await demo.choose(find(".sl-thumb"));
find(".sl-erase").click();
find(".sl-canvas").scrollIntoView({ block: "center" });
const { left, top, width } = find(".sl-canvas").getBoundingClientRect();
return { before: said(), left, top, width };
"""
NOW = "await settled(); return said();"
UNDONE = "find('.sl-undo').click(); await settled(); return said();"
BY_KEYBOARD = """
await demo.choose(find(".sl-thumb"));
const key = (name) => demo.stage.canvas.dispatchEvent(
  new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
const start = demo.stage.cursor.slice();
["ArrowLeft", "ArrowUp", " "].forEach(key);
await settled();
const { cursor: end, canvas } = demo.stage;
return { ...said(), start, end, focusable: canvas.tabIndex };
"""
SHRUNK = """
const { Picture } = await import("./picture.mjs");
const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
const picture = await Picture.read(new Blob([bytes], { type: "image/png" }));
const [left, top, side] = %s;
return [...picture.fit({ left, top, side }, 32).rgb];
"""
PADDED = """
demo.network.about.framing = "pad";
const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
await demo.take(new Blob([bytes], { type: "image/png" }));
delete demo.network.about.framing;
return { rgb: [...demo.stage.rgb], choice: !find(".sl-crop").hidden };
"""
NONE = """
const { scores } = demo.network.about.prediction_sets, before = { ...scores };
await demo.choose(find(".sl-thumb"));
Object.assign(scores, { 90: 0, 95: 1 });
demo.show();
await new Promise((go) => setTimeout(go, 700));
const changed = said();
Object.assign(scores, before);
return changed;
"""
NO_PICTURE = """
await demo.take(new File(["nothing"], "IMG_1.HEIC", { type: "image/heic" }));
return said();
"""
OWN_PICTURE = """
const canvas = document.createElement("canvas");
Object.assign(canvas, { width: 90, height: 60 });
canvas.getContext("2d").fillRect(20, 0, 30, 60);
await demo.take(await new Promise((done) => canvas.toBlob(done)));
const crop = find(".sl-crop"), before = [...demo.stage.rgb];
find(".sl-across").value = 1;
find(".sl-across").dispatchEvent(new Event("input"));
await settled();
return { shown: !crop.hidden, moved: before.some((v, i) => v !== demo.stage.rgb[i]) };
"""
COLOURS = """
const { colour } = await import("./stage.mjs");
return Array.from({ length: 256 }, (_, i) => colour(i / 255));
"""
