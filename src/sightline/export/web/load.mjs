// From the button of the live demo to its first answer.
import { Demo } from "./demo.mjs";
import { dress } from "./dress.mjs";
import { Network, missing } from "./network.mjs";

/** The demos of this page that are loaded. */
export const demos = [];

/** Fetch the controls of the demo, hidden as yet. */
async function controls() {
  const answer = await fetch(new URL("app.html", import.meta.url));
  if (!answer.ok) throw new Error(`app.html could not be fetched: the server answered ${answer.status}.`);
  return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".sl-app");
}

/**
 * Fetch the network, ask it about the first picture, and show the demo.
 * @param {HTMLElement} root the section that `demo.html` describes
 * @param {(share: number) => void} progress called with 0..1
 */
export async function load(root, progress) {
  const [button, place] = [".sl-load", ".sl-stage"].map((name) => root.querySelector(name));
  const { folder, bytes } = root.dataset;
  const tell = (share, stage) => {
    progress(share);
    if (place.textContent !== stage) place.textContent = stage; // announced once, when it begins
  };
  button.textContent = "Loading…";
  try {
    if (missing()) throw new Error(missing());
    const [app] = await Promise.all([controls(), dress(new URL("demo.css", import.meta.url))]);
    const network = await Network.load(new URL(folder, document.baseURI).href, Number(bytes), tell);
    tell(1, "Asking about the first picture…");
    root.append(document.adoptNode(app));
    const demo = new Demo(root, network);
    demos.push(demo);
    await demo.open();
  } catch (error) {
    tell(0, "");
    throw error;
  }
  reveal(root);
}

/** Put the demo in the place of its button, in view if the reader still looks there. */
function reveal(root) {
  const [start, button, app] = [".sl-start", ".sl-load", ".sl-app"].map((name) => root.querySelector(name));
  const { top, bottom } = start.getBoundingClientRect();
  const looking = bottom > 0 && top < innerHeight;
  const waiting = [button, document.body].includes(document.activeElement);
  start.hidden = true;
  app.hidden = false;
  if (!looking || !waiting) return;
  const thumb = app.querySelector('.sl-thumb[aria-pressed="true"]');
  thumb?.focus({ preventScroll: true });
  thumb?.scrollIntoView({ block: "nearest", inline: "center" });
  const ends = [".sl-tools", ".sl-top"].map((part) => app.querySelector(part).getBoundingClientRect().bottom);
  if (Math.max(...ends) > innerHeight) root.scrollIntoView();
}
