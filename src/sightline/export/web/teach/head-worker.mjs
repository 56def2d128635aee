// Fits and measures in a thread of its own; what is newer stops what is older.
import { distances, fit, leftOut } from "./head.mjs";

const SLICE = 50; // milliseconds between two looks at what came meanwhile
let newest = 0;

const pause = () => new Promise((go) => setTimeout(go));

self.addEventListener("message", async ({ data: { number, taught } }) => {
  newest = number;
  const head = fit(taught.rows, taught.labels, taught.count);
  self.postMessage({ number, weights: head.weights, biases: head.biases, distances: distances(taught) });
  const answers = [];
  let told = performance.now();
  for (const part of leftOut(taught, head)) {
    answers.push(...part);
    if (performance.now() - told < SLICE) continue;
    self.postMessage({ number, done: answers.length });
    await pause();
    if (number !== newest) return;
    told = performance.now();
  }
  self.postMessage({ number, answers });
});

self.postMessage("ready");
