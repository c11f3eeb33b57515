// Plays with the page as a reader would, and keeps what is on its screen: pictures in a folder, and their milliseconds as JSON.
//
//     node web/film.js outputs/live.html chromium folder

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [file, executablePath, folder] = process.argv.slice(2);
const BEFORE = "a cat is jumping on the moon"; // what is on the screen when the film begins
const SENTENCE = "a robot is dancing in times square";
const WORD = "dancing"; // touched at the end: it has read "robot" before it
const FRAME = 125; // milliseconds: the videos have 8 frames a second

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1000, height: 1000 }, deviceScaleFactor: 0.75 });
const shown = [];

/** Keep the screen; it is to be shown for so many milliseconds. */
async function keep(milliseconds) {
  await page.screenshot({ path: join(folder, `${String(shown.length).padStart(3, "0")}.png`) });
  shown.push(milliseconds);
}

const says = (words) =>
  page.waitForFunction((start) => document.getElementById("status").textContent.startsWith(start), words, {
    timeout: 240_000,
    polling: "raf",
  });

const frames = () => page.evaluate(() => Number(document.getElementById("frame").max) + 1);

async function seek(frame) {
  await page.evaluate((i) => {
    const slider = document.getElementById("frame");
    slider.value = i;
    slider.dispatchEvent(new Event("input"));
  }, frame);
}

/** The whole video, frame by frame, so that a slow machine films the same as a fast one. */
async function playOnce() {
  for (let i = 0; i < (await frames()); i++) {
    await seek(i);
    await keep(FRAME);
  }
}

async function write() {
  const sentence = page.locator("textarea >> nth=0");
  for (let end = 1; end <= SENTENCE.length; end++) {
    if (end < SENTENCE.length && SENTENCE[end] !== " ") continue;
    await sentence.fill(SENTENCE.slice(0, end));
    await keep(200);
  }
}

/** How it formed: a student is faster than a picture of the screen, so its calls are shown once all are done. */
async function make() {
  await page.click("#make");
  await says("Done");
  for (const call of await page.$$("#calls button")) {
    await call.evaluate((button) => button.click());
    await seek(0);
    await keep(700);
  }
}

async function touch() {
  await page.locator("#words button", { hasText: WORD }).first().click();
  await page.evaluate(() => document.getElementById("words").scrollIntoView({ block: "end" }));
  await playOnce();
}

await page.goto(`${pathToFileURL(file).href}#prompt=${BEFORE.replaceAll(" ", "+")}&seed=1234`, { timeout: 240_000 });
await says("Done");
await seek(0);
await keep(700);
await write();
await make();
await playOnce();
await playOnce();
await touch();
await browser.close();
console.log(JSON.stringify(shown));
