// The controls of one setting: a sentence, written or chosen, model, steps, guidance and sampler.

import { LIMITS, MODELS, defaults, guided } from "./settings.js";
import { SAMPLERS } from "./sampler.js";
import { complaint, parts, sentence, suggestions, unknownWords } from "./words.js";

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const button = (textContent, onclick) => element("button", { type: "button", textContent, onclick });

const LISTS = ["subject", "action", "place", "style"];
const options = (names, titles = {}) =>
  names.map((name) => element("option", { value: name, textContent: titles[name] ?? name }));
const SAMPLER_TITLES = Object.fromEntries(Object.entries(SAMPLERS).map(([name, { title }]) => [name, title]));

export class Controls {
  /** Fill the page's places "first-words", "first-choices", "first-numbers", or those of "second". */
  constructor(name, known, tokenizer) {
    Object.assign(this, { known, tokenizer });
    this.places = ["words", "choices", "numbers"].map((kind) => {
      const place = document.getElementById(`${name}-${kind}`);
      place.replaceChildren(document.getElementById(`${kind}-template`).content.cloneNode(true));
      return place;
    });
    this.complaint = this.find(".complaint");
    this.nearest = this.find(".nearest");
    this.fillLists();
    this.field("prompt").addEventListener("input", () => this.check());
    this.field("model").addEventListener("change", () => this.change());
    for (const number of ["steps", "guidance"]) this.field(number).addEventListener("input", () => this.showNumbers());
  }

  find(selector) {
    return this.places.map((place) => place.querySelector(selector)).find(Boolean);
  }

  field(name) {
    return this.find(`[name="${name}"]`);
  }

  fillLists() {
    const { subjects, actions, places, styles } = this.known.world;
    const lists = { subject: subjects, action: actions, place: Object.keys(places), style: Object.keys(styles) };
    for (const [name, list] of Object.entries(lists)) {
      this.field(name).replaceChildren(...options(list));
      this.field(name).addEventListener("change", () => this.choose());
    }
    this.field("model").replaceChildren(...options(Object.keys(this.known.models), MODELS));
    Object.assign(this.field("guidance"), LIMITS.guidance);
  }

  /** Another model begins with what it makes by itself; the sentence stays. */
  change() {
    const { prompt, model } = this.value;
    this.value = { ...defaults(this.known, model), prompt };
  }

  /** Offer what a model can be asked; where it has no choice, nothing is shown. */
  offer(model) {
    this.own = this.known.models[model];
    this.field("model").value = model;
    this.field("steps").max = this.own.counts.length - 1;
    this.field("sampler").replaceChildren(...options(this.own.samplers, SAMPLER_TITLES));
    this.find(".sampler").hidden = this.own.samplers.length < 2;
    this.find(".guidance").hidden = !guided(this.own);
  }

  /** Write the sentence that the four lists say; an animal that cannot ride gets on no horse. */
  choose() {
    const chosen = Object.fromEntries(LISTS.map((name) => [name, this.field(name).value]));
    if (chosen.action === "riding a horse" && !this.known.world.riders.includes(chosen.subject)) {
      const riders = this.known.world.riders.join(", ").replace(/, (\w+)$/, " or $1");
      const article = "aeiou".includes(chosen.subject[0]) ? "An" : "A";
      this.follow();
      this.say(`${article} ${chosen.subject} cannot ride a horse here: choose ${riders}.`);
      return;
    }
    this.write(sentence(chosen, this.known.world));
  }

  /** Let the four lists say what the sentence says. */
  follow() {
    const said = parts(this.field("prompt").value, this.known.world);
    for (const [name, value] of Object.entries(said)) this.field(name).value = value;
  }

  write(text) {
    this.field("prompt").value = text;
    this.check();
  }

  add(word) {
    this.write(`${this.field("prompt").value.trim()} ${word}`.trim());
  }

  get value() {
    return {
      prompt: this.field("prompt").value.trim().replace(/\s+/g, " "),
      model: this.field("model").value,
      steps: this.steps,
      guidance: Number(this.field("guidance").value),
      sampler: this.field("sampler").value,
    };
  }

  set value(setting) {
    this.offer(setting.model);
    for (const name of ["prompt", "guidance", "sampler"]) this.field(name).value = setting[name];
    this.field("steps").value = this.own.counts.indexOf(setting.steps);
    this.showNumbers();
    this.check();
  }

  /** The slider stands at one of the model's own counts. */
  get steps() {
    return this.own.counts[Number(this.field("steps").value)];
  }

  showNumbers() {
    const shown = { steps: this.steps, guidance: this.field("guidance").value };
    for (const [name, number] of Object.entries(shown)) this.field(name).nextElementSibling.textContent = number;
    this.field("steps").setAttribute("aria-valuetext", this.steps);
  }

  /** Say what is wrong with the sentence, and offer words that are nearly spelt so; "" where nothing is. */
  check() {
    const text = this.field("prompt").value.normalize("NFC"); // as the tokenizer joins accents and letters
    const { world } = this.known;
    const [unknown] = unknownWords(text, world.vocabulary);
    const near = unknown ? suggestions(unknown.toLowerCase(), world.vocabulary) : [];
    this.nearest.hidden = !near.length;
    this.nearest.replaceChildren("Did you mean", ...near.map((word) => this.replacement(unknown, word)));
    this.follow();
    return this.say(complaint(text, world, this.tokenizer));
  }

  replacement(unknown, word) {
    const whole = new RegExp(`(?<![\\p{L}\\p{N}])${unknown}(?![\\p{L}\\p{N}])`, "iu");
    return button(word, () => this.write(this.field("prompt").value.normalize("NFC").replace(whole, word)));
  }

  say(text) {
    this.complaint.textContent = text;
    this.field("prompt").setAttribute("aria-invalid", String(Boolean(text)));
    return text;
  }
}
