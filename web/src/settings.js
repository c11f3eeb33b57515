// All that a video depends on, and the link that holds it: #prompt=a+dog+is+dancing&seed=7&model=student&steps=2&...
// A second setting, made from the same noise, has the same names with a 2.

import { SAMPLERS, tooFew } from "./sampler.js";

export const EXAMPLES = [
  "A monkey is riding a horse around a lake",
  "A Robot is dancing in the Times Square",
  "A cartoon of a dog dancing in Van Gogh style",
];

export const MODELS = { student: "Student: fast, few steps", teacher: "Teacher: slow, more steps, with guidance" };

/** Numbers: from, to and step of what may be asked. How many steps, each model says itself: `counts`. */
export const LIMITS = {
  seed: { min: 0, max: 2 ** 32 - 1, step: 1 },
  guidance: { min: 1, max: 15, step: 0.1 },
};
const OWN = ["prompt", "model", "steps", "guidance", "sampler"]; // what a second setting may have otherwise

/** Whether a model can be guided; a student has its teacher's guidance inside. */
export const guided = ({ guidance }) => guidance > 1;

/** What a model makes when nothing else is asked. */
export function defaults(known, model = "student") {
  const { steps, guidance, samplers } = known.models[model];
  return { prompt: EXAMPLES[1], seed: 1234, model, steps, guidance, sampler: samplers[0] };
}

/** The same sentence and seed by another model, as it makes them by itself; an unknown one changes nothing. */
export function ofModel(model, setting, known) {
  if (model === setting.model || !Object.hasOwn(known.models, model)) return setting;
  const { prompt, seed } = setting;
  return { ...defaults(known, model), prompt, seed };
}

/** How a video is made, for the reader. */
export function described({ model, steps, guidance, sampler, seed }, known) {
  const took = `${steps} ${steps === 1 ? "step" : "steps"} of ${SAMPLERS[sampler].title}`;
  const led = guided(known.models[model]) ? [`guidance ${guidance}`] : [];
  return [model, took, ...led, `seed ${seed}`].join(", ");
}

/** Why a setting cannot be used, in a sentence, or "". */
export function wrongSetting(settings, known) {
  const { model, steps, sampler } = settings;
  if (!Object.hasOwn(known.models, model)) return unknown("model", model, Object.keys(known.models));
  const own = known.models[model];
  const wrong = wrongNumber("seed", settings.seed) || wrongNumber("guidance", settings.guidance);
  if (wrong) return wrong;
  if (!own.counts.includes(steps)) return `${given("steps", steps)}: the ${model} takes ${listed(own.counts)}.`;
  if (!guided(own) && settings.guidance !== 1) {
    return `${given("guidance", settings.guidance)}: the ${model} has it inside, so use 1, or another model.`;
  }
  return own.samplers.includes(sampler) ? tooFew(sampler, steps, own) : unknown("sampler", sampler, own.samplers);
}

const given = (name, value) => (Number.isNaN(value) ? `the ${name} is not a number` : `${name} = ${value} is not allowed`);
const unknown = (name, value, all) => `${name} = ${value.slice(0, 40)} is not known: use ${all.join(" or ")}.`;

function wrongNumber(name, value) {
  const { min, max, step } = LIMITS[name];
  const between = Math.abs(value / step - Math.round(value / step)) > 1e-6;
  if (value >= min && value <= max && !between) return "";
  const kind = step === 1 ? "a whole number" : "a number of at most one decimal";
  return `${given(name, value)}: use ${kind} from ${min} to ${max}.`;
}

/** Whole numbers in a sentence: "1, 2 or 4"; of more than five, the first and the last. */
function listed(counts) {
  if (counts.length > 5) return `${counts[0]} to ${counts.at(-1)}`;
  return counts.join(", ").replace(/, (\d+)$/, " or $1");
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

function read(words, suffix, inherited, known, problems) {
  const standard = ofModel(words.get(`model${suffix}`), inherited, known);
  const settings = { ...standard };
  for (const name of suffix ? OWN : Object.keys(standard)) {
    const text = words.get(name + suffix);
    if (text === null) continue;
    const value = typeof standard[name] === "number" ? Number(text.trim() || NaN) : text;
    const problem = wrongSetting({ ...standard, [name]: value }, known);
    if (problem) problems.push(`The link says ${name}${suffix}=${text.slice(0, 40)}. ${problem}`);
    else settings[name] = value;
  }
  return settings;
}
