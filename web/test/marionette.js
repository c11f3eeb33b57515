// Firefox without a window, spoken to by its own protocol, Marionette: [0, id, command, words] there, [1, id, error, result] back,
// each as its length in bytes, a colon, and JSON.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PATIENCE = 120_000;
const PREFERENCES = {
  "marionette.port": 0, // any that is free; Firefox writes it into its profile
  "browser.shell.checkDefaultBrowser": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "network.proxy.type": 1, // whatever leaves this machine ends here
  "network.proxy.socks": "127.0.0.1",
  "network.proxy.socks_port": 9,
};

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Call until it gives something. Error: it did not, for so many milliseconds. */
export async function until(what, call, patience = PATIENCE) {
  for (const end = Date.now() + patience; Date.now() < end; await pause(200)) {
    const found = await call();
    if (found) return found;
  }
  throw new Error(`${what}: not within ${patience / 1000} s`);
}

export class Firefox {
  /** Start a Firefox with a profile of its own. */
  static async start(program) {
    const profile = mkdtempSync(join(tmpdir(), "firefox-"));
    const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});`);
    writeFileSync(join(profile, "user.js"), lines.join("\n"));
    const child = spawn(program, ["--headless", "--marionette", "--no-remote", "--profile", profile], { stdio: "ignore" });
    const file = join(profile, "MarionetteActivePort");
    const port = await until("Firefox starts", () => existsSync(file) && Number(readFileSync(file, "utf8")));
    const firefox = new Firefox(child, profile, connect(port, "127.0.0.1"));
    await firefox.send("WebDriver:NewSession", { capabilities: { alwaysMatch: {} } });
    await firefox.send("WebDriver:SetTimeouts", { script: PATIENCE, pageLoad: PATIENCE });
    return firefox;
  }

  constructor(child, profile, socket) {
    Object.assign(this, { child, profile, socket, waiting: new Map(), last: 0, rest: Buffer.alloc(0) });
    socket.on("data", (bytes) => this.receive(bytes));
  }

  receive(bytes) {
    this.rest = Buffer.concat([this.rest, bytes]);
    for (let colon; (colon = this.rest.indexOf(":")) > 0; ) {
      const end = colon + 1 + Number(this.rest.subarray(0, colon));
      if (this.rest.length < end) return;
      const message = JSON.parse(this.rest.subarray(colon + 1, end));
      this.rest = this.rest.subarray(end);
      if (Array.isArray(message)) this.answer(message);
    }
  }

  answer([, id, error, result]) {
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error) reject(new Error(error.message));
    else resolve(result?.value ?? result);
  }

  send(command, words = {}) {
    const text = JSON.stringify([0, ++this.last, command, words]);
    this.socket.write(`${Buffer.byteLength(text)}:${text}`);
    return new Promise((resolve, reject) => this.waiting.set(this.last, { resolve, reject }));
  }

  open(url) {
    return this.send("WebDriver:Navigate", { url });
  }

  /** What a function gives in the page. */
  run(code, ...args) {
    return this.send("WebDriver:ExecuteScript", { script: `return (${code})(...arguments)`, args });
  }

  async screenshot(path) {
    writeFileSync(path, Buffer.from(await this.send("WebDriver:TakeScreenshot", { full: true }), "base64"));
  }

  async quit() {
    const gone = new Promise((done) => this.child.once("exit", done));
    await this.send("Marionette:Quit", { flags: ["eForceQuit"] }).catch(() => {});
    await Promise.race([gone, pause(10_000).then(() => this.child.kill())]);
    this.socket.destroy();
    rmSync(this.profile, { recursive: true, force: true });
  }
}
