// The button of the lesson: until it is pressed, this file is all that is fetched.

/** Fetch everything and begin to train; when that fails, say why. */
async function load(root) {
  const [button, bar, message] = [".tr-load", ".tr-loading", ".tr-trouble"].map((name) => root.querySelector(name));
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  bar.hidden = false;
  message.textContent = "";
  try {
    const [{ Lesson }, { dress }] = await Promise.all([import("./lesson.mjs"), import("../dress.mjs")]);
    await dress(new URL("train.css", import.meta.url));
    root.lesson = await Lesson.load(root, (share) => (bar.value = share));
  } catch (error) {
    message.textContent = `Loading failed: ${error.message}`;
    button.textContent = "Try again";
  }
  button.setAttribute("aria-disabled", "false");
  bar.hidden = true;
}

for (const root of document.querySelectorAll(".tr-lesson")) {
  root.querySelector(".tr-static").remove();
  root.querySelector(".tr-press").hidden = false;
  root.querySelector(".tr-load").addEventListener("click", () => load(root));
}
