/* Questions of "Check yourself": the options become buttons with a verdict at once.
   Without this script the options are a list and the answer a closed dropdown. */
(() => {
  const questions = [...document.querySelectorAll(".self-check")];
  const firstTries = new Map(); // question -> whether its first choice was right

  /** Say how many questions were right at the first try, once all are answered. */
  const score = () => {
    if (firstTries.size < questions.length) return "";
    const right = [...firstTries.values()].filter(Boolean).length;
    return ` ${right} of ${questions.length} right at the first try.`;
  };

  /** Turn one question into a group of radio buttons. */
  const enhance = (question, number) => {
    const title = question.querySelector(".admonition-title");
    const list = question.querySelector("ul");
    const answer = question.querySelector("details");
    const letter = answer?.querySelector("strong")?.textContent.trim()[0];
    if (!title || !list || !letter) return;
    title.id ||= `self-check-${number}`;
    list.setAttribute("role", "radiogroup");
    list.setAttribute("aria-labelledby", title.id);
    const verdict = document.createElement("p");
    verdict.className = "verdict";
    verdict.setAttribute("role", "status");
    list.after(verdict);

    for (const item of list.children) {
      const label = document.createElement("label");
      const choice = document.createElement("input");
      choice.type = "radio";
      choice.name = `self-check-${number}`;
      choice.value = item.textContent.trim()[0];
      const text = document.createElement("span");
      text.append(...(item.querySelector("p") ?? item).childNodes);
      label.append(choice, text);
      item.setAttribute("role", "presentation");
      item.replaceChildren(label);
      choice.addEventListener("change", () => {
        const right = choice.value === letter;
        for (const other of list.children) delete other.dataset.verdict;
        item.dataset.verdict = right ? "right" : "wrong";
        if (!firstTries.has(question)) firstTries.set(question, right);
        const said = right ? "Right." : "Not this one: think again, or open the answer.";
        verdict.textContent = said + score();
        if (right) answer.open = true;
      });
    }
    // arrows only move, Space chooses: else every option on the way would be an answer
    list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const choices = [...list.querySelectorAll("input")];
      const next = choices.indexOf(event.target) + step + choices.length;
      choices[next % choices.length].focus();
    });
  };
  questions.forEach(enhance);
})();
