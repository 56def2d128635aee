// What was taught: classes with names and small pictures, and the file that keeps them.

export const CLASSES = 10; // at most; so many bars can still be read
export const PICTURES = 300; // of all classes together; leaving each out takes seconds
export const NAME = 40; // letters of a name
export const BYTES = 3_000_000; // of a file: PICTURES at their size are fewer
const KIND = "sightline taught classes";
const VERSION = 1;

/** A file that nothing could be taken from, in words for the reader. */
export class FileError extends Error {}

/** Name what was found where something else was expected, briefly. */
const shown = (value) => (JSON.stringify(value) ?? "nothing").slice(0, 40);

const encode = (rgb) => btoa(String.fromCharCode(...rgb));

/** Classes in the order in which they were added. */
export class Taught {
  /** @param {number} size pixels of a picture's side */
  constructor(size) {
    Object.assign(this, { size, classes: [], last: 0 });
  }

  /** @returns {{rgb: Uint8ClampedArray, row: Float64Array, series: number, label: number}[]} */
  get pictures() {
    return this.classes.flatMap(({ pictures }, label) => pictures.map((picture) => ({ ...picture, picture, label })));
  }

  get count() {
    return this.classes.reduce((sum, { pictures }) => sum + pictures.length, 0);
  }

  /** Whether there is anything to tell apart. */
  get enough() {
    return this.classes.length - this.bare.length > 1;
  }

  /** The classes whose pictures are all of one series: leaving that out leaves none. */
  get single() {
    return this.classes.filter(({ pictures }) => pictures.length && new Set(pictures.map((p) => p.series)).size === 1);
  }

  /** The classes without a picture. */
  get bare() {
    return this.classes.filter(({ pictures }) => !pictures.length);
  }

  named(name) {
    return this.classes.find((own) => own.name === name);
  }

  /** Whether some series has several pictures. */
  get holds() {
    return new Set(this.pictures.map(({ series }) => series)).size < this.count;
  }

  /** @returns {number} of a series that is new */
  series() {
    return (this.last += 1);
  }

  /** Make a name that no other class has. */
  free(name, own = null) {
    const others = new Set(this.classes.filter((each) => each !== own).map((each) => each.name));
    const short = name.trim().slice(0, NAME) || own?.name || "Class";
    let result = short;
    for (let i = 2; others.has(result); i++) result = `${short} ${i}`;
    return result;
  }

  addClass(name) {
    const added = { name: this.free(name), pictures: [] };
    this.classes.push(added);
    return added;
  }

  /** Refuse what a file holds if it is more than there is room for. */
  refuse(classes) {
    const pictures = this.count + classes.reduce((sum, each) => sum + each.pictures.length, 0);
    if (pictures > PICTURES) throw new FileError(`together these would be ${pictures} pictures; ${PICTURES} are the most.`);
    const names = [...this.classes.filter((own) => own.pictures.length), ...classes].map(({ name }) => name);
    const count = new Set(names).size;
    if (count > CLASSES) throw new FileError(`together these would be ${count} classes; ${CLASSES} are the most.`);
  }

  /** Add the pictures of a file to the classes of their names; each series keeps its pictures. */
  adopt(classes) {
    const numbers = new Map();
    for (const { name, pictures } of classes) {
      for (const picture of pictures) {
        if (!numbers.has(picture.series)) numbers.set(picture.series, this.series());
        this.named(name).pictures.push({ ...picture, series: numbers.get(picture.series) });
      }
    }
  }

  /** What the head is fitted to. */
  problem() {
    const all = this.pictures;
    const [rows, labels, series] = ["row", "label", "series"].map((key) => all.map((each) => each[key]));
    return { rows, labels, series, count: this.classes.length };
  }

  /** @returns {string} the file: names, and pixels as base64 of red, green, blue */
  text() {
    const classes = this.classes.map(({ name, pictures }) => ({
      name,
      pictures: pictures.map(({ rgb, series }) => ({ series, rgb: encode(rgb) })),
    }));
    return JSON.stringify({ kind: KIND, version: VERSION, size: this.size, classes });
  }
}

/**
 * Read what `Taught.text` wrote.
 * @param {string} text
 * @param {number} size pixels of a picture's side
 * @returns {{name: string, pictures: {rgb: Uint8ClampedArray, series: number}[]}[]}
 */
export function parse(text, size) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FileError("it is damaged or cut off: it is no JSON. Choose the file that “Export” saved.");
  }
  if (value?.kind !== KIND) throw new FileError("it was not made by “Export” on such a page.");
  if (value.version !== VERSION) {
    throw new FileError(`it has version ${shown(value.version)}; this page reads ${VERSION}. Reload the page for its newest version.`);
  }
  if (value.size !== size) {
    throw new FileError(`its pictures have a side of ${shown(value.size)} pixels; this page takes ${size}.`);
  }
  const { classes } = value;
  if (!Array.isArray(classes) || !classes.length || classes.length > CLASSES) {
    throw new FileError(`it must hold a list of 1 to ${CLASSES} classes; it holds ${shown(classes?.length ?? classes)}.`);
  }
  return classes.map((each, place) => readClass(each, place + 1, size));
}

function readClass(value, number, size) {
  const { name, pictures } = value ?? {};
  if (typeof name !== "string" || !name.trim() || name.length > NAME) {
    throw new FileError(`the name of class ${number} must be a text of 1 to ${NAME} letters; it is ${shown(name)}.`);
  }
  if (!Array.isArray(pictures)) throw new FileError(`class ${number} has no list of pictures.`);
  return { name: name.trim(), pictures: pictures.map((each, place) => readPicture(each, `picture ${place + 1} of class ${number}`, size)) };
}

function readPicture(value, place, size) {
  const { rgb, series } = value ?? {};
  if (!Number.isSafeInteger(series)) throw new FileError(`${place} belongs to no series: its number is ${shown(series)}.`);
  let bytes;
  try {
    bytes = atob(rgb);
  } catch {
    throw new FileError(`${place} is damaged: its pixels are no base64.`);
  }
  if (bytes.length !== 3 * size ** 2) {
    throw new FileError(`${place} is damaged: it has ${bytes.length} bytes instead of ${3 * size ** 2}.`);
  }
  return { series, rgb: Uint8ClampedArray.from(bytes, (letter) => letter.charCodeAt(0)) };
}
