// The button of what a page can run: until it is pressed, this file is all that is fetched.

/** Fetch what a section loads, and begin; when that fails, say why. */
async function press(root) {
  const [button, bar, message] = [".sl-load", ".sl-progress", ".sl-failure"].map((name) => root.querySelector(name));
  if (button.getAttribute("aria-disabled") === "true") return; // it keeps the focus, so it can be pressed again
  button.setAttribute("aria-disabled", "true");
  bar.value = 0;
  bar.hidden = false;
  message.textContent = "";
  try {
    const { load } = await import(root.dataset.loads);
    await load(root, (share) => (bar.value = share));
  } catch (error) {
    message.textContent = `Loading failed: ${error.message}`;
    button.textContent = "Try again";
  }
  button.setAttribute("aria-disabled", "false");
  bar.hidden = true;
}

for (const root of document.querySelectorAll("[data-loads]")) {
  root.querySelector(".sl-static").remove();
  root.querySelector(".sl-press").hidden = false;
  root.querySelector(".sl-load").addEventListener("click", () => press(root));
}
