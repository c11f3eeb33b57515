// The page with a GPU, or with what imitates one (SwiftShader: minutes for the whole model), as JSON: its video in WebAssembly and
// on the GPU, what it says of the GPU in each case, and that it goes on where the GPU stops.
//
//     node web/test/gpu.js outputs/live.html chromium

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { framesOf } from "./frames.js";

const [file, executablePath] = process.argv.slice(2);
const ADDRESS = pathToFileURL(resolve(file)).href;
const PATIENCE = { timeout: 1_800_000 };
const KEPT = "self.workers = []; self.Worker = class extends Worker { constructor(url) { super(url); workers.push(this); } };";

const args = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
const browser = await chromium.launch({ executablePath, args });
const seen = { errors: [], said: {} };

async function open(search, before) {
  const page = await browser.newPage();
  page.on("pageerror", (error) => seen.errors.push(error.message));
  await page.addInitScript(before);
  await page.goto(ADDRESS + search, PATIENCE);
  await finished(page);
  return page;
}

const status = (page) => page.textContent("#status");

const finished = (page) =>
  page.waitForFunction(() => /^Done/.test(document.getElementById("status").textContent), null, PATIENCE);

/** What the page says of the GPU, once it has tried it. */
async function verdict(page) {
  await page.waitForFunction(() => document.body.dataset.gpu, null, PATIENCE);
  return page.evaluate(() => document.body.dataset.gpu);
}

/** A video in WebAssembly, one on the GPU, and one after the GPU's worker has stopped: by WebAssembly again. */
async function always() {
  const page = await open("?gpu=always", KEPT);
  seen.wasm = await page.evaluate(framesOf);
  seen.said.always = await verdict(page);
  if (seen.said.always !== "used") return page.close();
  await page.click("#make");
  await finished(page);
  [seen.gpu, seen.status] = [await page.evaluate(framesOf), await status(page)];
  await page.evaluate(() => self.workers.at(-1).onmessage({ data: { problem: "The device is lost." } }));
  await page.waitForFunction(() => document.getElementById("status").textContent === "Ready.", null, PATIENCE);
  await page.click("#make");
  await finished(page);
  [seen.after, seen.statusAfter, seen.said.lost] = [await page.evaluate(framesOf), await status(page), await verdict(page)];
  await page.close();
}

async function refused(name, search, before = "") {
  const page = await open(search, before);
  seen.said[name] = await verdict(page);
  await page.close();
}

try {
  await always();
  await refused("imitated", "");
  await refused("unwished", "?gpu=never");
  await refused("noJspi", "?gpu=always", "delete WebAssembly.Suspending");
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify(seen), () => process.exit(0));
