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

  // What is wider than its box scrolls inside it: the Tab key has to reach the box, its
  // name says what it is, and it fades where there is more.
  const NAMES = {
    "mjx-container[display]": "Formula",
    ".bd-article pre": "Code",
    ".pst-scrollable-table-container": "Table",
    ".figure-box": "Figure",
  };
  const fade = ({ target: box }) => {
    const rest = box.scrollWidth - box.clientWidth - box.scrollLeft;
    box.toggleAttribute("data-more", rest > 1);
  };
  const measure = (box) => {
    const wide = box.scrollWidth > box.clientWidth;
    box.tabIndex = wide ? 0 : -1;
    fade({ target: box });
    if (box.matches("mjx-container")) return; // names itself
    for (const [key, value] of [
      ["role", "group"],
      ["aria-label", `${nameOf(box)}, scrolls sideways`],
    ]) {
      if (wide) box.setAttribute(key, value);
      else box.removeAttribute(key);
    }
  };
  const nameOf = (box) =>
    Object.entries(NAMES).find(([selector]) => box.matches(selector))[1];
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => measure(target)));
  const observe = (selector) => {
    for (const box of document.querySelectorAll(selector)) {
      sizes.observe(box);
      box.addEventListener("scroll", fade, { passive: true });
    }
  };

  // A figure that a phone shrinks can be had in its own size.
  const enlarge = (picture) => {
    const box = document.createElement("div");
    box.className = "figure-box";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "figure-enlarge";
    button.textContent = "Enlarge";
    button.setAttribute("aria-pressed", "false");
    button.hidden = true;
    picture.replaceWith(box, button);
    box.append(picture);
    const own = Number(picture.getAttribute("width"));
    box.style.setProperty("--own", `${own}px`);
    button.addEventListener("click", () => {
      const large = box.classList.toggle("large");
      button.setAttribute("aria-pressed", String(large));
      measure(box);
    });
    new ResizeObserver(() => (button.hidden = box.clientWidth > 0.8 * own)).observe(box);
  };

  document.querySelectorAll('.bd-article img[src*="_images/"][width]').forEach(enlarge);
  Object.keys(NAMES).slice(1).forEach(observe);
  addEventListener("load", () =>
    window.MathJax?.startup?.promise.then(() => observe(Object.keys(NAMES)[0])),
  );
})();
