// The page: controls on one side, the stage on the other, and the worker that computes behind both.

import { Controls, button, element } from "./controls.js";
import { offered, wish } from "./gpu.js";
import { canRecord, fileName, saveFrames, saveGif, saveWebm } from "./save.js";
import { EXAMPLES, LIMITS, fromHash, ofModel, toHash, wrongSetting } from "./settings.js";
import { Stage } from "./stage.js";
import { Tokenizer } from "./tokens.js";
import { missing } from "./unpack.js";

const byId = (id) => document.getElementById(id);
const GPU = "'s GPU";
const PARTS = ["runtime", "gpu", "text", "tiny", "student", "teacher", "decoder"];

const known = JSON.parse(byId("known").textContent);
const tokenizer = new Tokenizer(known.tokenizer, known.tokens);
const first = new Controls("first", known, tokenizer);
const second = new Controls("second", known, tokenizer);
const stage = new Stage(known, tokenizer);
let texts; // of the parts
let worker;
let tried = false; // the GPU
let rival; // a worker that tries the GPU, once there is a first video, and takes over where that is right and faster
const wished = wish(location.search); // of the GPU
let request = 0;
let busy = false;
let place = "";
let ready = false;

// --- what the reader asks

function settings() {
  const seed = Number(byId("seed").value.trim() || NaN);
  const asked = byId("compare").checked ? [first, second] : [first];
  return asked.map((controls) => ({ ...controls.value, seed }));
}

/** Say what cannot be made, at its sentence or above the button, and go there; true if there is anything. */
function refused(asked) {
  const wrong = [first, second].slice(0, asked.length).find((controls) => controls.check());
  const problem = asked.map((one) => wrongSetting(one, known)).find(Boolean);
  if (problem) byId("problem").textContent = problem;
  if (wrong) wrong.field("prompt").focus();
  else if (/^(the )?seed/.test(problem)) byId("seed").focus();
  return Boolean(wrong || problem);
}

function show({ settings: [one, two], problems }) {
  byId("seed").value = one.seed;
  first.value = one;
  second.value = two ?? one;
  byId("compare").checked = Boolean(two);
  showSecond();
  byId("problem").textContent = problems.join(" ");
}

/** The other model: whoever compares two videos sees student and teacher first. */
const otherThan = (model) => Object.keys(known.models).find((name) => name !== model);

function showSecond() {
  byId("second").hidden = !byId("compare").checked;
}

function make() {
  const asked = settings();
  if (refused(asked) || !ready) return;
  history.replaceState(null, "", toHash(asked));
  ask(asked);
}

function ask(asked) {
  stage.begin(asked);
  byId("kept").textContent = "";
  setBusy(true);
  worker.postMessage({ make: { id: ++request, settings: asked } });
}

/** Where the screen is below the window, as on a phone, go there. */
function bringIntoView() {
  const { top, bottom } = byId("stage").getBoundingClientRect();
  if (busy && (top > innerHeight * 0.6 || bottom < innerHeight * 0.3)) byId("stage").scrollIntoView({ block: "start" });
}

function setBusy(yes, text) {
  busy = yes;
  byId("make").textContent = yes ? "Stop" : "Make the video";
  byId("status").textContent = text ?? (yes ? "Drawing noise…" : "");
  if (yes) byId("progress").value = 0;
  for (const button of byId("keep").children) button.disabled = yes;
}

function stop() {
  worker.postMessage({ stop: true });
  request++;
  setBusy(false, "Stopped.");
  byId("progress").value = 0;
}

// --- what the worker answers

function receive({ data }) {
  if (data.opened) return opened(data);
  if (data.problem) return place === GPU ? withoutGpu(data.problem) : fail(data.problem);
  if (data.id !== request) return;
  if (data.done) {
    stage.end();
    setBusy(false, `Done in ${(data.done / 1000).toFixed(1)} seconds, on this device${place}.`);
    return tryGpu();
  }
  stage.add(data.video, data);
  const { index, total, video } = data;
  const videos = stage.takes.length;
  byId("progress").value = (video + (index + 1) / total) / videos;
  const which = videos > 1 ? `, video ${video + 1}` : "";
  byId("status").textContent = index < 0 ? "This is the noise." : `Step ${index + 1} of ${total}${which} is done.`;
}

function opened(data) {
  ready = true;
  place = data.threads > 1 ? ` with ${data.threads} threads` : "";
  byId("make").disabled = false;
  if (busy) askAgain();
  else byId("status").textContent = "Ready.";
  if (!busy && !stage.done) make();
}

/** What was asked of a worker that is gone, of the new one. */
const askAgain = () => ask(stage.takes.map(({ setting }) => setting));

/** Once, after the first video: open a second worker on the GPU, if there is one; until it is trusted, all goes on. */
async function tryGpu() {
  if (tried) return;
  tried = true;
  if (!(await offered(wished))) return withoutGpu();
  rival = started(wished);
  rival.onmessage = ({ data }) => (data.opened ? takeOver() : withoutGpu(data.problem));
  rival.onerror = ({ message }) => withoutGpu(message);
}

