// Where the browsers are: their own names, or what CHROMIUM and FIREFOX name.

import { existsSync } from "node:fs";
import { join } from "node:path";

function where(name) {
  const folders = name.includes("/") ? [""] : (process.env.PATH ?? "").split(":").filter(Boolean);
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

const first = (...names) => names.map(where).find(Boolean);

export const browserPath = () => first(process.env.CHROMIUM ?? "chromium", "chromium-browser", "google-chrome");

export const firefoxPath = () => first(process.env.FIREFOX ?? "firefox-esr", "firefox");
