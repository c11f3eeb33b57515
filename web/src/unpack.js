// Parts of the model, out of the page's text. gzip's own checksum finds a damaged one.

import { fromText, joined } from "./packing.js";

const RUNTIMES = ["runtime", "gpu"]; // all other parts are networks

/** Bytes [n] of a part. Error with a sentence for the reader: the part is damaged. */
export async function unpack(name, text) {
  try {
    const stream = new Blob([fromText(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    return RUNTIMES.includes(name) ? bytes : joined(bytes);
  } catch (error) {
    throw new Error(`This copy of the page is damaged (in its part “${name}”): get it again.`, { cause: error });
  }
}

const NEW_ENOUGH = "use Chrome 94, Firefox 113, Safari 16.4 or newer";

// A function that multiplies two vectors of four floats: valid only where wasm has SIMD.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

/** Why this browser cannot run the model, in a sentence, or "". */
export function missing(scope = globalThis) {
  const { WebAssembly, DecompressionStream, Worker } = scope;
  if (!WebAssembly)
    return "WebAssembly is switched off here, and the model runs in it: allow it, or use another browser.";
  if (!WebAssembly.validate(SIMD)) return `This browser's WebAssembly has no SIMD: ${NEW_ENOUGH}.`;
  return DecompressionStream && Worker ? "" : `This browser is too old: ${NEW_ENOUGH}.`;
}
