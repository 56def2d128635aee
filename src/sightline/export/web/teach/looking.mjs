// What the network looks at: the camera, a drawing, a file, or a picture that was taught.
import { Picture } from "../picture.mjs";
import { Camera } from "./camera.mjs";
import { means } from "./head.mjs";
import { Pad } from "./pad.mjs";

const FRAME = 60; // milliseconds between two looks through the camera

/** Look at a picture's largest square, in the middle. */
export function squared(picture, size) {
  const side = Math.min(picture.width, picture.height);
  return picture.fit({ left: (picture.width - side) / 2, top: (picture.height - side) / 2, side }, size);
}

/** One thing at a time is looked at, and what the network sees there. */
export class Looking {
  /**
   * @param {import("../network.mjs").Network} network
   * @param {HTMLCanvasElement} canvas where the reader draws
   * @param {HTMLVideoElement} video
   * @param {{changed: () => void, warn: (words: string) => void}} listener
   */
  constructor(network, canvas, video, { changed, warn }) {
    Object.assign(this, { network, changed, warn });
    this.source = null; // "camera", "drawing", "picture"
    this.seen = null; // pixels, channels and their means
    this.inspected = null; // a taught picture
    this.busy = Promise.resolve();
    this.side = canvas.width;
    const sheet = document.createElement("canvas");
    sheet.width = sheet.height = this.side;
    this.ground = sheet.getContext("2d", { willReadFrequently: true });
    this.pad = new Pad(canvas, this.ground, () => this.lookAtSheet());
    this.camera = new Camera(video, () => this.close("The camera was taken away."));
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && this.source === "camera") this.close("The camera was stopped when the page was hidden.");
    });
    addEventListener("pagehide", () => this.camera.stop());
  }

  get size() {
    return this.network.about.image_size;
  }

  /** Whether a picture differs from the one a moment before. */
  get live() {
    return this.camera.on && !this.inspected;
  }

  /** Do something that may fail; say so if it does. */
  async attempt(act) {
    try {
      return await act();
    } catch (error) {
      this.warn(error.message);
      return null;
    }
  }

  /** Look elsewhere. */
  turn(source) {
    this.warn("");
    if (source !== "camera") this.camera.stop();
    Object.assign(this, { source, seen: null, inspected: null, before: null });
    this.pad.turn(source === "drawing");
    this.changed();
    if (source === "drawing") this.lookAtSheet();
    if (source === "camera") this.openCamera();
  }

  /** Start the camera and look through it until it is off. */
  async openCamera(id = null) {
    await this.attempt(() => this.camera.start(id));
    const { stream } = this.camera;
    if (!stream) {
      if (this.source === "camera") this.source = null;
      return this.changed();
    }
    this.others = (await this.camera.next()) !== null;
    this.changed();
    while (this.camera.stream === stream && (await this.attempt(() => this.watch()))) {
      await new Promise((go) => setTimeout(() => requestAnimationFrame(go), FRAME));
    }
  }

  /** See one picture of the camera. */
  async watch() {
    if (!this.inspected && this.camera.paint(this.ground, this.side)) {
      const seen = await this.look(this.shrunk());
      if (this.live) this.see(seen);
    }
    return true;
  }

  /** Let go of the camera, for a reason. */
  close(words) {
    this.turn(null);
    this.warn(words);
  }

  async otherCamera() {
    this.openCamera(await this.camera.next());
  }

  /** The sheet in the few pixels that the network takes. */
  shrunk() {
    return Picture.fromCanvas(this.ground.canvas).fit({ left: 0, top: 0, side: this.side }, this.size).rgb;
  }

  /** Look at the drawing; of what is drawn meanwhile, only the last counts. */
  async lookAtSheet() {
    this.changed();
    if (this.asking) return void (this.asking = "again");
    do {
      this.asking = "once";
      const seen = await this.attempt(() => this.look(this.shrunk()));
      if (this.source === "drawing" && !this.inspected) this.see(this.pad.blank ? null : seen);
    } while (this.asking === "again");
    this.asking = null;
  }

  /** Look at a file. */
  lookAtFile(file) {
    return this.attempt(async () => {
      const picture = await Picture.read(file);
      this.turn("picture");
      this.ground.putImageData(squared(picture, this.side).imageData(), 0, 0);
      this.see(await this.look(squared(picture, this.size).rgb));
    });
  }

  /** Read a file into what is taught. */
  async read(file) {
    return this.look(squared(await Picture.read(file), this.size).rgb);
  }

  /** Look at a taught picture, until `back`. */
  inspect(picture) {
    if (!this.inspected) this.before = this.seen;
    this.inspected = picture;
    this.pad.turn(false);
    return this.attempt(async () => {
      const seen = await this.look(picture.rgb);
      if (this.inspected === picture) this.see(seen);
    });
  }

  /** Look again at what came before. */
  back() {
    Object.assign(this, { inspected: null, seen: this.before });
    this.pad.turn(this.source === "drawing");
    this.changed();
  }

  see(seen) {
    this.seen = seen;
    this.changed();
  }

  /**
   * Ask the network what it sees, one picture at a time.
   * @param {Uint8ClampedArray} rgb
   * @returns {Promise<{rgb: Uint8ClampedArray, columns: Float32Array, row: Float64Array}>}
   */
  look(rgb) {
    const count = rgb.length / 3;
    const pixels = Float32Array.from(rgb, (_, i) => rgb[(i % count) * 3 + Math.floor(i / count)] / 255);
    const inputs = this.network.image(pixels);
    const answer = this.busy.then(() => this.network.ask({ task: "run", inputs }));
    this.busy = answer.catch(() => {});
    return answer.then(({ outputs: { columns } }) => ({ rgb, columns, row: means(columns, this.network.about.channels) }));
  }
}
