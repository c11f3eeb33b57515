// The live page in Firefox, from the disk: makes a video of its first sentence, plays it, and says what is wrong.
//
//     node web/test/firefox.js outputs/live.html [--shots FOLDER] [--frames]
//
// With --frames the last line is the video's frames, base64 of uint8 [f h w 3], as the page shows them.

import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { framesOf } from "./frames.js";
import { Firefox, until } from "./marionette.js";
import { firefoxPath } from "./programs.js";

const options = { shots: { type: "string" }, frames: { type: "boolean" } };
const { positionals, values } = parseArgs({ allowPositionals: true, options });
const [file] = positionals;

const text = (id) => document.getElementById(id).textContent;

async function faultsIn(firefox) {
  await firefox.open(pathToFileURL(resolve(file)).href);
  const ended = () => firefox.run(`() => (${text})("problem") || /^Done/.test((${text})("status"))`);
  const problem = await until("a video", ended, 240_000);
  if (problem !== true) return [`it says: ${problem}`];
  const before = await firefox.run(`() => (${text})("count")`);
  const moved = await until("the video moves", async () => (await firefox.run(`() => (${text})("count")`)) !== before, 10_000);
  return moved ? [] : ["the video does not move"];
}

async function main() {
  const program = firefoxPath();
  if (!program) return console.log("Skipped: there is no Firefox here. Install it (Debian: apt-get install firefox-esr), or name it: FIREFOX=...");
  if (!existsSync(file)) return console.log(`Skipped: ${file} is not there: make page`);
  const firefox = await Firefox.start(program);
  try {
    const faults = await faultsIn(firefox).catch((error) => [error.message]);
    console.log(`${faults.length ? "FAULT" : "ok   "} ${file} in Firefox${faults.map((fault) => `\n      ${fault}`).join("")}`);
    if (values.shots) {
      mkdirSync(values.shots, { recursive: true });
      await firefox.screenshot(join(values.shots, "live-firefox.png"));
    }
    if (values.frames) console.log(await firefox.run(framesOf));
    process.exitCode = faults.length ? 1 : 0;
  } finally {
    await firefox.quit();
  }
}

await main();
