// The reader's camera: asked for when wanted, let go of when not.

/** A camera that could not be had, in words for the reader. */
export class CameraError extends Error {}

const NONE = "No camera was found. Draw something, or choose pictures.";
const REASONS = {
  NotAllowedError: "This browser does not let the page use the camera. Allow it where the browser shows the address, then start again.",
  NotFoundError: NONE,
  NotReadableError: "The camera is busy: another program or page holds it. Close that, then start again.",
  OverconstrainedError: NONE, // as WebKit says
};

/** One camera at a time, shown by a video element that nobody looks at. */
export class Camera {
  /**
   * @param {HTMLVideoElement} video
   * @param {() => void} lost called when the camera is taken away
   */
  constructor(video, lost) {
    Object.assign(this, { video, lost, stream: null, number: 0 });
  }

  get on() {
    return this.stream !== null;
  }

  /** Start it: the one that looks away from the reader, or another one by its id. */
  async start(id = null) {
    this.stop();
    const mine = this.number;
    if (!navigator.mediaDevices) throw new CameraError("A camera needs an address that begins with https.");
    const video = id ? { deviceId: { exact: id } } : { facingMode: "environment" };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    } catch (error) {
      throw new CameraError(REASONS[error.name] ?? `The camera did not start: ${error.message}.`);
    }
    if (mine !== this.number) return release(stream); // it was stopped meanwhile
    this.stream = stream;
    const [track] = stream.getVideoTracks();
    track.addEventListener("ended", () => {
      if (this.stream === stream) this.lost();
    });
    this.mirrored = track.getSettings().facingMode !== "environment";
    this.video.srcObject = stream;
    await this.video.play().catch(() => {}); // stopped before the first picture
  }

  /** Let go of it: its light goes out. */
  stop() {
    this.number += 1;
    if (this.stream) release(this.stream);
    this.stream = null;
    this.video.srcObject = null;
  }

  /** @returns {Promise<string | null>} the id of the camera after this one, if there are several */
  async next() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const ids = devices.filter(({ kind }) => kind === "videoinput").map(({ deviceId }) => deviceId);
    const own = this.stream?.getVideoTracks()[0].getSettings().deviceId;
    return ids.length > 1 ? ids[(ids.indexOf(own) + 1) % ids.length] : null;
  }

  /**
   * Paint what it sees now, the square in the middle; as in a mirror if it looks at the reader.
   * @returns {boolean} whether it has seen anything yet
   */
  paint(context, side) {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!this.on || !width) return false;
    const square = Math.min(width, height);
    context.save();
    if (this.mirrored) context.transform(-1, 0, 0, 1, side, 0);
    context.drawImage(this.video, (width - square) / 2, (height - square) / 2, square, square, 0, 0, side, side);
    context.restore();
    return true;
  }
}

function release(stream) {
  for (const track of stream.getTracks()) track.stop();
}
