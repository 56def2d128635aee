// The random numbers of numpy.random.default_rng, number for number.
//
// SeedSequence, PCG64 and the distributions follow the sources of NumPy (numpy/random,
// BSD-3-Clause, © NumPy Developers); SeedSequence and PCG64 are by Melissa O'Neill (MIT).
// A word has 32 bits; of longer numbers the lowest word is the first.

const { fround } = Math;
const WORD = 2 ** 32;
// the words of PCG64's factor
const K = 0x9fccf645;
const L = 0x4385df64;
const M = 0x1fc65da4;
const N = 0x2360ed05;

const TAIL = 3.6541528853610088; // where the lowest strip of the ziggurat ends
const AREA = 0.00492867323399; // of each of its 256 strips
const { limits, widths, heights } = buildZiggurat();

/** @returns {Uint32Array} the four words of an integer of 128 bits */
function splitWords(integer) {
  return Uint32Array.from({ length: 4 }, (_, i) =>
    Number((integer >> BigInt(32 * i)) & 0xffffffffn),
  );
}

/** @returns {bigint} of eight words in numpy's order: the upper half of four is the first */
function joinWords([a, b, c, d]) {
  return [b, a, d, c].reduce((integer, word) => (integer << 32n) | BigInt(word), 0n);
}

/** What a sum of words hands on to the next word. */
const carry = (sum) => Math.floor(sum / WORD);

/** The upper word of a product with this lower word; a double misses it by 2 ** -20. */
const high = (a, b, low) => ((a * b - low) / WORD + 0.5) >>> 0;

/** Tables for normal numbers of 23 bits (Marsaglia & Tsang 2000). */
function buildZiggurat() {
  const height = (x) => Math.exp(-0.5 * x * x);
  const steps = 2 ** 23;
  const limits = new Uint32Array(256); // below, a number lies inside its strip
  const widths = new Float32Array(256); // of a step
  const heights = new Float32Array(256);
  const base = AREA / height(TAIL);
  limits[0] = Math.round((TAIL / base) * steps);
  widths[0] = base / steps;
  heights[0] = 1;
  for (let strip = 255, x = TAIL; strip > 0; strip--) {
    const inner = strip > 1 ? Math.sqrt(-2 * Math.log(AREA / x + height(x))) : 0;
    limits[strip] = Math.round((inner / x) * steps);
    widths[strip] = x / steps;
    heights[strip] = height(x);
    x = inner;
  }
  return { limits, widths, heights };
}

/** @returns {number[]} the words of a seed */
function splitSeed(seed) {
  return [seed].flat().flatMap((number) => {
    if (!Number.isSafeInteger(number) || number < 0)
      throw new RangeError(`seed ${number}: expected whole numbers of 0 or more`);
    return number < WORD ? [number] : [number % WORD, Math.floor(number / WORD)];
  });
}

/** @returns {(word: number) => number} a hash that is another at each call */
function makeHash(constant, factor) {
  return (word) => {
    const mixed = word ^ constant;
    constant = Math.imul(constant, factor);
    const product = Math.imul(mixed, constant);
    return product ^ (product >>> 16);
  };
}

/** @returns {Uint32Array} eight words that all depend on the whole seed (SeedSequence) */
function spreadSeed(seed) {
  const words = splitSeed(seed);
  const hash = makeHash(0x43b0d7e5, 0x931e8875);
  const pool = Uint32Array.from({ length: 4 }, (_, i) => hash(words[i] ?? 0));
  const mix = (i, word) => {
    const mixed = (Math.imul(0xca01f9dd, pool[i]) - Math.imul(0x4973f715, hash(word))) | 0;
    pool[i] = mixed ^ (mixed >>> 16);
  };
  for (let from = 0; from < 4; from++)
    for (let to = 0; to < 4; to++) if (from !== to) mix(to, pool[from]);
  for (const word of words.slice(4)) for (let to = 0; to < 4; to++) mix(to, word);
  const spread = makeHash(0x8b51f9dd, 0x58f38ded);
  return Uint32Array.from({ length: 8 }, (_, i) => spread(pool[i % 4]));
}

