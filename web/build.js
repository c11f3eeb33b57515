// Puts the page together: one HTML file with the model, onnxruntime and all scripts inside.
//
//     node web/build.js [folder of web/export.py] [file to write]

import { build } from "esbuild";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

const HERE = import.meta.dirname;
const [parts = join(HERE, "build"), target = join(HERE, "..", "outputs", "live.html")] = process.argv.slice(2);
const RUNTIME = join(HERE, "node_modules", "onnxruntime-web", "dist", "ort-wasm-simd-threaded.wasm");
const FILES = {
  known: join(parts, "model.json"),
  runtime: RUNTIME,
  text: join(parts, "text.onnx"),
  unet: join(parts, "unet.onnx"),
  sketch: join(parts, "sketch.onnx"),
  decoder: join(parts, "decoder.onnx"),
};

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

function data() {
  const pack = (file) => gzipSync(readFileSync(file), { level: 9 }).toString("base64");
  return Object.entries(FILES)
    .map(([name, file]) => asScript("text/plain", `part-${name}`, pack(file)))
    .join("");
}

const known = readFileSync(FILES.known, "utf8").replaceAll("<", "\\u003c");
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
writeFileSync(`${target}.new`, page);
renameSync(`${target}.new`, target);
console.log(`${target}: ${(Buffer.byteLength(page) / 1e6).toFixed(1)} MB`);
