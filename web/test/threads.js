// The page as a server gives it that isolates it: what it says, and its first video, as JSON.
//
//     node web/test/threads.js outputs/live.html chromium

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { chromium } from "playwright-core";
import { framesOf } from "./frames.js";

const [file, executablePath] = process.argv.slice(2);
const HEADERS = {
  "Content-Type": "text/html; charset=utf-8", // as many a static host says of every page; the page itself knows better
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
const frames = await page.evaluate(framesOf);
const found = await page.evaluate(() => {
  const text = (id) => document.getElementById(id).textContent;
  return { status: text("status"), problem: text("problem"), isolated: crossOriginIsolated };
});
await browser.close();
server.close();
process.stdout.write(JSON.stringify({ ...found, frames, errors }), () => process.exit(0));
