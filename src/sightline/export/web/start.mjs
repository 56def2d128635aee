// The button of the live demo: until it is pressed, this file is all that is fetched.

for (const root of document.querySelectorAll(".sl-demo")) {
  const [button, message] = [".sl-load", ".sl-message"].map((name) => root.querySelector(name));
  root.querySelector(".sl-static").remove();
  root.querySelector(".sl-press").hidden = false;
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") return; // it keeps the focus, so it can be pressed again
    button.setAttribute("aria-disabled", "true");
    button.textContent = "Loading…";
    message.textContent = "";
    try {
      const { load } = await import("./load.mjs");
      await load(root);
    } catch (error) {
      message.textContent = `Loading failed: ${error.message}`;
      button.textContent = "Try again";
      button.setAttribute("aria-disabled", "false");
    }
  });
}
