// What is wrong with a file that was to be a picture, in words for the reader.

const PNG = [0x89, 0x50, 0x4e, 0x47];
const JPEG = [0xff, 0xd8];

/** Name a file at the beginning of a sentence. */
const named = ({ name }) => (name ? `“${name}”` : "That");

const begins = (bytes, start) => start.every((byte, i) => bytes[i] === byte);

/** Tell whether the chunks of a PNG go on to the last one. */
function pngEnds(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let place = 8;
  while (place + 12 <= bytes.length) {
    const length = view.getUint32(place);
    if (view.getUint32(place + 4) === 0x49454e44) return true; // IEND
    place += length + 12;
  }
  return false;
}

/** Tell whether a JPEG goes on to its last marker; that of a thumbnail in it does not count. */
function jpegEnds(bytes) {
  let place = bytes.indexOf(0xff, 2);
  while (place >= 0 && place + 1 < bytes.length) {
    const marker = bytes[place + 1];
    if (marker === 0xd9) return true;
    const filler = marker === 0xff;
    const alone = marker <= 1 || (marker >= 0xd0 && marker <= 0xd7); // all others have a length
    const length = alone ? 0 : (bytes[place + 2] << 8) | bytes[place + 3];
    place = bytes.indexOf(0xff, place + (filler ? 1 : 2 + length));
  }
  return false;
}

/**
 * Tell whether a file is there to its end, as far as its kind says where that is.
 * @param {Uint8Array} bytes
 */
export function whole(bytes) {
  if (begins(bytes, PNG)) return pngEnds(bytes);
  return begins(bytes, JPEG) ? jpegEnds(bytes) : true;
}

/**
 * Say why a file is not even to be decoded: browsers differ in what they make of it.
 * @param {Blob} file
 * @returns {Promise<string>} empty if nothing is wrong
 */
export async function flaw(file) {
  const name = named(file);
  if (!file.size) return `${name} is empty: it has no bytes. Choose another copy of it.`;
  if (file.type.startsWith("video/")) return `${name} is a video. Choose a picture: a screenshot of it will do.`;
  if (file.type.startsWith("image/svg")) return `${name} is an SVG drawing, which has no pixels. Save it as PNG first.`;
  if (whole(new Uint8Array(await file.arrayBuffer()))) return "";
  return `${name} is cut off: its end is missing. Choose another copy of it.`;
}

/**
 * Say why a file could not be decoded, and what to do.
 * @param {Blob} file
 */
export function reason(file) {
  const name = named(file);
  if (/hei[cf]/i.test(`${file.type} ${file.name ?? ""}`)) {
    return `${name} is a HEIC picture, which this browser cannot read. Save it as JPEG or PNG first.`;
  }
  if (file.type?.startsWith("image/")) {
    return `${name} (${file.type}) cannot be read: it is damaged or too large, or this browser does not know its kind. Save it anew as JPEG or PNG, if need be smaller.`;
  }
  return `${name} is no picture (${file.type || "of unknown type"}). JPEG, PNG, WebP and GIF can be read.`;
}
