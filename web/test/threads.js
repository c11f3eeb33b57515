// The page as a server gives it that isolates it: what it says, and its first video, as JSON.
//
//     node web/test/threads.js outputs/live.html chromium

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const [file, executablePath] = process.argv.slice(2);
const HEADERS = {
  "Content-Type": "text/html",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};
const content = readFileSync(file);
const server = createServer((_, answer) => answer.writeHead(200, HEADERS).end(content));
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage();
const errors = [];
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("pageerror", (error) => errors.push(error.message));

await page.goto(`http://127.0.0.1:${server.address().port}/`, { timeout: 240_000 });
await page.waitForFunction(
  () => /^Done/.test(document.getElementById("status").textContent) || document.getElementById("problem").textContent,
  null,
  { timeout: 240_000 },
);
const found = await page.evaluate(() => {
  const text = (id) => document.getElementById(id).textContent;
  const canvas = document.querySelector("#screens canvas");
  const slider = document.getElementById("frame");
  const all = [];
  for (let i = 0; i <= Number(slider.max); i++) {
    slider.value = i;
    slider.dispatchEvent(new Event("input"));
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    all.push(...data.filter((_, k) => k % 4 < 3));
  }
  const frames = btoa(all.map((value) => String.fromCharCode(value)).join(""));
  return { status: text("status"), problem: text("problem"), isolated: crossOriginIsolated, frames };
});
await browser.close();
server.close();
process.stdout.write(JSON.stringify({ ...found, errors }), () => process.exit(0));
