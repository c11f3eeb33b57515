// What was made: one or two videos in step, the guesses they came from, their words, their frames.
//
// A take is { setting, calls: [{ title, pixels, maps }] }. `shown`, a number or "last", is the call on the screens.

import { button, element } from "./controls.js";
import { enlarged, heatOf, lit } from "./heat.js";
import { imageOf, strip } from "./save.js";
import { described } from "./settings.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const byId = (id) => document.getElementById(id);

function canvasOf(size, label) {
  const canvas = element("canvas", { width: size, height: size });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}

const titleOf = (index, total) => (index < 0 ? "Noise" : index === total - 1 ? "Finished" : `Guess ${index + 1}`);

function put(canvas, pixels, frame) {
  canvas.getContext("2d").putImageData(imageOf(pixels, frame, canvas.width), 0, 0);
}

/** Show what needs a finished video, or hide it. */
function unveil(yes) {
  for (const id of ["words", "strips", "keep"]) byId(id).parentElement.hidden = !yes;
}

const pressed = (button, yes) => button.setAttribute("aria-pressed", String(yes));

export class Stage {
  constructor(known, tokenizer) {
    Object.assign(this, { known, tokenizer, takes: [], shown: "last", word: null, frame: 0, playing: !still.matches });
    [, this.frames, this.height, this.width] = known.latents;
    byId("frame").max = this.frames - 1;
    byId("frame").addEventListener("input", (event) => this.seek(Number(event.target.value)));
    byId("play").addEventListener("click", () => this.play(!this.playing));
    this.play(this.playing);
    this.started = performance.now();
    requestAnimationFrame((now) => this.tick(now));
  }

  /** Clear the stage for new settings. */
  begin(settings) {
    this.takes = settings.map((setting) => ({ setting, calls: [] }));
    [this.shown, this.word, this.chosen] = ["last", null, null];
    byId("stage").classList.toggle("two", settings.length > 1);
    byId("screens").replaceChildren(...this.takes.map((take) => this.screen(take)));
    byId("calls").replaceChildren(...this.takes.map((take) => (take.row = element("div", { className: "calls" }))));
    unveil(false);
    byId("play").parentElement.hidden = true; // until there is something to play
    this.play(!still.matches);
  }

  screen(take) {
    const { prompt } = take.setting;
    const details = described(take.setting, this.known);
    take.canvas = canvasOf(1, `Video: ${prompt} (${details})`);
    const words = [element("b", { textContent: prompt }), element("span", { textContent: details })];
    return element("figure", {}, take.canvas, element("figcaption", {}, ...words));
  }

  /** A call of a video's network is done. */
  add(video, { index, total, pixels, maps }) {
    this.size = Math.sqrt(pixels.length / this.frames / 3);
    const take = this.takes[video];
    const title = titleOf(index, total);
    const call = { title, pixels, maps, canvas: element("canvas", { width: this.size, height: this.size }) };
    call.button = button(title, () => this.show(take.calls.indexOf(call)));
    call.button.prepend(call.canvas);
    take.calls.push(call);
    take.row.append(call.button);
    take.canvas.width = take.canvas.height = this.size;
    byId("play").parentElement.hidden = false;
    this.show("last");
  }

  /** Both videos are done. */
  end() {
    byId("words").replaceChildren(...this.takes.map((take, i) => this.wordRow(take, i)));
    unveil(true);
  }

  get done() {
    return this.takes.length > 0 && this.takes.every(({ calls }) => calls.at(-1)?.title === "Finished");
  }

  /** What is on the screens: each video's pixels [f h w 3], with the light of a word that is chosen. */
  get videos() {
    return this.takes.map((take) => this.pixels(take));
  }

  wordRow(take, video) {
    const row = element("div", { className: "row" });
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", take.setting.prompt);
    let at = 1; // after the token that starts a sentence
    for (const { text, tokens } of this.tokenizer.words(take.setting.prompt)) {
      const places = tokens.map(() => at++);
      const word = button(text, () => this.choose(video, places, this.chosen === word ? null : word));
      pressed(word, false);
      row.append(word);
    }
    return row;
  }

  /** Light up where a word of a video was read; the word's button is null where none is chosen. */
  choose(video, places, chosen) {
    if (this.chosen) pressed(this.chosen, false);
    this.chosen = chosen;
    this.word = chosen && { video, places };
    if (chosen) pressed(chosen, true);
    if (chosen && !this.mapsOf(this.takes[video]).length) return this.show("last"); // noise was read before any word
    this.redraw();
  }

  filmstrip(take) {
    const columns = innerWidth < 600 ? 4 : 8;
    const canvas = strip(take.onScreen, this.size, 1, columns);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${this.frames} frames of: ${take.setting.prompt}`);
    canvas.addEventListener("click", ({ offsetX, offsetY }) => {
      const column = Math.floor((offsetX / canvas.clientWidth) * columns);
      const row = Math.floor((offsetY / canvas.clientHeight) * Math.ceil(this.frames / columns));
      this.seek(Math.min(row * columns + column, this.frames - 1));
    });
    return canvas;
  }

  show(which) {
    this.shown = which;
    for (const { calls } of this.takes) {
      const last = which === "last" ? calls.length - 1 : Math.min(which, calls.length - 1);
      calls.forEach(({ button }, i) => pressed(button, i === last));
    }
    this.redraw();
  }

  call(take) {
    return take.calls[this.shown === "last" ? take.calls.length - 1 : Math.min(this.shown, take.calls.length - 1)];
  }

  /** What is on a take's screen: a call's pixels [f h w 3], with the chosen word's light. */
  pixels(take) {
    const call = this.call(take);
    if (!this.word || this.takes[this.word.video] !== take || !this.mapsOf(take).length) return call?.pixels;
    const heat = heatOf(this.mapsOf(take), this.word.places, this.known.tokens);
    return lit(call.pixels, enlarged(heat, [this.frames, this.height, this.width], this.size));
  }

  /** The maps of the call that is shown; for the finished video, of all calls. */
  mapsOf(take) {
    const call = this.call(take);
    const all = call === take.calls.at(-1);
    return (all ? take.calls : [call]).map(({ maps }) => maps).filter(Boolean);
  }

  redraw() {
    for (const take of this.takes) take.onScreen = this.pixels(take);
    if (this.done) byId("strips").replaceChildren(...this.takes.map((take) => this.filmstrip(take)));
    this.draw();
  }

  draw() {
    for (const take of this.takes) {
      if (take.onScreen) put(take.canvas, take.onScreen, this.frame);
      for (const { canvas, pixels } of take.calls) put(canvas, pixels, this.frame);
    }
    byId("frame").value = this.frame;
    const count = `frame ${this.frame + 1} of ${this.frames}`;
    byId("count").textContent = count;
    byId("frame").setAttribute("aria-valuetext", count);
  }

  tick(now) {
    const frame = Math.floor(((now - this.started) / 1000) * this.known.fps) % this.frames;
    if (this.playing && frame !== this.frame && frame >= 0) {
      this.frame = frame;
      this.draw();
    }
    requestAnimationFrame((next) => this.tick(next));
  }

  play(yes) {
    this.playing = yes;
    this.started = performance.now() - (this.frame * 1000) / this.known.fps;
    byId("play").textContent = yes ? "Pause" : "Play";
  }

  seek(frame) {
    this.play(false);
    this.frame = frame;
    this.draw();
  }
}
