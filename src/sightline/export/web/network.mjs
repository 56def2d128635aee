// The trained network: downloaded once, asked from then on.

const WASM = "ort/ort-wasm-simd-threaded.wasm.gz";
const MODEL = "model.onnx.gz";

/**
 * Say what this browser lacks; an empty text if it has everything.
 * @returns {string}
 */
export function missing() {
  const parts = { WebAssembly: "WebAssembly", DecompressionStream: "DecompressionStream", Worker: "workers" };
  const lacking = Object.keys(parts).filter((name) => typeof globalThis[name] === "undefined");
  if (!lacking.length) return "";
  const words = lacking.map((name) => parts[name]).join(" and ");
  return `This browser has no ${words}, without which the network cannot be computed here. Any browser of 2023 or later has it, unless it was switched off.`;
}

/**
 * Download a file, telling how many bytes came.
 * @param {URL} address
 * @param {(bytes: number) => void} tell
 * @returns {Promise<Uint8Array>}
 */
export async function download(address, tell) {
  const name = address.pathname.split("/").pop();
  let answer;
  try {
    answer = await fetch(address);
  } catch {
    throw new Error(`${name} could not be fetched: no connection to the server.`);
  }
  if (!answer.ok) {
    throw new Error(`${name} could not be fetched: the server answered ${answer.status} ${answer.statusText}.`);
  }
  const parts = [];
  try {
    const reader = answer.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      tell(part.value.length);
    }
  } catch {
    throw new Error(`${name} broke off: the connection was lost.`);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * Unpack gzip; what a server has unpacked already stays as it is.
 * @param {Uint8Array} bytes
 * @param {string} name
 * @returns {Promise<ArrayBuffer>}
 */
export async function unpack(bytes, name) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  try {
    return await new Response(stream).arrayBuffer();
  } catch {
    throw new Error(`${name} is damaged: it cannot be unpacked.`);
  }
}

/**
 * Turn logits into probabilities.
 * @param {ArrayLike<number>} logits
 * @returns {number[]}
 */
export function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/** A network that answers in a worker. */
export class Network {
  /**
   * @param {string} folder address of the folder with `model.json`; ends in /
   * @param {number} total bytes of all files
   * @param {(share: number, stage: string) => void} progress called with 0..1
   * @returns {Promise<Network>}
   */
  static async load(folder, total, progress) {
    let done = 0;
    const tell = (bytes) => progress(Math.min(1, (done += bytes) / total), "Fetching…");
    const fetched = (name, from = folder) => download(new URL(name, from), tell);
    const files = [fetched("model.json"), fetched(WASM, import.meta.url), fetched(MODEL)];
    const [about, wasm, model] = await Promise.all(files);
    progress(1, "Unpacking…");
    const parts = { wasm: await unpack(wasm, WASM), model: await unpack(model, MODEL) };
    progress(1, "Starting the network…"); // whose worker fetches the rest of the runtime
    const network = new Network(JSON.parse(new TextDecoder().decode(about)));
    try {
      await network.ask({ task: "load", ...parts }, [parts.wasm, parts.model]);
    } catch (error) {
      network.worker.terminate();
      throw new Error(`The network could not be started: ${error.message}`);
    }
    return network;
  }

  /** @param {object} about what `model.json` holds */
  constructor(about) {
    this.about = about;
    this.number = 0;
    this.waiting = new Map();
    this.worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.settle(data));
    this.worker.addEventListener("error", () => {
      const error = "ort/ort.wasm.bundle.min.mjs could not be loaded.";
      for (const number of [...this.waiting.keys()]) this.settle({ number, error });
    });
  }

  settle({ number, value, error }) {
    const [resolve, reject] = this.waiting.get(number);
    this.waiting.delete(number);
    if (error) reject(new Error(error));
    else resolve(value);
  }

  ask(message, transfer = []) {
    const number = (this.number += 1);
    return new Promise((resolve, reject) => {
      this.waiting.set(number, [resolve, reject]);
      this.worker.postMessage({ ...message, number }, transfer);
    });
  }

  /**
   * Ask about a picture.
   * @param {Float32Array} pixels (3, size, size), red, green and blue in 0..1
   * @param {number | null} target the class to explain; null: the predicted one
   * @returns {Promise<{logits: Float32Array, maps: Float32Array[], milliseconds: number}>}
   */
  async run(pixels, target = null) {
    const { classes, layers } = this.about;
    const chosen = new Float32Array(classes.length);
    if (target !== null) chosen[target] = 1;
    const inputs = { ...this.image(pixels), target: { data: chosen, shape: [1, classes.length] } };
    const { outputs, milliseconds } = await this.ask({ task: "run", inputs });
    return { logits: outputs.logits, maps: layers.map(({ name }) => outputs[name]), milliseconds };
  }

  /** The input that every network has. */
  image(pixels) {
    const { image_size: size } = this.about;
    return { image: { data: pixels, shape: [1, 3, size, size] } };
  }
}
