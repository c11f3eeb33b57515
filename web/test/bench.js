// How long the page takes, in a browser without a window, one thread; a JSON object of milliseconds.
//
//     node web/test/bench.js outputs/live.html chromium

import { statSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [file, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage();

const says = (words) =>
  page.waitForFunction((start) => document.getElementById("status").textContent.startsWith(start), words, {
    timeout: 240_000,
    polling: 10,
  });

/** In the page: the median of milliseconds between two drawings, from now on until a video is done. */
function betweenDrawings() {
  return new Promise((resolve) => {
    const [all, status] = [[], document.getElementById("status")];
    let before;
    const tick = (now) => {
      if (before) all.push(now - before);
      before = now;
      if (status.textContent.startsWith("Done")) resolve(all.sort((a, b) => a - b)[all.length >> 1]);
      else requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
}

const opened = performance.now();
const since = (start) => Math.round(performance.now() - start);
await page.goto(pathToFileURL(file).href, { timeout: 240_000 });
const found = { megabytes: Math.round(statSync(file).size / 1e5) / 10, page: since(opened) };
await says("This is the noise");
found.ready = since(opened);
await says("Done");
found.firstVideo = since(opened);
const pressed = performance.now();
await page.click("#make");
const gaps = page.evaluate(betweenDrawings);
await says("This is the noise");
found.movingNoise = since(pressed);
await says("Call 1");
found.firstGuess = since(pressed);
await says("Done");
found.nextVideo = since(pressed);
found.drawing = Math.round(await gaps);
await browser.close();
console.log(JSON.stringify(found));
