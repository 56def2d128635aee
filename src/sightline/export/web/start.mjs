// The button of the live demo: until it is pressed, this file is all that is fetched.

/** Add the style of the demo to the page. */
function dress() {
  const href = new URL("demo.css", import.meta.url).href;
  const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  return new Promise((done, fail) => {
    sheet.addEventListener("load", done);
    sheet.addEventListener("error", () => fail(new Error("demo.css could not be fetched.")));
    document.head.append(sheet);
  });
}

/** What stands in the place of a demo until it runs. */
export class Start {
  /** @param {HTMLElement} root the section that `app.html` describes */
  constructor(root) {
    this.root = root;
    this.demo = null;
    this.loading = false;
    const places = { box: "start", button: "load", bar: "progress", stage: "stage", message: "message", app: "app" };
    for (const [name, place] of Object.entries(places)) this[name] = root.querySelector(`.sl-${place}`);
    root.querySelector(".sl-static").remove();
    root.querySelector(".sl-press").hidden = false;
    this.button.addEventListener("click", () => this.load());
  }

  /** Fetch the network and ask it about the first picture; when that fails, say why. */
  async load() {
    if (this.loading) return; // it keeps the focus, so it can be pressed again
    this.wait(true, "Loading…");
    this.message.textContent = "";
    const { folder, bytes } = this.root.dataset;
    const address = new URL(folder, document.baseURI).href;
    try {
      const [{ Demo }, { Network, missing }] = await Promise.all([import("./demo.mjs"), import("./network.mjs"), dress()]);
      if (missing()) throw new Error(missing());
      const network = await Network.load(address, Number(bytes), (share, stage) => this.tell(share, stage));
      this.tell(1, "Asking about the first picture…");
      this.demo = new Demo(this.root, network);
      await this.demo.open();
    } catch (error) {
      this.message.textContent = `Loading failed: ${error.message}`;
      this.wait(false, "Try again");
      return;
    }
    this.reveal();
  }

  wait(loading, words) {
    this.loading = loading;
    this.button.setAttribute("aria-disabled", String(loading));
    this.button.textContent = words;
    this.bar.hidden = !loading;
    this.tell(0, "");
  }

  /** Say how far the loading is; a stage is announced once, when it begins. */
  tell(share, stage) {
    this.bar.value = share;
    if (this.stage.textContent !== stage) this.stage.textContent = stage;
  }

  /** Put the demo in the place of its button, in view if the reader still looks there. */
  reveal() {
    const { top, bottom } = this.box.getBoundingClientRect();
    const looking = bottom > 0 && top < innerHeight;
    const waiting = [this.button, document.body].includes(document.activeElement);
    this.box.hidden = true;
    this.app.hidden = false;
    if (!looking || !waiting) return;
    const thumb = this.app.querySelector('.sl-thumb[aria-pressed="true"]');
    thumb?.focus({ preventScroll: true });
    thumb?.scrollIntoView({ block: "nearest", inline: "center" });
    const ends = [".sl-tools", ".sl-top"].map((part) => this.app.querySelector(part).getBoundingClientRect().bottom);
    if (Math.max(...ends) > innerHeight) this.root.scrollIntoView();
  }
}

export const starts = [...document.querySelectorAll(".sl-demo")].map((root) => new Start(root));
