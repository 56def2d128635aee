/* One cycle: learning rate and momentum of every step, and the line to copy. */
(() => {
  "use strict";
  const { short, make, slider, logSlider, radios, check, frame, chart } =
    window.sightlineExplorers;

  /** Go from `start` to `end` while `progress` goes from 0 to 1. */
  function anneal(start, end, progress, shape) {
    if (shape === "linear") return start + (end - start) * progress;
    return end + ((start - end) * (1 + Math.cos(Math.PI * progress))) / 2;
  }

  /**
   * Learning rate and momentum of one step, as torch's OneCycleLR.
   * @typedef {{max_lr: number, total_steps: number, pct_start: number,
   *   div_factor: number, final_div_factor: number, base_momentum: number,
   *   max_momentum: number, anneal_strategy: string}} Cycle
   * @param {number} step @param {Cycle} cycle @returns {[number, number]}
   */
  function oneCycle(step, cycle) {
    const { max_lr, total_steps, base_momentum, max_momentum } = cycle;
    const first = max_lr / cycle.div_factor;
    const last = first / cycle.final_div_factor;
    const peak = cycle.pct_start * total_steps - 1;
    const between = (a, b, progress) => anneal(a, b, progress, cycle.anneal_strategy);
    if (step < peak) {
      const up = step / peak;
      return [between(first, max_lr, up), between(max_momentum, base_momentum, up)];
    }
    const down = (step - peak) / (total_steps - 1 - peak);
    return [between(max_lr, last, down), between(base_momentum, max_momentum, down)];
  }

  /** Rates and momenta of all steps. @returns {[number, number][]} */
  function wholeCycle(cycle) {
    const steps = Array.from({ length: cycle.total_steps }, (_, step) => step);
    return steps.map((step) => oneCycle(step, cycle));
  }

  /** The call that makes this cycle. */
  function torchLine(cycle) {
    const named = Object.entries(cycle).map(([name, value]) =>
      typeof value === "string" ? `    ${name}="${value}",` : `    ${name}=${python(value)},`,
    );
    return ["OneCycleLR(", "    optimizer,", ...named, ")"].join("\n");
  }

  /** Write a number as Python reads it. */
  function python(value) {
    return String(Number(value.toPrecision(6)));
  }

  /** A box with code and a button that copies it. */
  function copyBox() {
    const code = make("code");
    const button = make("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // not allowed: ready for Ctrl-C
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    const named = { role: "group", "aria-label": "Code of this cycle" };
    const box = make("pre", { tabindex: 0, ...named }, code); // it may scroll
    const root = make("div", { class: "explorer-code" }, box, button);
    return { root, set: (text) => (code.textContent = text) };
  }

  function mount(place, data) {
    const change = () => refresh();
    const own = { change };
    const percent = { at: (p) => p / 100, text: (v) => v.toFixed(2), change };
    const share = (name, low, high) =>
      slider({ label: name, low, high, value: Math.round(100 * data[name]), ...percent });
    const power = (name, low, high, more = {}) =>
      logSlider({ label: name, low, high, value: data[name], ...own, ...more });
    const controls = {
      max_lr: power("max_lr", 1e-3, 10),
      total_steps: power("total_steps", 50, 1e4, { text: String }),
      pct_start: share("pct_start", 5, 95),
      div_factor: power("div_factor", 1, 1e3),
      final_div_factor: power("final_div_factor", 1, 1e6),
      base_momentum: share("base_momentum", 0, 99),
      max_momentum: share("max_momentum", 0, 99),
      anneal_strategy: radios({
        legend: "anneal_strategy",
        options: [
          ["cos", "cosine"],
          ["linear", "linear"],
        ],
        value: data.anneal_strategy,
        change,
      }),
    };
    const log = check({ label: "Logarithmic axis", change });
    const asked = slider({
      label: "Read off at",
      low: 0,
      high: 1000,
      value: 0,
      at: (p) => Math.round((p / 1000) * (controls.total_steps.value - 1)),
      text: (step) => `step ${step}`,
      change,
    });
    const point = (x) => {
      asked.position = Math.round((1000 * x) / (controls.total_steps.value - 1));
      refresh();
    };
    const words = "against step, with that of the recipe in grey";
    const rates = chart({ label: `Learning rate ${words}`, height: 210, point });
    const momenta = chart({ label: `Momentum ${words}`, height: 140, point });
    const code = copyBox();
    const first = wholeCycle(data);

    /** Curve number `which` as points, thinned to what a screen can show. */
    function points(values, which, total) {
      const every = Math.ceil(values.length / 500);
      return values
        .map((pair, step) => [step, pair[which], pair])
        .filter(([step]) => step % every === 0 || step === values.length - 1)
        .map(([step, value]) => [(step * (total - 1)) / (values.length - 1), value]);
    }

    function update() {
      const cycle = Object.fromEntries(
        Object.entries(controls).map(([name, control]) => [name, control.value]),
      );
      const total = cycle.total_steps;
      asked.show(); // a share of another length is another step
      const now = wholeCycle(cycle);
      const of = (which) => [
        { points: points(first, which, total), kind: "ghost" },
        { points: points(now, which, total), kind: ["first", "second"][which] },
      ];
      const all = [...first, ...now];
      const lrs = all.map(([lr]) => lr);
      const momentum = all.map(([, value]) => value);
      const x = [0, total - 1];
      const step = [{ x: asked.value, kind: "other" }];
      const top = Math.max(...lrs);
      rates.set({
        title: log.value ? "Learning rate, logarithmic" : "Learning rate",
        xlabel: "step",
        x,
        y: [log.value ? Math.min(...lrs) : 0, 1.04 * top],
        logY: log.value,
        lines: of(0),
        verticals: step,
      });
      momenta.set({
        title: "Momentum",
        xlabel: "step",
        x,
        y: [Math.min(...momentum) - 0.01, Math.max(...momentum) + 0.01],
        lines: of(1),
        verticals: step,
      });
      code.set(torchLine(cycle));
      const [lr, value] = now[asked.value];
      const used = now.map(([lr]) => lr);
      const high = Math.max(...used);
      const mean = used.reduce((a, b) => a + b) / total;
      return (
        `From ${short(used[0])} up to ${short(high)} in step ${used.indexOf(high)}, ` +
        `down to ${short(used.at(-1))} in step ${total - 1}; ` +
        `the mean rate is ${Math.round((100 * mean) / cycle.max_lr)}\u00a0% of max_lr. ` +
        `Step ${asked.value} uses ${short(lr, 3)} and momentum ${value.toFixed(3)}.`
      );
    }

    const refresh = frame(place, "Bend the cycle", {
      views: [rates.root, momenta.root],
      controls: [...Object.values(controls), log, asked],
      below: [code.root],
      update,
    });
  }

  const pure = { oneCycle, wholeCycle, torchLine };
  window.sightlineExplorers.kinds["one-cycle"] = { mount, ...pure };
})();
