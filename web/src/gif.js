// An animated GIF (CompuServe, GIF89a, 1990) of one palette for all frames, so that nothing flickers.

const CELLS = 2 ** 15; // of colours with 5 bits a channel
const cell = (r, g, b) => ((r >> 3) << 10) | ((g >> 3) << 5) | (b >> 3);

/** Up to 256 colours [r, g, b] by median cut (Heckbert 1982), and for each cell of colours the palette's number. */
function palette(pixels) {
  const counts = new Uint32Array(CELLS);
  for (let i = 0; i < pixels.length; i += 3) counts[cell(pixels[i], pixels[i + 1], pixels[i + 2])]++;
  const used = Array.from(counts.keys()).filter((c) => counts[c]);
  const boxes = [box(used, counts)];
  while (boxes.length < 256) {
    const widest = boxes.reduce((a, b) => (b.weight > a.weight ? b : a));
    if (!widest.weight) break;
    boxes.splice(boxes.indexOf(widest), 1, ...halves(widest, counts));
  }
  const numbers = new Uint8Array(CELLS);
  boxes.forEach(({ cells }, number) => cells.forEach((c) => (numbers[c] = number)));
  return { colours: boxes.map(({ cells }) => mean(cells, counts)), numbers };
}

const channel = (c, axis) => (c >> (10 - 5 * axis)) & 31;

/** Cells with their widest axis; the weight is the number of pixels times the width, 0 where nothing can be cut. */
function box(cells, counts) {
  const spans = [0, 1, 2].map((axis) => {
    const values = cells.map((c) => channel(c, axis));
    return values.reduce((a, b) => Math.max(a, b), 0) - values.reduce((a, b) => Math.min(a, b), 31);
  });
  const axis = spans.indexOf(Math.max(...spans));
  return { cells, axis, weight: spans[axis] * cells.reduce((sum, c) => sum + counts[c], 0) };
}

function halves({ cells, axis }, counts) {
  const sorted = [...cells].sort((a, b) => channel(a, axis) - channel(b, axis));
  const half = sorted.reduce((sum, c) => sum + counts[c], 0) / 2;
  let sum = 0;
  const cut = sorted.findIndex((c) => (sum += counts[c]) >= half);
  const at = Math.min(Math.max(cut + 1, 1), sorted.length - 1);
  return [box(sorted.slice(0, at), counts), box(sorted.slice(at), counts)];
}

function mean(cells, counts) {
  const weight = cells.reduce((sum, c) => sum + counts[c], 0);
  return [0, 1, 2].map((axis) => {
    const sum = cells.reduce((total, c) => total + counts[c] * channel(c, axis), 0) / weight;
    return Math.round((sum * 255) / 31);
  });
}

/** Numbers of 0 to 255 as GIF's LZW (Welch 1984), codes of 9 to 12 bits, in blocks of up to 255 bytes. */
function compressed(values) {
  const bytes = [];
  let held = 0;
  let bits = 0;
  let width = 9;
  let codes = new Map();
  let next = 258;
  const put = (code) => {
    held |= code << bits;
    for (bits += width; bits >= 8; bits -= 8) {
      bytes.push(held & 255);
      held >>>= 8;
    }
  };
  put(256);
  let prefix = values[0];
  for (const value of values.subarray(1)) {
    const key = (prefix << 8) | value;
    const code = codes.get(key);
    if (code !== undefined) {
      prefix = code;
      continue;
    }
    put(prefix);
    prefix = value;
    if (next === 4096) {
      put(256);
      [codes, next, width] = [new Map(), 258, 9];
    } else {
      if (next === 2 ** width) width++;
      codes.set(key, next++);
    }
  }
  put(prefix);
  put(257);
  if (bits) bytes.push(held & 255);
  return [8, ...blocks(bytes), 0];
}

function blocks(bytes) {
  const found = [];
  for (let i = 0; i < bytes.length; i += 255) {
    const block = bytes.slice(i, i + 255);
    found.push(block.length, ...block);
  }
  return found;
}

const two = (value) => [value & 255, value >> 8];
const letters = (text) => [...text].map((letter) => letter.charCodeAt(0));

/** The bytes of a GIF that plays forever: frames is a list of [h w 3], fps how many a second. */
export function gif(frames, width, height, fps) {
  const all = new Uint8Array(frames.length * frames[0].length);
  frames.forEach((frame, i) => all.set(frame, i * frame.length));
  const { colours, numbers } = palette(all);
  const table = Array.from({ length: 256 }, (_, i) => colours[i] ?? [0, 0, 0]).flat();
  const size = [...two(width), ...two(height)];
  const bytes = [
    ...letters("GIF89a"),
    ...size,
    0xf7,
    0,
    0,
    ...table,
    0x21,
    0xff,
    11,
    ...letters("NETSCAPE2.0"),
    3,
    1,
    0,
    0,
    0,
  ];
  const parts = [Uint8Array.from(bytes)];
  for (const frame of frames) {
    const values = Uint8Array.from(
      { length: width * height },
      (_, i) => numbers[cell(...frame.subarray(3 * i, 3 * i + 3))],
    );
    parts.push(Uint8Array.from([0x21, 0xf9, 4, 0, ...two(Math.round(100 / fps)), 0, 0, 0x2c, 0, 0, 0, 0, ...size, 0]));
    parts.push(Uint8Array.from(compressed(values)));
  }
  return [...parts, Uint8Array.of(0x3b)];
}
