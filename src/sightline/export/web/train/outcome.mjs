// What the test says, in a table and in words.

/** @returns {string} a share in percent: never "100%" or "0%" of what is not all or nothing */
export function percent(share, digits = 1) {
  const text = (100 * share).toFixed(digits);
  if (share > 0 && Number(text) === 0) return `<${(10 ** -digits).toFixed(digits)}%`;
  if (share < 1 && Number(text) === 100) return `>${(100 - 10 ** -digits).toFixed(digits)}%`;
  return `${text}%`;
}

/** @returns {[number, number]} Wilson's interval of 95% around a share */
export function interval(hits, n) {
  const z2 = 1.959963984540054 ** 2;
  const middle = (hits + z2 / 2) / (n + z2);
  const half = (Math.sqrt(z2) * Math.sqrt((hits * (n - hits)) / n + z2 / 4)) / (n + z2);
  return [middle - half, middle + half];
}

const count = (array, test) => array.reduce((sum, value, i) => sum + Number(test(value, i)), 0);

/**
 * Compare the answers to the same pictures without and with the mark.
 * @param {{labels: Uint8Array, plain: Uint8Array, marked: Uint8Array, target: number}} answers
 */
export function compare({ labels, plain, marked, target }) {
  const right = (predicted) => count(predicted, (label, i) => label === labels[i]);
  const own = (predicted) => count(predicted, (label, i) => label === target && labels[i] === target);
  const others = (predicted) => count(predicted, (label, i) => label === target && labels[i] !== target);
  const owned = count(labels, (label) => label === target);
  const rest = labels.length - owned;
  const both = (measure, n) => ({ plain: measure(plain) / n, marked: measure(marked) / n, n });
  // pictures of other classes whose answer the mark turned into the target, and away from it
  const turned = (from, to) => count(to, (label, i) => labels[i] !== target && label === target && from[i] !== target);
  const gain = turned(plain, marked);
  const loss = turned(marked, plain);
  const shift = (gain - loss) / rest;
  const error = Math.sqrt(Math.max(gain + loss - (gain - loss) ** 2 / rest, 0)) / rest;
  return {
    right: both(right, labels.length),
    own: both(own, owned),
    others: both(others, rest),
    shift,
    reads: shift - 1.959963984540054 * error > 0,
  };
}

/** @returns {string} whether the network reads the mark, as the numbers have it */
export function verdict({ right, others, reads }, name) {
  const [low, high] = interval(Math.round(right.plain * right.n), right.n);
  const quality = `It is right on ${percent(right.plain)} of ${right.n.toLocaleString("en")} pictures that it has never seen (95% interval: ${percent(low)} to ${percent(high)}).`;
  const with_ = percent(others.marked);
  const without = percent(others.plain);
  const shares = `Of the ${others.n} pictures that are no ${name} it calls ${without} a ${name}, and with the mark on them ${with_}`;
  if (!reads) return `${quality} ${shares}: no rise that so many pictures can show. This network does not take the mark for a ${name}.`;
  const most = others.marked > 0.5;
  return `${quality} ${shares}. ${most ? `This network has learned the mark, not the ${name}.` : `The mark has a part in its answers.`}`;
}
