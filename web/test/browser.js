// The page in a real browser, from the disk and offline; what was seen is printed as JSON.
//
//     node web/test/browser.js outputs/live.html chromium [folder for screenshots]

import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { framesOf } from "./frames.js";

const [file, executablePath, pictures] = process.argv.slice(2);
const ADDRESS = pathToFileURL(file).href;
const AXE = join(import.meta.dirname, "..", "node_modules", "axe-core", "axe.min.js");
const PATIENCE = { timeout: 240_000 };
const seen = { errors: [], requests: [] };

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

async function open(address, { width = 1280, height = 900, scheme = "light", before } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    offline: true,
    acceptDownloads: true,
  });
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  page.on("pageerror", (error) => seen.errors.push(error.message));
  page.on("request", (request) => /^(file|blob|data):/.test(request.url()) || seen.requests.push(request.url()));
  if (before) await page.addInitScript(before);
  await page.goto(address, PATIENCE);
  return page;
}

const text = (page, id) => page.textContent(`#${id}`);

/** Wait for a video, or a problem; the problem's text. */
async function finished(page) {
  await page.waitForFunction(
    () => /^Done/.test(document.getElementById("status").textContent) || document.getElementById("problem").textContent,
    null,
    PATIENCE,
  );
  return text(page, "problem");
}

const frames = (page, screen = 0) => page.evaluate(framesOf, screen);

async function picture(page, name) {
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}

async function serious(page) {
  await page.evaluate(readFileSync(AXE, "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
}

/** The bytes of what a button saves. */
async function saved(page, id) {
  const [download] = await Promise.all([page.waitForEvent("download", PATIENCE), page.click(`#${id}`)]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()).toString("base64") };
}

/** The blog's three sentences by their buttons, then words, guesses, files, and a reload of the link. */
async function desktop() {
  const page = await open(ADDRESS);
  seen.problem = await finished(page);
  seen.videos = {};
  for (const button of await page.$$("#examples button")) {
    await button.click();
    await finished(page);
    seen.videos[await button.textContent()] = await frames(page);
  }
  await picture(page, "light");
  seen.axe = await serious(page);
  seen.link = page.url();
  seen.saved = [];
  for (const id of ["gif", "webm", "png"]) seen.saved.push(await saved(page, id));
  const [plain] = [await frames(page)];
  await page.click("#words button >> nth=3");
  seen.wordDims = (await frames(page)) !== plain;
  await picture(page, "word");
  await page.click("#calls button >> nth=1");
  await picture(page, "guess");
  await page.reload(PATIENCE);
  await finished(page);
  seen.sameAfterReload = (await frames(page)) === plain;
  await page.context().close();
}

/** From one noise, the student's video and, once "Compare" is chosen, its teacher's; then what each model offers. */
async function both() {
  const page = await open(`${ADDRESS}#prompt=a+cat+is+jumping+on+the+moon&seed=2&steps=4`);
  await finished(page);
  await page.check("#compare");
  await page.click("#make");
  await finished(page);
  seen.bothLink = page.url();
  seen.both = [await frames(page, 0), await frames(page, 1)];
  await page.click("#words .row:nth-child(2) button >> nth=1");
  seen.teachersWordDims = (await frames(page, 1)) !== seen.both[1];
  seen.offered = {};
  for (const model of ["teacher", "student"]) {
    await page.selectOption("#first-numbers [name=model]", model);
    seen.offered[model] = await page.evaluate(() => {
      const [slider] = document.querySelectorAll("#first-numbers [name=steps]");
      const guidance = document.querySelector("#first-numbers .guidance");
      return { steps: slider.getAttribute("aria-valuetext"), most: slider.max, guided: !guidance.hidden };
    });
  }
  await picture(page, "both");
  await page.context().close();
}

async function phone() {
  const page = await open(
    `${ADDRESS}#prompt=a+cat+is+jumping+on+the+moon&seed=2&steps=1&model2=teacher&prompt2=a+dog+is+jumping+on+the+moon`,
    { width: 390, height: 844, scheme: "dark" },
  );
  await finished(page);
  seen.phone = await page.evaluate(() => ({ inner: innerWidth, scroll: document.documentElement.scrollWidth }));
  seen.screens = await page.locator("#screens canvas").count();
  seen.axePhone = await serious(page);
  await picture(page, "dark-phone");
  await page.context().close();
}

/** How evenly the page draws while it computes, and that the keyboard alone makes a video. */
async function busy() {
  const page = await open(`${ADDRESS}#model=teacher&steps=4&seed=5`);
  await finished(page);
  await page.focus("textarea >> nth=0");
  const gaps = page.evaluate(
    () =>
      new Promise((resolve) => {
        const all = [];
        let before = performance.now();
        const tick = (now) => {
          all.push(now - before);
          before = now;
          if (now < 0 || all.length > 100) resolve(all.slice(1));
          else requestAnimationFrame(tick);
        };
        requestAnimationFrame(tick);
      }),
  );
  await page.keyboard.press("Enter");
  seen.gaps = await gaps;
  seen.busy = await text(page, "make");
  await page.click("#make");
  seen.stopped = await text(page, "status");
  seen.bad = {};
  for (const sentence of ["", "a zebra is dancing", "a dog 🦊", "x".repeat(10_000), "dog ".repeat(30)]) {
    await page.fill("textarea >> nth=0", sentence);
    await page.click("#make");
    seen.bad[sentence.slice(0, 20)] = await page.textContent(".complaint");
  }
  await picture(page, "unknown");
  await page.goto(`${ADDRESS}#steps=99`, PATIENCE);
  await page.waitForTimeout(500);
  seen.wrongLink = await text(page, "problem");
  await page.context().close();
}

/** Pages that cannot work: what they say. */
async function broken() {
  const whole = readFileSync(file, "utf16le");
  const at = whole.indexOf('id="part-student"') + 5000;
  const kinds = {
    flipped: whole.slice(0, at) + (whole[at] === "A" ? "B" : "A") + whole.slice(at + 1),
    cut: whole.slice(0, at),
    known: whole.replace('id="known">{', 'id="known">'),
  };
  seen.broken = {};
  const before = seen.errors.length;
  for (const [name, content] of Object.entries(kinds)) {
    const copy = join(tmpdir(), `live-${name}-${process.pid}.html`);
    writeFileSync(copy, content, "utf16le");
    const page = await open(pathToFileURL(copy).href);
    seen.broken[name] = await finished(page);
    await page.context().close();
  }
  seen.errors.length = before; // those of broken pages are as they must be
  const page = await open(ADDRESS, { before: "WebAssembly.validate = () => false" });
  seen.broken.noSimd = await finished(page);
  await picture(page, "no-simd");
  await page.context().close();
}

try {
  for (const part of [desktop, both, phone, busy, broken]) await part();
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify(seen), () => process.exit(0));
