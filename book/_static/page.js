/* What a page needs besides the theme's own scripts. */
(() => {
  const root = document.documentElement;

  // Paper is white: print in the light theme, then return to the reader's.
  let theme;
  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
  });

  // A formula wider than a phone scrolls in its own box; the Tab key has to reach it.
  const reach = () => {
    for (const box of document.querySelectorAll("mjx-container[display]")) {
      box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1;
    }
  };
  addEventListener("resize", reach);
  addEventListener("load", () => window.MathJax?.startup?.promise.then(reach));
})();