/** The GPU's worker answers from now on. What the other one makes just now is made anew. */
function takeOver() {
  worker.terminate();
  [worker, rival, place] = [rival, undefined, GPU];
  [worker.onmessage, worker.onerror] = [receive, ({ message }) => withoutGpu(message)];
  document.body.dataset.gpu = "used";
  if (busy) askAgain();
}

/** The GPU is no help, or fails on the way: WebAssembly goes on, or begins again. */
function withoutGpu(why = "there is none that this page may use") {
  rival?.terminate();
  rival = undefined;
  document.body.dataset.gpu = why;
  if (place === GPU) {
    worker.terminate();
    [ready, place] = [false, ""];
    worker = started();
    worker.onmessage = receive;
  }
  texts = undefined; // so that their memory can be freed
}

/** Say what went wrong; the page stays. */
function fail(text) {
  byId("problem").textContent = text;
  setBusy(false, "");
  byId("make").disabled = byId("stage").hidden = !ready;
}

// --- to begin with

/** The texts of the parts, taken out of the page so that their memory can be freed. Error: one is missing. */
function takeParts() {
  return Object.fromEntries(
    PARTS.map((name) => {
      const part = byId(`part-${name}`);
      const text = part?.textContent;
      if (!text) throw new Error(`This copy of the page is damaged (its part “${name}” is missing): get it again.`);
      part.remove();
      return [name, text];
    }),
  );
}

/** A new worker that opens the model. gpu: what is wished of the GPU, or "" for WebAssembly alone. */
function started(gpu = "") {
  const source = new Blob([byId("worker").textContent], { type: "text/javascript" });
  const made = new Worker(URL.createObjectURL(source));
  const { gpu: withGpu, runtime, ...networks } = texts;
  made.postMessage({ open: { known, texts: { ...networks, runtime: gpu ? withGpu : runtime }, gpu } });
  return made;
}

function wake() {
  const problem = missing();
  if (problem) return fail(problem);
  try {
    texts = takeParts();
  } catch (error) {
    return fail(error.message);
  }
  worker = started();
  worker.onmessage = receive;
  worker.onerror = ({ message }) =>
    fail(`The model could not start (${message || "nobody knows why"}): load the page again.`);
}

function listen() {
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (busy) return stop();
    byId("problem").textContent = "";
    make();
    bringIntoView();
  });
  for (const controls of [first, second]) {
    controls.field("prompt").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (busy) stop(); // and make what is written now
      byId("form").requestSubmit();
    });
  }
  byId("compare").addEventListener("change", () => {
    if (byId("compare").checked) second.value = ofModel(otherThan(first.value.model), first.value, known);
    showSecond();
  });
  byId("dice").addEventListener("click", () => {
    byId("seed").value = Math.floor(Math.random() * (LIMITS.seed.max + 1));
    byId("seed").dispatchEvent(new Event("input", { bubbles: true }));
  });
  document.addEventListener("input", () => ready && (byId("problem").textContent = ""));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the page's address holds the settings
    byId("stage").focus();
  });
  addEventListener("hashchange", () => {
    if (!location.hash.includes("=")) return; // no setting
    show(fromHash(location.hash, known));
    if (busy) stop();
    if (ready) make();
  });
  listenToKeep();
}

function listenToKeep() {
  const size = () => stage.size;
  const name = () => fileName(stage.takes[0].setting);
  const keep = (id, said, action) =>
    byId(id).addEventListener("click", async () => {
      if (!stage.done) return;
      byId("kept").textContent = (await action()) ?? said;
    });
  keep("gif", "The GIF is among your downloads.", () => saveGif(stage.videos, size(), known.fps, name()));
  keep("webm", "The WebM is among your downloads.", () => saveWebm(stage.videos, size(), known.fps, name()));
  keep("png", "The frames are among your downloads.", () => saveFrames(stage.videos, size(), name()));
  keep("link", "The link is on your clipboard. It holds the sentence and all settings.", copyLink);
  byId("webm").hidden = !canRecord();
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
  } catch {
    return `The browser does not let this page copy. The link: ${location.href}`;
  }
}

function tryOut(sentence) {
  first.write(sentence);
  if (busy) stop();
  byId("form").requestSubmit();
}

function fill() {
  byId("examples").append(
    ...EXAMPLES.map((text) =>
      element(
        "li",
        {},
        button(text, () => tryOut(text)),
      ),
    ),
  );
  byId("vocabulary").append(...known.world.vocabulary.map((word) => button(word, () => first.add(word))));
}

fill();
show(fromHash(location.hash, known));
listen();
stage.begin(settings());
setBusy(false, "Waking the model…");
byId("make").disabled = true;
wake();
