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

/** In the page: note when the button is pressed, and when the status says something new. (A test's own click takes longer.) */
function watch() {
  const [note, status] = [() => window.times.push(Math.round(performance.now())), document.getElementById("status")];
  window.times = [];
  document.getElementById("make").addEventListener("click", note, { capture: true, once: true });
  const steps = ["This is the noise", "Step 1", "Done"];
  new MutationObserver(() => {
    if (status.textContent.startsWith(steps[0]) && steps.shift()) note();
  }).observe(status, { childList: true });
}

const opened = performance.now();
const since = (start) => Math.round(performance.now() - start);
await page.goto(pathToFileURL(file).href, { timeout: 240_000 });
const found = { megabytes: Math.round(statSync(file).size / 1e5) / 10, page: since(opened) };
await says("This is the noise");
found.ready = since(opened);
await says("Done");
found.firstVideo = since(opened);
await page.evaluate(watch);
await page.click("#make");
const gaps = page.evaluate(betweenDrawings);
await says("Done");
const [pressed, noise, guess, done] = await page.evaluate(() => window.times);
Object.assign(found, { movingNoise: noise - pressed, firstGuess: guess - pressed, nextVideo: done - pressed });
found.drawing = Math.round(await gaps);
await browser.close();
console.log(JSON.stringify(found));
