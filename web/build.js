// Puts the page together: one HTML file with the model, onnxruntime and all scripts inside.
//
//     node web/build.js [folder of web/export.py] [file to write]

import { build } from "esbuild";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { parted, toText } from "./src/packing.js";

const HERE = import.meta.dirname;
const [parts = join(HERE, "build"), target = join(HERE, "..", "outputs", "live.html")] = process.argv.slice(2);
const DIST = join(HERE, "node_modules", "onnxruntime-web", "dist");
const RUNTIMES = { runtime: "ort-wasm-simd-threaded.wasm", gpu: "ort-wasm-simd-threaded.jspi.wasm" }; // gpu: with WebGPU
const NETWORKS = ["text", "tiny", "student", "teacher", "decoder"];

/** A script and all it imports as one classic script: browsers refuse a worker of modules where a page is a file. */
async function bundled(file) {
  const made = await build({
    entryPoints: [join(HERE, "src", file)],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    target: "es2022",
    define: { "import.meta.url": "self.location.href" },
    legalComments: "none",
    logLevel: "warning",
  });
  return made.outputFiles[0].text.replaceAll("</script", "<\\/script");
}

const asScript = (type, id, text) => `<script type="${type}" id="${id}">${text}</script>\n`;

/** The licence of what is bundled, for who reads the source. */
function notices() {
  const { version } = JSON.parse(readFileSync(join(HERE, "node_modules", "onnxruntime-web", "package.json"), "utf8"));
  return `<!-- Apache-2.0. Contains onnxruntime-web ${version}, (c) Microsoft Corporation, MIT License. -->\n`;
}

/** A part of the model as src/unpack.js reads it; how much room it takes is printed. */
function packed(name, bytes) {
  const text = toText(gzipSync(bytes, { level: 9 }));
  console.log(`${name.padEnd(8)} ${((2 * text.length) / 1e6).toFixed(2).padStart(5)} MB`);
  return asScript("text/plain", `part-${name}`, text);
}

function data() {
  const runtimes = Object.entries(RUNTIMES).map(([name, file]) => packed(name, readFileSync(join(DIST, file))));
  const networks = NETWORKS.map((name) => packed(name, parted(readFileSync(join(parts, `${name}.onnx`)))));
  return [...runtimes, ...networks].join("");
}

const known = readFileSync(join(parts, "model.json"), "utf8").replaceAll("<", "\\u003c");
const blocks = {
  "<!-- notices -->": notices(),
  "/* page.css */": readFileSync(join(HERE, "page.css"), "utf8"),
  "<!-- known -->": asScript("application/json", "known", known),
  "<!-- worker -->": asScript("text/plain", "worker", await bundled("worker.js")),
  "<!-- script -->": asScript("module", "page", await bundled("page.js")),
  "<!-- parts -->": data(),
};
let page = readFileSync(join(HERE, "page.html"), "utf8");
for (const [mark, block] of Object.entries(blocks)) page = page.replace(mark, () => block);

mkdirSync(dirname(target), { recursive: true });
const bytes = Buffer.from(`\ufeff${page}`, "utf16le"); // with the byte-order mark, by which a browser knows
writeFileSync(`${target}.new`, bytes);
renameSync(`${target}.new`, target);
console.log(`${target}: ${(bytes.length / 1e6).toFixed(1)} MB`);
