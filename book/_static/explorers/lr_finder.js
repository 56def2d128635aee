/* A recorded range test: smoothing, trim and rule move what it suggests. */
(() => {
  "use strict";
  const { short, signed, make, slider, radios, frame, chart } = window.sightlineExplorers;

  /** Means of the losses around each; Gaussian weights, σ and reach in steps. */
  function smooth(losses, sigma, reach) {
    return losses.map((_, i) => {
      let [sum, total] = [0, 0];
      for (let j = 0; j < losses.length; j++) {
        if (Math.abs(i - j) > reach) continue;
        const weight = Math.exp(-(((i - j) / sigma) ** 2) / 2);
        sum += weight * losses[j];
        total += weight;
      }
      return sum / total;
    });
  }

  const lowest = (values) => values.indexOf(Math.min(...values));

  /** Slopes as numpy.gradient has them. */
  function gradient(values) {
    const last = values.length - 1;
    return values.map((_, i) => {
      const [before, after] = [Math.max(i - 1, 0), Math.min(i + 1, last)];
      return (values[after] - values[before]) / (after - before);
    });
  }

  /** Each rule: position of its suggestion among the points it sees, and a factor. */
  const RULES = {
    steepest(losses) {
      return [lowest(gradient(losses).slice(0, lowest(losses) + 1)), 1];
    },
    valley(losses) {
      const length = []; // of the longest descent that ends at each point
      const previous = []; // point of it
      losses.forEach((loss, i) => {
        length[i] = 1;
        for (let j = 0; j < i; j++) {
          if (losses[j] > loss && length[j] >= length[i]) {
            length[i] = length[j] + 1;
            previous[i] = j;
          }
        }
      });
      const longest = Math.max(...length);
      let point = length.indexOf(longest);
      for (let i = 0; i < Math.floor(longest / 2); i++) point = previous[point];
      return [point, 1];
    },
    minimum(losses) {
      return [lowest(losses), 1 / 10];
    },
    slide(losses, width = 15, threshold = 0.005) {
      const slopes = gradient(losses);
      for (let right = slopes.length - 1; right > width; right--) {
        if (Math.abs(slopes[right] - slopes[right - width]) <= threshold) {
          return [right - width, 1];
        }
      }
      return [0, 1];
    },
  };

  /** Rates, and the mean loss after the update with each. */
  function curveOf(lrs, losses, { bandwidth, reach }) {
    const sigma = bandwidth / Math.log10(lrs[1] / lrs[0]);
    const smoothed = smooth(losses, sigma, reach * sigma);
    return { rates: lrs.slice(0, -1), smoothed: smoothed.slice(1) };
  }

  /**
   * What every rule suggests, as `sightline.training.lr_finder.suggest`.
   * @param {number[]} lrs @param {number[]} losses
   * @param {{bandwidth: number, reach: number}} width σ in decades, and its multiple
   *   beyond which losses have no weight
   * @param {number} end points left out at the right
   * @returns {Record<string, number>}
   */
  function suggest(lrs, losses, width, end) {
    const { rates, smoothed } = curveOf(lrs, losses, width);
    const seen = smoothed.slice(0, smoothed.length - end);
    return Object.fromEntries(
      Object.entries(RULES).map(([name, rule]) => {
        const [place, factor] = rule(seen);
        return [name, rates[place] * factor];
      }),
    );
  }

  /** Accuracy at a rate, read off the line between those tried; null outside. */
  function accuracyAt(rate, { rates, accuracies }) {
    for (let i = 1; i < rates.length; i++) {
      if (rate < rates[i - 1] || rate > rates[i]) continue;
      const share = Math.log(rate / rates[i - 1]) / Math.log(rates[i] / rates[i - 1]);
      const ends = [accuracies[i - 1], accuracies[i]];
      if (ends.includes(null)) return null;
      return ends[0] + share * (ends[1] - ends[0]);
    }
    return null;
  }

  function mount(place, data) {
    const { tests, trained, guess, reach, skip } = data;
    const change = () => refresh();
    const shortest = Math.min(...tests.map(({ lrs }) => lrs.length));
    const bandwidth = slider({
      label: "Width σ of the mean",
      low: 2,
      high: 100,
      value: Math.round(100 * data.bandwidth),
      at: (p) => p / 100,
      text: (v) => `${v.toFixed(2)} decades`,
      change,
    });
    const end = slider({
      label: "Left out at the end",
      low: 0,
      high: Math.floor(0.4 * shortest),
      value: skip,
      text: (v) => `${v} points`,
      change,
    });
    const found = {}; // where each rule's suggestion is written
    const rule = radios({
      legend: "Rule, and what it suggests",
      options: Object.keys(RULES).map((name) => {
        found[name] = make("b");
        return [name, make("span", {}, `${name} `, found[name])];
      }),
      value: "valley",
      change,
      kind: "explorer-rules",
    });
    const seed = radios({
      legend: "Seed",
      options: tests.map((_, i) => [String(i), String(i)]),
      value: "0",
      change,
    });
    const curve = chart({
      label: "Loss against learning rate: single batches, their mean, suggestions",
      height: 230,
    });
    const honest = chart({
      label: "Validation accuracy after a short training against its learning rate",
      height: 150,
    });
    const every = tests.flatMap(({ lrs }) => [lrs[0], lrs.at(-1)]);
    const x = [Math.min(...every), Math.max(...every)];
    const tried = trained.rates.map((lr, i) => [lr, 100 * trained.accuracies[i]]);
    const known = tried.filter((_, i) => trained.accuracies[i] !== null);
    const best = known.reduce((a, b) => (b[1] > a[1] ? b : a));

    function update() {
      const { lrs, losses } = tests[Number(seed.value)];
      const width = { bandwidth: bandwidth.value, reach };
      const { rates, smoothed } = curveOf(lrs, losses, width);
      const suggested = suggest(lrs, losses, width, end.value);
      for (const [name, lr] of Object.entries(suggested)) {
        found[name].textContent = short(lr);
      }
      const lr = suggested[rule.value];
      const others = Object.values(suggested).map((x) => ({ x, kind: "other" }));
      others.push({ x: lr, kind: "chosen", name: rule.value }); // over the others
      const low = Math.min(...losses);
      const high = Math.max(1.6 * guess, ...losses.slice(0, 5));
      curve.set({
        title: "Loss",
        xlabel: "learning rate",
        x,
        y: [Math.max(0, low - 0.1 * (high - low)), high],
        logX: true,
        bands: [[rates[rates.length - 1 - end.value], x[1]]],
        levels: [[guess, "guessing"]],
        lines: [
          { points: lrs.map((rate, i) => [rate, losses[i]]), kind: "raw" },
          { points: rates.map((rate, i) => [rate, smoothed[i]]), kind: "first" },
        ],
        verticals: others,
      });
      const percent = known.map(([, accuracy]) => accuracy);
      const [bottom, top] = [Math.min(...percent), Math.max(...percent)];
      const room = Math.max(0.12 * (top - bottom), 1);
      const reached = accuracyAt(lr, trained);
      honest.set({
        title: "Accuracy after a short training, %",
        xlabel: "max_lr",
        x,
        y: [Math.max(0, bottom - room), Math.min(100, top + room)],
        logX: true,
        lines: [{ points: known, kind: "first" }],
        dots: known.map(([rate, y]) => ({ x: rate, y, kind: "first" })),
        verticals: [{ x: lr, kind: "chosen" }],
      });
      if (reached === null) {
        return `${rule.value} suggests ${short(lr)}, a rate that we did not try.`;
      }
      return (
        `${rule.value} suggests ${short(lr)}: a short training with it reaches about ` +
        `${(100 * reached).toFixed(1)}\u00a0%, ${signed(100 * reached - best[1], 1)} points ` +
        `against the best rate tried, ${short(best[0])}.`
      );
    }

    const refresh = frame(place, "Read one curve yourself", {
      views: [curve.root, honest.root],
      controls: [bandwidth, end, rule, seed],
      update,
    });
  }

  const pure = { suggest, accuracyAt };
  window.sightlineExplorers.kinds["lr-finder"] = { mount, ...pure };
})();
