// How the parts of the model lie in the page: gzip, written with the letters that UTF-8 stores in one byte.
//
// Six bytes are seven digits of base 116, since 116^7 > 256^6: the text is a sixth longer than the bytes, where that of
// base64 is a third longer. Networks are parted before gzip: the one byte of a float16 weight that can be compressed is
// that with its exponent.

/** What HTML changes or ends a script at, and what other programs act on: control characters, "&", "<" and ">". */
const LEFT_OUT = new Set([0, 9, 10, 11, 12, 13, 26, 27, 38, 60, 62, 127]);
const DIGITS = Uint8Array.from(Array(128).keys()).filter((code) => !LEFT_OUT.has(code));
const BASE = DIGITS.length; // 116
const VALUES = new Uint8Array(2 ** 16); // of every letter that a string may have
DIGITS.forEach((code, value) => (VALUES[code] = value));

/** Bytes [n] -> the letters' codes, each below 128: a group of 6 bytes, or fewer at the end, has one digit more. */
export function toDigits(bytes) {
  const digits = new Uint8Array(bytes.length + Math.ceil(bytes.length / 6));
  for (let from = 0, to = 0; from < bytes.length; from += 6, to += 7) {
    const group = bytes.subarray(from, from + 6);
    let number = group.reduce((sum, byte) => sum * 256 + byte, 0);
    for (let i = to + group.length; i >= to; i--) {
      digits[i] = DIGITS[number % BASE];
      number = Math.floor(number / BASE);
    }
  }
  return digits;
}

/** The text of toDigits -> bytes [n]. Of another text, anything: gzip's checksum finds it. */
export function fromDigits(text) {
  const bytes = new Uint8Array(text.length - Math.ceil(text.length / 7));
  for (let from = 0, to = 0; from < text.length; from += 7, to += 6) {
    const end = Math.min(from + 7, text.length);
    let number = 0;
    for (let i = from; i < end; i++) number = number * BASE + VALUES[text.charCodeAt(i)];
    for (let i = to + end - from - 2; i >= to; i--) {
      bytes[i] = number % 256;
      number = Math.floor(number / 256);
    }
  }
  return bytes;
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
