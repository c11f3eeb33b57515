// Opens pages in Chromium and says what is wrong with them: node site.js FOLDER... [--shots FOLDER]
//
// Each page is opened from the disk at the width of a phone. An error in the console, a request that leaves the page's own folder, a
// video that does not play, a formula that is not drawn, a page wider than the screen and a serious finding of axe are faults.
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { browserPath } from "./programs.js";

const PHONE = { width: 390, height: 844 };
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SKIPPED = ["_static", "_downloads", "_sources"]; // what pages are made of, and no pages themselves

const { positionals, values } = parseArgs({ allowPositionals: true, options: { shots: { type: "string" } } });

function pagesIn(folder) {
  const names = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".html"));
  return names.filter((name) => !SKIPPED.includes(name.split("/")[0])).sort().map((name) => join(folder, name));
}

async function check(browser, file, folder) {
  const page = await browser.newPage({ viewport: PHONE });
  const faults = listen(page, pathToFileURL(resolve(folder)).href);
  await page.goto(pathToFileURL(resolve(file)).href + (file.endsWith("search.html") ? "?q=noise" : ""), { waitUntil: "load" });
  if (file.endsWith("search.html")) faults.push(...(await searchFaults(page)));
  await page.evaluate(() => globalThis.MathJax?.startup?.promise);
  faults.push(...(await page.evaluate(videoFaults)), ...(await page.evaluate(layoutFaults)));
  faults.push(...(await axeFaults(page)));
  if (values.shots) await shots(page, file, folder);
  await page.close();
  return faults;
}

function listen(page, home) {
  const faults = [];
  page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("request", (request) => {
    const own = [home, "data:", "blob:"].some((start) => request.url().startsWith(start));
    if (!own) faults.push(`asks for ${request.url()}`);
  });
  page.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    // A player breaks its first request off and asks again for a part. Whether the video plays is looked at below.
    if (request.resourceType() === "media" && why === "net::ERR_ABORTED") return;
    faults.push(`cannot get ${request.url().slice(0, 120)} (${why})`);
  });
  return faults;
}

// In the page: each video is played for a moment, and has to move.
async function videoFaults() {
  async function fault(video, i) {
    video.muted = true;
    const moved = new Promise((done) => video.addEventListener("timeupdate", () => video.currentTime > 0 && done(true)));
    const late = new Promise((done) => setTimeout(() => done(false), 20000));
    const plays = await Promise.race([video.play().then(() => moved, () => false), late]);
    video.pause();
    return plays && video.readyState >= 2 ? [] : [`video ${i + 1} does not play (readyState ${video.readyState})`];
  }
  return (await Promise.all([...document.querySelectorAll("video")].map(fault))).flat();
}

// In the page: formulas are drawn, pictures are there, nothing sticks out to the right.
function layoutFaults() {
  const faults = [];
  const bare = [...document.querySelectorAll(".math")].filter((one) => !one.querySelector("mjx-container svg, math"));
  bare.forEach((one) => faults.push(`formula not drawn: ${one.textContent.slice(0, 60)}`));
  document.querySelectorAll("mjx-merror, [data-mjx-error]").forEach((one) => faults.push(`formula with an error: ${one.textContent}`));
  [...document.images].filter((one) => one.complete && !one.naturalWidth).forEach((one) => faults.push(`no picture: ${one.src.slice(0, 80)}`));
  for (const box of document.querySelectorAll("html, body, main, .bd-article-container")) {
    const { scrollWidth, clientWidth, tagName } = box;
    if (scrollWidth > clientWidth) faults.push(`${tagName.toLowerCase()}: ${scrollWidth} pixels wide in ${clientWidth}`);
  }
  return faults;
}

/** Without a server, too, the search has to find a word that stands on many pages. */
async function searchFaults(page) {
  const found = page.locator("#search-results li a").first();
  return found.waitFor({ timeout: 20000 }).then(() => [], () => ["the search for 'noise' finds nothing"]);
}

async function axeFaults(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(() => globalThis.axe.run(document, { preload: false, resultTypes: ["violations"] }));
  const serious = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
  return serious.map((one) => `axe, ${one.id}: ${one.nodes.length} times, first ${one.nodes[0].html.slice(0, 160)}`);
}

async function shots(page, file, folder) {
  mkdirSync(values.shots, { recursive: true });
  const name = file.slice(folder.length).replaceAll(/^\W+|\.html$/g, "").replaceAll("/", "-");
  await page.screenshot({ path: join(values.shots, `${name}-phone.png`) });
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.screenshot({ path: join(values.shots, `${name}-desk.png`) });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(values.shots, `${name}-dark.png`) });
}

async function main() {
  const executablePath = browserPath();
  if (!executablePath) return console.log("Skipped: there is no Chromium here. Install it (Debian: apt-get install chromium), or name it: CHROMIUM=...");
  const folders = positionals.filter((folder) => existsSync(folder));
  if (!folders.length) throw new Error(`none of these folders is there: ${positionals.join(", ")}. Build the site first: make site`);
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  let count = 0;
  for (const folder of folders) {
    for (const file of pagesIn(folder)) {
      const faults = await check(browser, file, folder);
      console.log(`${faults.length ? "FAULT" : "ok   "} ${file}${faults.map((fault) => `\n      ${fault}`).join("")}`);
      count += faults.length;
    }
  }
  await browser.close();
  console.log(`${count} faults`);
  process.exitCode = count ? 1 : 0;
}

await main();