/** One stream of random numbers: PCG64, and what numpy draws from it. */
export class Random {
  /** @param {number | number[]} seed whole numbers below 2 ** 53 */
  constructor(seed) {
    const words = spreadSeed(seed);
    const start = joinWords(words.subarray(0, 4));
    const increment = (joinWords(words.subarray(4)) << 1n) | 1n;
    this.increment = splitWords(increment);
    this.state = splitWords(start + increment);
    this.output = new Uint32Array(2);
    this.spare = new Uint32Array(1); // the half of an output that waits to be used
    this.hasSpare = false;
    this.step();
  }

  /** Multiply the state by the factor and add the increment, modulo 2 ** 128. */
  step() {
    const { state, increment } = this;
    const a = state[0];
    const b = state[1];
    const c = state[2];
    const ak = Math.imul(a, K) >>> 0;
    const al = Math.imul(a, L) >>> 0;
    const am = Math.imul(a, M) >>> 0;
    const bk = Math.imul(b, K) >>> 0;
    const bl = Math.imul(b, L) >>> 0;
    const ck = Math.imul(c, K) >>> 0;
    const low = Math.imul(a, N) + Math.imul(b, M) + Math.imul(c, L) + Math.imul(state[3], K);
    let sum = increment[0] + ak;
    state[0] = sum;
    sum = carry(sum) + increment[1] + high(a, K, ak) + al + bk;
    state[1] = sum;
    sum = carry(sum) + increment[2] + high(a, L, al) + high(b, K, bk) + am + bl + ck;
    state[2] = sum;
    sum = carry(sum) + increment[3] + high(a, M, am) + high(b, L, bl) + high(c, K, ck) + low;
    state[3] = sum;
  }

  /** Step, and leave two words in `output`. */
  next64() {
    this.step();
    const { state, output } = this;
    const turn = state[3] >>> 26; // bits by which both words, as one, turn to the right
    const even = state[0] ^ state[2];
    const odd = state[1] ^ state[3];
    const lower = turn < 32 ? even : odd;
    const upper = turn < 32 ? odd : even;
    output[0] = (lower >>> turn) | ((upper << 1) << ~turn);
    output[1] = (upper >>> turn) | ((lower << 1) << ~turn);
  }

  /** @returns {number} a word; numpy draws two at once and hands out the lower first */
  next32() {
    this.hasSpare = !this.hasSpare;
    if (!this.hasSpare) return this.spare[0];
    this.next64();
    this.spare[0] = this.output[1];
    return this.output[0];
  }

  /** @returns {number} from `low` up to but without `high`, in 53 bits */
  uniform(low = 0, high = 1) {
    this.next64();
    const number = (this.output[1] * 2 ** 21 + (this.output[0] >>> 11)) * 2 ** -53;
    return low + (high - low) * number;
  }

  /** @returns {number} a normal number in single precision, from the ziggurat */
  normal() {
    for (;;) {
      const word = this.next32();
      const strip = word & 0xff;
      const steps = word >>> 9;
      const size = fround(steps * widths[strip]);
      const number = word & 0x100 ? -size : size;
      if (steps < limits[strip]) return number;
      if (strip === 0) return this.tail() * (steps & 0x100 ? -1 : 1);
      const drop = fround(heights[strip - 1] - heights[strip]);
      const level = fround(fround(drop * this.fraction()) + heights[strip]);
      if (level < Math.exp(-0.5 * number * number)) return number;
    }
  }

  /** @returns {number} a normal number beyond the lowest strip */
  tail() {
    for (;;) {
      const beyond = fround(fround(-1 / TAIL) * fround(Math.log1p(-this.fraction())));
      const level = -fround(Math.log1p(-this.fraction()));
      if (fround(level + level) > fround(beyond * beyond))
        return fround(fround(TAIL) + beyond);
    }
  }

  /** @returns {number} from 0 up to but without 1, in 24 bits */
  fraction() {
    return (this.next32() >>> 8) * 2 ** -24;
  }

  /** @returns {number} a whole number from 0 to `last` */
  integer(last) {
    const shift = Math.clz32(last); // of the bits that are never needed
    for (;;) {
      const number = (this.next32() << shift) >>> shift;
      if (number <= last) return number;
    }
  }

  /** Bring an array into random order, in place. */
  shuffle(array) {
    for (let i = array.length - 1; i > 0; i--) {
      const j = this.integer(i);
      [array[i], array[j]] = [array[j], array[i]];
    }
  }
}
