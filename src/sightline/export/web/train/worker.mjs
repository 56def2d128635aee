// Trains in a thread of its own, so that the page never waits for it.
import * as ort from "../ort/ort.wasm.bundle.min.mjs";
import { EPOCH, MARKED, SHOWN, STEPS, TEST, Trainer, VALIDATION, draw, rateAt } from "./trainer.mjs";
import { CLASSES, SIZE } from "../shapes.mjs";

const VALIDATED = 256; // pictures
const TESTED = 1000; // pictures
// of the pictures that are shown: their class, and whether they can carry the mark
const PLACES = [["star", true], ["star", false], ["heart", true], ["cross", false], ["ring", false]];

const { port1: bell, port2: rope } = new MessageChannel();
let trainer = null;
let latest = 0; // number of the last message that came
let current = 0; // number of the message that is worked on
let queue = Promise.resolve();
let sets = {}; // pictures that are not trained on

/** Let messages arrive. */
const pause = () =>
  new Promise((done) => {
    bell.onmessage = done;
    rope.postMessage(null);
  });

const tell = (kind, value) => self.postMessage({ kind, number: current, ...value });

async function load({ wasm, step, look, layout }) {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1; // more need headers that few web servers send
  ort.env.wasm.wasmBinary = wasm;
  trainer = await Trainer.load(ort, { step: new Uint8Array(step), look: new Uint8Array(look) }, layout);
}

/** Draw, once, pictures that are not trained on. */
async function unseen(part, n, mark) {
  const name = `${part} ${mark}`;
  sets[name] ??= await draw(n, { seed: [trainer.seed, part], shortcutOn: mark }, pause);
  return sets[name];
}

/** Draw the five pictures that the reader watches, with the mark where it belongs. */
async function shown(mark) {
  const [plain, marked] = [await unseen(SHOWN, 100, false), await unseen(SHOWN, 100, true)];
  const taken = new Set();
  const bytes = 3 * SIZE * SIZE;
  const images = new Uint8Array(PLACES.length * bytes);
  const pictures = PLACES.map(([name, can], place) => {
    const label = CLASSES.indexOf(name);
    const index = plain.labels.findIndex((other, i) => other === label && !taken.has(i));
    taken.add(index);
    const { images: all } = mark && can ? marked : plain;
    images.set(all.subarray(index * bytes, (index + 1) * bytes), place * bytes);
    return { label, marked: mark && can };
  });
  return { images, pictures };
}

/** Report what is known after the last step. */
async function report(switches, points = []) {
  const { images, pictures } = await shown(switches.mark);
  const answers = await trainer.look(images, switches);
  const rate = rateAt(Math.min(trainer.steps, STEPS - 1)) * switches.factor;
  tell("progress", { steps: trainer.steps, rate, points, images, pictures, answers });
}

/** Measure the accuracy on pictures that are not trained on. */
async function validate(switches) {
  const { images, labels } = await unseen(VALIDATION, VALIDATED, false);
  const predicted = await trainer.predict(images, switches, pause);
  const hits = predicted.filter((label, i) => label === labels[i]).length;
  tell("validated", { steps: trainer.steps, accuracy: hits / VALIDATED });
}

/** Ask about the test pictures, without the mark and with it. */
async function test(switches) {
  const predicted = [];
  for (const mark of [false, true]) {
    const { images } = await unseen(TEST, TESTED, mark);
    predicted.push(await trainer.predict(images, switches, pause));
  }
  const { labels } = await unseen(TEST, TESTED, false);
  tell("tested", { labels, plain: predicted[0], marked: predicted[1], target: MARKED });
}

/** Train until another message comes, or the steps are done. */
async function go({ switches, number, often, steps = STEPS }) {
  const last = Math.min(STEPS, trainer.steps + steps);
  let points = [];
  let time = performance.now();
  while (trainer.steps < last && number === latest) {
    points.push(await trainer.step(switches, pause));
    const broken = !Number.isFinite(points.at(-1).loss);
    if (broken || performance.now() - time > often) {
      await report(switches, points);
      points = [];
      time = performance.now();
    }
    if (broken) return tell("broken", { steps: trainer.steps });
    if (trainer.steps % (EPOCH / 2) === 0) await validate(switches);
    await pause();
  }
  await report(switches, points);
  if (trainer.steps === STEPS) await test(switches);
}

async function reset({ switches, seed = 0 }) {
  trainer.reset(seed);
  sets = {};
  await report(switches);
  await validate(switches);
}

const tasks = { load, go, reset, show: ({ switches }) => report(switches) };

self.addEventListener("message", ({ data }) => {
  latest = data.number;
  queue = queue
    .then(() => {
      current = data.number;
      return tasks[data.task](data);
    })
    .then(() => data.task === "load" && tell("done"))
    .catch((error) => tell("error", { message: `${error?.message ?? error}.` }));
});
