// Computes the network in a thread of its own, so that drawing never waits for it.
import * as ort from "./ort/ort.wasm.bundle.min.mjs";

let session = null;
let names = [];

/** @param {{wasm: ArrayBuffer, model: ArrayBuffer}} files */
async function load({ wasm, model }) {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1; // more need headers that few web servers send
  ort.env.wasm.wasmBinary = wasm;
  session = await ort.InferenceSession.create(new Uint8Array(model), {
    executionProviders: ["wasm"],
    logSeverityLevel: 3,
  });
  names = session.outputNames.slice(1); // the first is `logits`
}

/** @param {{pixels: Float32Array, target: Float32Array, size: number}} question */
async function run({ pixels, target, size }) {
  const started = performance.now();
  const answer = await session.run({
    image: new ort.Tensor("float32", pixels, [1, 3, size, size]),
    target: new ort.Tensor("float32", target, [1, target.length]),
  });
  return {
    logits: answer.logits.data,
    maps: names.map((name) => answer[name].data),
    milliseconds: performance.now() - started,
  };
}

self.addEventListener("message", async ({ data }) => {
  try {
    const value = await (data.task === "load" ? load(data) : run(data));
    self.postMessage({ number: data.number, value });
  } catch (error) {
    self.postMessage({ number: data.number, error: String(error?.message ?? error) });
  }
});
