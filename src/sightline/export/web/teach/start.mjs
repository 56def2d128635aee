// The button of the lesson: until it is pressed, this file is all that is fetched.

/** Fetch everything and show it; when that fails, say why. */
async function load(root) {
  const [button, bar, message] = [".te-load", ".te-progress", ".te-failure"].map((name) => root.querySelector(name));
  if (button.getAttribute("aria-disabled") === "true") return; // it keeps the focus
  button.setAttribute("aria-disabled", "true");
  bar.hidden = false;
  message.textContent = "";
  try {
    const [{ Lesson }, { dress }] = await Promise.all([import("./teach.mjs"), import("../dress.mjs")]);
    await dress(new URL("teach.css", import.meta.url));
    root.lesson = await Lesson.load(root, (share) => (bar.value = share));
  } catch (error) {
    message.textContent = `Loading failed: ${error.message}`;
    button.textContent = "Try again";
  }
  button.setAttribute("aria-disabled", "false");
  bar.hidden = true;
}

for (const root of document.querySelectorAll(".te-lesson")) {
  root.querySelector(".te-static").remove();
  root.querySelector(".te-press").hidden = false;
  root.querySelector(".te-load").addEventListener("click", () => load(root));
}
