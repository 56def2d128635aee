// Computes the network in a thread of its own, so that drawing never waits for it.
import * as ort from "./ort/ort.wasm.bundle.min.mjs";

let session = null;

/** @param {{wasm: ArrayBuffer, model: ArrayBuffer}} files */
async function load({ wasm, model }) {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1; // more need headers that few web servers send
  ort.env.wasm.wasmBinary = wasm;
  session = await ort.InferenceSession.create(new Uint8Array(model), {
    executionProviders: ["wasm"],
    logSeverityLevel: 3,
  });
}

/** @param {{inputs: Object<string, {data: Float32Array, shape: number[]}>}} question by name */
async function run({ inputs }) {
  const started = performance.now();
  const tensors = Object.entries(inputs).map(([name, { data, shape }]) => [name, new ort.Tensor("float32", data, shape)]);
  const answer = await session.run(Object.fromEntries(tensors));
  const outputs = session.outputNames.map((name) => [name, answer[name].data]);
  return { outputs: Object.fromEntries(outputs), milliseconds: performance.now() - started };
}

self.addEventListener("message", async ({ data }) => {
  try {
    const value = await (data.task === "load" ? load(data) : run(data));
    self.postMessage({ number: data.number, value });
  } catch (error) {
    self.postMessage({ number: data.number, error: String(error?.message ?? error) });
  }
});
