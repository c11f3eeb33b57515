// All that a video depends on, and the link that holds it: #prompt=a+dog+is+dancing&seed=7&steps=6&...
// A second setting, made from the same noise, has the same names with a 2.

import { tooFew } from "./sampler.js";

export const EXAMPLES = [
  "A monkey is riding a horse around a lake",
  "A Robot is dancing in the Times Square",
  "A cartoon of a dog dancing in Van Gogh style",
];

/** Numbers: from, to and step of what may be asked. */
export const LIMITS = {
  seed: { min: 0, max: 2 ** 32 - 1, step: 1 },
  steps: { min: 1, max: 50, step: 1 },
  guidance: { min: 1, max: 15, step: 0.1 },
};
const OWN = ["prompt", "steps", "guidance", "sampler"]; // what a second setting may have otherwise

export function defaults(known) {
  const { steps, guidance, samplers } = known;
  return { prompt: EXAMPLES[1], seed: 1234, steps, guidance: guidance || 1, sampler: samplers[0] };
}

/** Why a setting's numbers cannot be used, in a sentence, or "". */
export function wrongNumber(settings, known) {
  for (const [name, { min, max, step }] of Object.entries(LIMITS)) {
    const value = settings[name];
    const between = Math.abs(value / step - Math.round(value / step)) > 1e-6;
    if (!(value >= min && value <= max) || between) {
      const kind = step === 1 ? "a whole number" : "a number of at most one decimal";
      const given = Number.isNaN(value) ? `${name} is no number` : `${name} = ${value} is not allowed`;
      return `${given}: use ${kind} from ${min} to ${max}.`;
    }
  }
  if (!known.samplers.includes(settings.sampler)) {
    return `sampler = ${settings.sampler} is not known: use ${known.samplers.join(" or ")}.`;
  }
  return tooFew(settings.sampler, settings.steps, known);
}

/** One setting, or two for a comparison, as a link's part after the #. */
export function toHash([first, second]) {
  const words = new URLSearchParams(first);
  for (const name of second ? OWN : []) words.set(`${name}2`, second[name]);
  return `#${words}`;
}

/** The settings of a link, what it leaves out filled in; and a sentence about each part that cannot be used. */
export function fromHash(hash, known) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const problems = [];
  const first = read(words, "", defaults(known), known, problems);
  const compared = OWN.some((name) => words.has(`${name}2`));
  const settings = compared ? [first, read(words, "2", first, known, problems)] : [first];
  return { settings, problems };
}

function read(words, suffix, standard, known, problems) {
  const settings = { ...standard };
  for (const name of suffix ? OWN : Object.keys(standard)) {
    const text = words.get(name + suffix);
    if (text === null) continue;
    const value = name in LIMITS ? Number(text.trim() || NaN) : text;
    const problem = wrongNumber({ ...standard, [name]: value }, known);
    if (problem) problems.push(`The link says ${name}${suffix}=${text.slice(0, 40)}. ${problem}`);
    else settings[name] = value;
  }
  return settings;
}
