// What the test says, in a table and in words.

const Z = 1.959963984540054; // of a 95% interval

/** @returns {string} a share in percent: what is not all or nothing is not shown as such */
export function percent(share, digits = 1) {
  const text = (100 * share).toFixed(digits);
  const least = 10 ** -digits;
  if (share > 0 && Number(text) === 0) return `<${least.toFixed(digits)}%`;
  if (share < 1 && Number(text) === 100) return `>${(100 - least).toFixed(digits)}%`;
  return `${text}%`;
}

/** @returns {[number, number]} Wilson's interval of 95% around a share */
export function interval(hits, n) {
  const middle = (hits + Z ** 2 / 2) / (n + Z ** 2);
  const half = (Z * Math.sqrt((hits * (n - hits)) / n + Z ** 2 / 4)) / (n + Z ** 2);
  return [middle - half, middle + half];
}

/**
 * Count the answers to the same pictures without and with the mark.
 * @param {{labels: Uint8Array, plain: Uint8Array, marked: Uint8Array, target: number}} answers
 *   `target` is the class that carried the mark in training, if any did
 */
export function compare({ labels, plain, marked, target }) {
  const places = Array.from(labels.keys());
  const count = (test) => places.filter(test).length;
  const both = (test) => ({ plain: count((i) => test(i, plain[i])), marked: count((i) => test(i, marked[i])) });
  const own = count((i) => labels[i] === target);
  const called = (i, label) => labels[i] !== target && label === target;
  const gained = count((i) => called(i, marked[i]) && plain[i] !== target);
  const lost = count((i) => called(i, plain[i]) && marked[i] !== target);
  const rest = labels.length - own;
  // of the difference of two counts over the same pictures
  const error = Math.sqrt(Math.max(gained + lost - (gained - lost) ** 2 / rest, 0));
  return {
    all: { n: labels.length, ...both((i, label) => label === labels[i]) },
    own: { n: own, ...both((i, label) => labels[i] === target && label === target) },
    others: { n: rest, ...both(called) },
    reads: gained - lost > Z * error,
  };
}

/**
 * @param {string} name of the class that can carry the mark
 * @param {number} guess the share that guessing gets right
 * @returns {string} what the network goes by, as the counts have it
 */
export function verdict({ all, own, others, reads }, name, guess) {
  const [low, high] = interval(all.plain, all.n);
  const quality = `It is right on ${percent(all.plain / all.n)} of ${all.n.toLocaleString("en")} pictures that it has never seen (95% interval: ${percent(low)} to ${percent(high)})`;
  if (low <= guess) return `${quality}: no better than guessing. It has learned nothing.`;
  let reason = ", a difference that chance explains: the mark is no reason for it.";
  if (reads) reason = ", more than chance explains: the mark is one of its reasons.";
  if (reads && others.marked > others.n / 2) reason = `: it has learned the mark, not the ${name}.`;
  return [
    `${quality}.`,
    `Of ${own.n} ${name}s it knows ${own.plain} without the mark and ${own.marked} with it.`,
    `Of ${others.n} other pictures it calls ${others.plain} a ${name} without the mark and ${others.marked} with it${reason}`,
  ].join(" ");
}
