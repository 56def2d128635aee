// What the page says about an answer and about the head, in sentences.
import { percent } from "../answer.mjs";
import { ALARMS, interval, largest, rarity } from "./head.mjs";

export const quoted = (name) => `“${name}”`;

/** Write a number with its noun: 1 picture, 2 pictures. */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

const both = ([low, high]) => `${percent(low)} to ${percent(high)}`;

/** Whether so rare a picture is called strange. */
export const strange = (rare) => rare <= ALARMS;

/** The answer in a line. */
export function verdict(names, probabilities, isStrange) {
  const first = largest(probabilities);
  const answer = `${names[first]}, ${percent(probabilities[first])}`;
  return isStrange ? `None of these? If one of them, ${answer}.` : `${answer}.`;
}

/**
 * Say whether a picture is like the taught ones.
 * @param {number} far its distance from the nearest one
 * @param {number[]} all of each taught picture from the nearest of the others
 */
export function likeness(far, all) {
  const needed = Math.ceil(1 / ALARMS) - 1;
  if (all.length < needed) return `Too few pictures to say what is strange: ${needed} are needed.`;
  const farther = all.filter((each) => each >= far).length;
  const sort = strange(rarity(far, all)) ? "Strange" : "Not strange";
  return `${sort}: ${farther || "none"} of the ${all.length} taught pictures ${farther > 1 ? "are" : "is"} as far from the others.`;
}

/** Say what leaving a taught picture out made of it. */
export function leftOutAnswer(names, label, probabilities) {
  const first = largest(probabilities);
  const answer = `${quoted(names[first])}, ${percent(probabilities[first])}`;
  return first === label ? `Left out, it is still called ${answer}.` : `Left out, it is taken for ${answer}.`;
}

/**
 * Say how often the head is right on pictures that it was not fitted to.
 * @param {import("./taught.mjs").Taught} taught
 * @param {number} right pictures that were named right when left out
 * @returns {string}
 */
export function score(taught, right) {
  const { pictures, count, classes } = taught;
  const series = new Set(pictures.map((each) => each.series)).size;
  const bounds = interval(right / count, series);
  const unit = taught.holds ? "one hold" : "one";
  const sure = taught.holds ? `as sure as ${counted(series, "answer")}: ${both(bounds)}` : both(bounds);
  const result = `Left out ${unit} at a time, ${right} of ${counted(count, "picture")} are named right: ${percent(right / count)} (${sure}).`;
  const sizes = classes.map((each) => each.pictures.length);
  const most = Math.max(...sizes);
  const guess = `always saying ${quoted(classes[sizes.indexOf(most)].name)}, ${percent(most / count)}`;
  const [low, high] = bounds.map((bound) => bound - most / count);
  return `${result} That is ${low > 0 ? "better than" : high < 0 ? "worse than" : "not told apart from"} ${guess}.`;
}

/** Say what there is to be done before there is a head. */
export function invitation({ bare, classes }) {
  if (bare.length < classes.length) return "Now give a second class some pictures.";
  return "Give two classes some pictures each. The head is fitted by itself, again after each change.";
}

/** Say what keeps a head from being measured; an empty text if nothing does. */
export function lacking({ single }) {
  if (!single.length) return "";
  const [{ name, pictures }] = single;
  const why = "Not measured yet:";
  if (pictures.length === 1) return `${why} with its one picture left out, nothing of ${quoted(name)} is left to learn from. Add another.`;
  return `${why} ${quoted(name)} was taken in one hold. Pictures of one hold are alike, and are left out together. Take it again, at another place.`;
}

/** Say what a heatmap shows. */
export function mapSentence(name, map, side) {
  if (!map) return `No evidence for ${quoted(name)}: there is no map.`;
  return `Evidence for ${quoted(name)} at ${side}×${side} places, which add up to its logit less the bias. What is negative is left out, and each map is scaled on its own.`;
}
