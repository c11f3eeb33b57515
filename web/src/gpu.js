// Whether the GPU may compute: where its numbers agree with those of WebAssembly, and it takes less time.

import { Model } from "./model.js";

const CLOSE = 1e-3; // of the latents, whose standard deviation is near 1
const SHADES = 2; // of 255, as far as a video may be from PyTorch's
const TRIAL = { prompt: "A Robot is dancing in the Times Square", seed: 0, model: "student", sampler: "ddim", steps: 1, guidance: 1 };

/** "always", "never" or "auto": what the page's address says after "?gpu=". */
export const wish = (search) => ({ always: "always", never: "never" })[new URLSearchParams(search).get("gpu")] ?? "auto";

/**
 * Whether this browser has a GPU that it lets a page use, and can stop WebAssembly while the GPU works (JSPI). What only
 * imitates a GPU is no faster, so it counts where it is wished for alone.
 */
export async function offered(wished, { navigator, WebAssembly } = globalThis) {
  if (wished === "never" || !navigator.gpu || !WebAssembly.Suspending) return false;
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return Boolean(adapter && (wished === "always" || !adapter.info?.isFallbackAdapter));
}

/** A Model on the GPU, tried beside one in WebAssembly. Error: its numbers are others, or (not "always") it is slower. */
export async function trusted(ort, known, part, wished) {
  const here = new Model(ort, known, part, "wasm");
  const there = new Model(ort, known, part, "webgpu");
  await trial(there); // which compiles
  const [slow, fast] = [await trial(here), await trial(there)];
  await here.release();
  const wrong = unlike(slow, fast);
  if (wrong) throw new Error(`The GPU's numbers are others: ${wrong}.`);
  if (wished !== "always" && fast.milliseconds >= slow.milliseconds) throw new Error("The GPU takes longer.");
  return there;
}

/** A video in one call: its latents, its pixels, and how long they took. */
async function trial(model) {
  const started = performance.now();
  let last;
  for await (const step of model.make(TRIAL)) last = step;
  const pixels = await model.pixels(last);
  return { latents: last.x, pixels, milliseconds: performance.now() - started };
}

/** In what two trials differ more than they may, in words, or "". */
export function unlike(one, other) {
  for (const [name, most] of Object.entries({ latents: CLOSE, pixels: SHADES })) {
    const far = furthest(one[name], other[name]);
    if (!(far <= most)) return `${name} differ by ${far}`;
  }
  return "";
}

/** The largest difference of two rows of numbers; NaN where one is none. */
const furthest = (one, other) => one.reduce((far, value, i) => Math.max(far, Math.abs(value - other[i])), 0);
