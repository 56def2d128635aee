/* Load the scripts of those explorers that this page holds, and nothing else.

   A chapter's cell leaves <div data-explorer="NAME"> with its data as JSON and a
   sentence that stands until, or unless, everything here has gone well. Classic
   scripts, so that a page opened from a disk works, too. */
(() => {
  "use strict";
  const here = new URL(".", document.currentScript.src);

  /** @param {string} file @returns {Promise<void>} */
  function script(file) {
    return new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = new URL(file, here).href;
      tag.addEventListener("load", () => resolve());
      tag.addEventListener("error", () => reject(new Error(`cannot load ${file}`)));
      document.head.append(tag);
    });
  }

  function style() {
    return new Promise((resolve) => {
      const link = document.createElement("link");
      link.rel = "stylesheet";
      link.href = new URL("explorers.css", here).href;
      link.addEventListener("load", resolve);
      link.addEventListener("error", resolve); // plain controls still work
      document.head.append(link);
    });
  }

  async function start() {
    const places = [...document.querySelectorAll("[data-explorer]")];
    if (!places.length) return;
    await Promise.all([style(), script("shared.js")]);
    await script("charts.js"); // adds to what shared.js has made
    for (const place of places) {
      const name = place.dataset.explorer;
      await script(`${name.replaceAll("-", "_")}.js`);
      await window.sightlineExplorers.mount(place, name);
    }
  }

  const begin = () => start().catch((error) => console.error(error));
  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", begin);
  } else begin();
})();
