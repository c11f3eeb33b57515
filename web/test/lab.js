// JupyterLab as `make lab` starts it, in Chromium: opens the first notebook, runs all of it, presses the playground's button, and waits
// for its video. It works on a copy of the notebooks, so that nothing stored changes.
//
//     node web/test/lab.js [--shots FOLDER]

import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { until } from "./marionette.js";
import { browserPath } from "./programs.js";

const NOTEBOOK = "00_start_here.ipynb";
const PATIENCE = { timeout: 1_200_000 };
const ROOT = join(import.meta.dirname, "..", "..");
const { values } = parseArgs({ options: { shots: { type: "string" } } });

/** Start `make lab` in a folder; its process, and the address that it prints, with the token. */
function startLab(folder) {
  const words = ["lab", `FOLDER=${folder}`, "ARGS=--no-browser --port=0"];
  const own = { T2V_HEADLESS: "", T2V_OUTPUTS: join(folder, "outputs"), JUPYTER_CONFIG_DIR: join(folder, "settings") };
  const environment = { ...process.env, ...own };
  const lab = spawn("make", words, { cwd: ROOT, env: environment, detached: true, stdio: ["ignore", "ignore", "pipe"] });
  const address = new Promise((found, failed) => {
    let said = "";
    lab.stderr.on("data", (bytes) => {
      said += bytes;
      const url = /http:\/\/127\.0\.0\.1:\d+\/lab\?token=\w+/.exec(said);
      if (url) found(url[0]);
    });
    lab.on("exit", () => failed(new Error(`make lab ended: ${said.slice(-500)}`)));
  });
  return { lab, address };
}

async function playgroundsVideo(page, address) {
  const there = () => page.goto(address.replace("/lab?", `/lab/tree/${NOTEBOOK}?`), PATIENCE).catch(refused);
  await until("JupyterLab answers", there, PATIENCE.timeout);
  await page.getByText("| Idle").waitFor(PATIENCE); // before its kernel is there, JupyterLab asks for one
  await page.getByRole("menuitem", { name: "Run", exact: true }).click();
  await page.getByRole("menuitem", { name: "Run All Cells", exact: true }).click();
  const button = page.getByRole("button", { name: "Generate", exact: true });
  await button.waitFor(PATIENCE);
  await page.waitForFunction(allRan, null, PATIENCE);
  if (await page.evaluate(videoMoves)) return ["the playground has a video before its button is pressed"];
  await button.scrollIntoViewIfNeeded();
  await button.click();
  await page.waitForFunction(videoMoves, null, PATIENCE);
  return page.locator(".jp-Notebook .jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").allTextContents();
}

/** It prints its address a moment before it listens there. */
function refused(error) {
  if (!error.message.includes("ERR_CONNECTION_REFUSED")) throw error;
}

/** In the page: whether no cell waits or runs any more. */
function allRan() {
  const prompts = [...document.querySelectorAll(".jp-Notebook .jp-InputPrompt")].map((one) => one.textContent);
  return prompts.length > 0 && !prompts.some((text) => text.includes("*"));
}

/** In the page: whether there is a video in the playground's cell, and it moves. */
function videoMoves() {
  const button = [...document.querySelectorAll("button")].find((one) => one.textContent.trim() === "Generate");
  const video = button.closest(".jp-CodeCell").querySelector("video");
  video?.play();
  return video?.readyState >= 2 && video.currentTime > 0;
}

async function main() {
  const executablePath = browserPath();
  if (!executablePath) return console.log("Skipped: there is no Chromium here. Install it, or name it: CHROMIUM=...");
  const folder = mkdtempSync(join(tmpdir(), "lab-"));
  cpSync(join(ROOT, "notebooks"), folder, { recursive: true });
  const { lab, address } = startLab(folder);
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(PATIENCE.timeout);
    const errors = await playgroundsVideo(page, await address);
    console.log(`${errors.length ? "FAULT" : "ok   "} JupyterLab runs ${NOTEBOOK}, and its playground makes a video`);
    errors.forEach((error) => console.log(`      ${error.slice(0, 200)}`));
    if (values.shots) {
      mkdirSync(values.shots, { recursive: true });
      await page.screenshot({ path: join(values.shots, "lab.png") });
    }
    process.exitCode = errors.length ? 1 : 0;
  } finally {
    await browser.close();
    process.kill(-lab.pid); // make, and JupyterLab with its kernels
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
