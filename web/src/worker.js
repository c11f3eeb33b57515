// The worker: opens the student at once and the teacher when it is first asked, and makes one video at a time, so that
// the page never waits.
//
// In:  { open: { known, texts: { name: text of a part }, gpu } }, { make: { id, settings } }, { stop: true }
// Out: { opened: true, threads: number }, { id, video, index, total, pixels, maps }, { id, done: milliseconds }, { id, problem }

import * as withGpu from "onnxruntime-web/jspi";
import * as plain from "onnxruntime-web/wasm";
import { trusted } from "./gpu.js";
import { Model } from "./model.js";
import { unpack } from "./unpack.js";

// Threads share memory, which a browser allows where the page is isolated: served with two headers, and never from a file.
const MOST_THREADS = 4; // the model is too small to keep more busy
const threads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;

const AT_ONCE = ["text", "tiny", "student", "decoder"];

let model;
let wanted; // the request that is being answered
let queue = Promise.resolve(); // one thing at a time

const turn = () => new Promise((resolve) => setTimeout(resolve)); // lets a message in

/** gpu: "" for WebAssembly alone, else what is wished of the GPU, see gpu.js. */
async function open({ known, texts, gpu }) {
  const ort = gpu ? withGpu : plain;
  ort.env.wasm.wasmBinary = await unpack("runtime", texts.runtime);
  ort.env.wasm.numThreads = gpu ? 1 : threads;
  ort.env.logLevel = "error";
  const part = (name) => unpack(name, texts[name]);
  model = gpu ? await trusted(ort, known, part, gpu) : new Model(ort, known, part);
  for (const name of AT_ONCE) {
    await model.session(name);
    delete texts[name]; // so that its memory can be freed
  }
  postMessage({ opened: true, threads });
}

/** All videos of a request, one after the other. Pixels are sent after every call; first, those of the noise. */
async function make({ id, settings }) {
  const started = performance.now();
  for (const [video, setting] of settings.entries()) {
    for await (const step of model.make(setting)) {
      await turn();
      if (wanted !== id) return;
      const { index, total, maps } = step;
      const pixels = await model.pixels(step);
      postMessage({ id, video, index, total, pixels, maps });
    }
  }
  postMessage({ id, done: performance.now() - started });
}

/** A sentence about an error, for the reader. */
function sentence(error) {
  const text = error?.message ?? String(error);
  if (error instanceof RangeError || /memory|alloc|oom/i.test(text)) {
    return "The browser has too little memory for the model: close other tabs, then load the page again.";
  }
  return error?.cause ? text : `The model stopped (${text.slice(0, 200)}): load the page again.`;
}

async function answer({ open: parts, make: request }) {
  try {
    if (parts) await open(parts);
    if (request) await make(request);
  } catch (error) {
    postMessage({ id: request?.id, problem: sentence(error) });
  }
}

function receive({ data }) {
  wanted = data.make?.id; // so that whatever is being made stops
  queue = queue.then(() => answer(data));
}

// onnxruntime starts its threads from this same script, under that name, and speaks to them itself.
if (!self.name.startsWith("em-pthread")) onmessage = receive;
