// How the parts of the model lie in the page: gzip, two bytes a letter.
//
// The page is UTF-16, whose byte-order mark counts for more than what a server says of the page (WHATWG Encoding, "decode").
// A letter can be almost any number below 2^16, so the text is 3 % longer than the bytes; base64 would be a third longer.
// Networks are parted before gzip: the one byte of a float16 weight that can be compressed is that with its exponent.

const ESCAPE = 0xe000;
const FLIP = 0x8000; // makes of each number that is left out one that is not

/** What HTML changes or ends a script at (NUL, carriage return, "<"), halves of a letter above 2^16, and ESCAPE. */
const leftOut = (unit) => unit === 0 || unit === 13 || unit === 60 || unit === ESCAPE || (unit & 0xf800) === 0xd800;

/** Bytes [n] -> a text. Its first letter says whether the last one holds two bytes, or one. */
export function toText(bytes) {
  const odd = bytes.length % 2;
  const units = [odd ? 1 : 2];
  for (let i = 0; i < bytes.length; i += 2) {
    const unit = bytes[i] + 256 * (bytes[i + 1] ?? 0);
    if (leftOut(unit)) units.push(ESCAPE, unit ^ FLIP);
    else units.push(unit);
  }
  return new TextDecoder("utf-16le", { ignoreBOM: true }).decode(Uint16Array.from(units));
}

/** The text of toText -> bytes [n]. Of another text, anything: gzip's checksum finds it. */
export function fromText(text) {
  const units = new Uint16Array(text.length);
  let count = 0;
  for (let i = 1; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    units[count++] = unit === ESCAPE ? text.charCodeAt(++i) ^ FLIP : unit;
  }
  return new Uint8Array(units.buffer, 0, Math.max(0, 2 * count - (text.charCodeAt(0) % 2)));
}

/** Every second byte from the first on, then every second from the second on. */
export function parted(bytes) {
  const half = Math.ceil(bytes.length / 2);
  return bytes.map((_, i) => bytes[i < half ? 2 * i : 2 * (i - half) + 1]);
}

/** The bytes that were parted, in their order. */
export function joined(bytes) {
  const half = Math.ceil(bytes.length / 2);
  return bytes.map((_, i) => bytes[i % 2 ? half + (i - 1) / 2 : i / 2]);
}
