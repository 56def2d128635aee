// What the network said about a picture, in words and numbers.

const TOP = 5;

/** Write a share as a percentage: 92%, 4.4%. */
export const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;

/** Write a time in the unit that people use for it: 130 ms, 2.4 s. */
const time = (milliseconds) => (milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`);

const largest = (values) => values.indexOf(Math.max(...values));

/** Name the classes of a set, the first ones if there are many. */
function listed(names) {
  if (!names.length) return "none of these";
  const more = names.length - TOP;
  return names.slice(0, TOP).join(", ") + (more > 0 ? ` and ${more.toLocaleString("en")} more` : "");
}

/** An answer, and the one before anything was erased from the same picture. */
export class Answer {
  /**
   * @param {object} about what `model.json` holds
   * @param {number[]} probabilities
   * @param {number[]} before the same, before anything was erased
   * @param {number} erased share of the picture
   */
  constructor(about, probabilities, before, erased) {
    Object.assign(this, { about, probabilities, before, erased });
  }

  get predicted() {
    return largest(this.probabilities);
  }

  /** All classes, the most probable one first. */
  get order() {
    const numbers = this.probabilities.map((_, number) => number);
    return numbers.sort((a, b) => this.probabilities[b] - this.probabilities[a]);
  }

  /** The most probable classes. */
  get top() {
    return this.order.slice(0, TOP);
  }

  /** Confidence in a class, and where something is erased, what it was before. */
  share(number) {
    const now = percent(this.probabilities[number]);
    return this.erased ? `${percent(this.before[number])} → ${now}` : now;
  }

  /** The answer in a sentence or two. */
  get verdict() {
    const name = this.about.classes[this.predicted];
    const sure = percent(this.probabilities[this.predicted]);
    if (!this.erased) return `${name}, ${sure} sure.`;
    const first = largest(this.before);
    const change = `${percent(this.erased)} erased: ${this.about.classes[first]} ${this.share(first)}.`;
    return first === this.predicted ? change : `${change} Now ${name}, ${sure}.`;
  }

  /** The classes that the picture may be, where thresholds are known: of the whole picture. */
  get sets() {
    const { classes, prediction_sets: thresholds } = this.about;
    if (!thresholds) return "";
    if (this.erased) return "Prediction sets are of the whole picture.";
    const named = Object.entries(thresholds.scores).map(([coverage, score]) => {
      const inside = this.order.filter((number) => 1 - this.probabilities[number] <= score);
      return `${coverage}%: ${listed(inside.map((number) => classes[number]))}`;
    });
    return `Prediction sets: ${named.join("; ")}.`;
  }

  /**
   * Say what a heatmap shows.
   * @param {number} explained the class
   * @param {{name: string, side: number}} layer
   * @param {Float32Array} map
   */
  mapSentence(explained, layer, map) {
    const name = this.about.classes[explained];
    if (!map.some((value) => value > 0)) {
      return `No positive evidence for ${name} at ${layer.name}: there is no map.`;
    }
    if (map.every((value) => value === 1)) {
      return `The same evidence for ${name} everywhere at ${layer.name}.`;
    }
    return `Evidence for ${name} at ${layer.name}, ${layer.side}×${layer.side} positions. Each map is scaled on its own.`;
  }
}

/** Say what is computed here, how well, and how fast. */
export function facts({ model, parameters, bits, accuracy, prediction_sets: thresholds }, milliseconds) {
  const [after, before] = [accuracy.after, accuracy.before].map((share) => `${(100 * share).toFixed(2)}%`);
  const [numbers, images] = [parameters, accuracy.images].map((count) => count.toLocaleString("en"));
  const words = `${model}: ${numbers} parameters, ${bits} bits a weight. Right on ${after} of ${images} test images; before rounding, in 32-bit numbers, on ${before}. This answer took ${time(milliseconds)}.`;
  if (!thresholds) return words;
  const pictures = thresholds.pictures.toLocaleString("en");
  return `${words} The prediction sets come from ${pictures} pictures: of others like those, about as many percent as named have their class in the set. Of other kinds nothing is promised.`;
}
