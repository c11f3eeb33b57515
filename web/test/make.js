// One video in node, without a browser: settings as JSON on stdin; on stdout JSON with, in base64, the finished pixels,
// the clean estimate of each call (float32), and where words were read (float32).
//
//     node web/test/make.js [folder of web/export.py] < settings.json

import * as ort from "onnxruntime-web/wasm";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Model } from "../src/model.js";

const folder = process.argv[2] ?? join(import.meta.dirname, "..", "build");
const packages = join(import.meta.dirname, "..", "node_modules");
ort.env.wasm.wasmBinary = readFileSync(join(packages, "onnxruntime-web", "dist", "ort-wasm-simd-threaded.wasm"));
ort.env.wasm.numThreads = 1;

const read = (name) => readFileSync(join(folder, name));
const model = new Model(ort, JSON.parse(read("model.json")), async (name) => read(`${name}.onnx`));
const base64 = (values) => Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");

const setting = JSON.parse(readFileSync(0, "utf8"));
const calls = [];
let last;
for await (const step of model.make(setting)) {
  last = step;
  if (step.maps) calls.push({ x0: base64(step.x0), maps: base64(step.maps) });
}
const [pixels, sketch] = [await model.pixels(last), await model.decode(last.x0, "tiny")];
const found = JSON.stringify({ calls, pixels: base64(pixels), sketch: base64(sketch) });
process.stdout.write(found, () => process.exit(0));
