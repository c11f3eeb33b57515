// What may be said: the words of the model's world, and one plain sentence about a prompt that cannot be made.
// unknownWords does what unknown_words of t2v_helpers/cartoon/grammar.py does; UNSEEN and WEIGHT are what
// model/validation.py refuses.

const SHOWN = 5; // unknown words named before "and 7 more"
// Controls and the like, but for white space; accents that join no letter; letters and signs that print nothing.
const UNSEEN = /(?![\t\n\v\f\r])[\p{C}\p{Mn}\p{Me}\u115f\u1160\u2800\u3164\uffa0]/gu;

const { raw } = String;
const NUMBER = raw`[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?%?`;
const DECIMAL = raw`[+-]?\d*[.,]\d+`;
const LETTER = raw`[\p{L}\p{N}_]`;
const WORD = raw`(?<!${LETTER})(?!\d+(?!${LETTER}))${LETTER}+`; // not 10:30
const WEIGHT = new RegExp(
  [
    raw`[(\[][^()\[\]]*[^()\[\]\d\s]\s*[:;|]\s*${NUMBER}\s*[)\]]`, // (dog:1.3)
    raw`${WORD}(?:::?|\*)${NUMBER}(?![.,]?${LETTER})`, // dog:1.3, dog::2, dog*1.3
    raw`${WORD}(?:\s+:|\^)${DECIMAL}`, // dog :1.3, dog^1.3; not the face :3, nor km^2
    raw`\([^()]*\)(?:[*^]${NUMBER}|${DECIMAL})`, // (dog)^1.3, (dog)1.3
    raw`(?:\([^()]*[^()\d\s]\)[+\-]|(?<!${LETTER})${LETTER}{3,}\+\+)[+\-]*(?!${LETTER}|[+\-])`, // (dog)+, dog++
    raw`(?<!${LETTER})${LETTER}{3,}--[+\-]*(?=[^\p{L}\p{N}_+\-][^\p{L}\p{N}_]*${LETTER})`, // dog-- and more
    raw`\(\([^()]+\)\)|\[[^\[\]]+\]|\{[^{}]+\}`, // ((dog)), [dog], {dog}
  ].join("|"),
  "gu",
);

// An emoji of several characters, as EMOJI of grammar.py.
const PICTURE = raw`[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\u{1f000}-\u{1faff}]`;
const LOOK = raw`[\ufe0e\ufe0f\u{1f3fb}-\u{1f3ff}]`;
const EMOJI = new RegExp(
  [
    raw`[0-9#*]\ufe0f?\u20e3|[\u{1f1e6}-\u{1f1ff}]{2}|\u{1f3f4}[\u{e0030}-\u{e007a}]{3,6}\u{e007f}`,
    raw`${PICTURE}(?=${LOOK}|\u200d${PICTURE})${LOOK}?(?:\u200d${PICTURE}${LOOK}?){0,3}`,
  ].join("|"),
  "gu",
);

const unique = (list) => [...new Set(list)];
const spoken = (text) => text.normalize("NFC").toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

/** Words of a text outside the vocabulary, each once, then symbols such as an emoji; or punctuation, if it is all. */
export function unknownWords(text, vocabulary) {
  const single = text.replace(EMOJI, " ");
  const words = spoken(single);
  const signs = [...(text.match(EMOJI) ?? []), ...(single.match(/\p{S}/gu) ?? [])];
  if (!words.length && !signs.length) return text.split(/\s+/).filter(Boolean);
  return unique([...words.filter((word) => !vocabulary.includes(word)), ...signs]);
}

/** How many letters must be put in, taken out, changed or swapped with their neighbour (Damerau & Levenshtein). */
export function distance(a, b) {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    rows[i] = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = rows[i - 1][j - 1] + (a[i - 1] !== b[j - 1]);
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, changed);
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.length][b.length];
}

/** Up to three words that are spelt nearly like this one, or begin like it; the nearest first. */
export function suggestions(word, vocabulary) {
  if (word.length < 2 || word.length > 20) return [];
  const begins = (known) => word.length > 2 && known.startsWith(word.slice(0, 3));
  const near = vocabulary
    .map((known) => ({
      known,
      far: Math.min(distance(word, known), begins(known) ? 1.5 : Infinity),
      longer: Math.abs(known.length - word.length),
    }))
    .filter(({ known, far }) => far <= Math.max(1.5, known.length / 3) && known.length > 1);
  return near
    .sort((a, b) => a.far - b.far || a.longer - b.longer)
    .slice(0, 3)
    .map(({ known }) => known);
}

const hexadecimal = (sign) => sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
const quoted = (words) => words.map((word) => `“${word.slice(0, 24)}${word.length > 24 ? "…" : ""}”`).join(", ");

function listed(words) {
  const rest = words.length - SHOWN;
  return quoted(words.slice(0, SHOWN)) + (rest > 0 ? ` and ${rest} more` : "");
}

/** The first weight of a word, as (dog:1.3), or undefined; after a word that is not known, -- is a dash. */
function weightIn(prompt, vocabulary) {
  const dash = (found) => /^[\p{L}\p{N}_]+--[+\-]*$/u.test(found);
  const word = (found) => found.replace(/--.*/, "").toLowerCase();
  return prompt.match(WEIGHT)?.find((found) => !dash(found) || vocabulary.includes(word(found)));
}

/** Why a prompt cannot be made, in a sentence, or "" where it can. */
export function complaint(prompt, { vocabulary }, tokenizer) {
  if (!prompt.trim()) return "The sentence is empty: say what to show, for example “a robot is dancing on the moon”.";
  if (/\p{Cs}/u.test(prompt)) return "The sentence has half a character in it: type it again.";
  const single = prompt.replace(EMOJI, " ").normalize("NFC");
  const unseen = unique(single.match(UNSEEN) ?? []).map((sign) => `U+${hexadecimal(sign)}`);
  if (unseen.length) return `The sentence has ${listed(unseen)} in it, unseen in print: remove it.`;
  const weight = weightIn(prompt, vocabulary);
  if (weight) return `The model has no weights of words, as in ${listed([weight])}: leave the signs out.`;
  const unknown = unknownWords(prompt, vocabulary);
  if (unknown.length) return `The model does not know ${listed(unknown)}, so it cannot make this: use the words under “What it knows”.`;
  const words = tokenizer.words(prompt);
  const room = tokenizer.room - 2;
  let count = 0;
  const lost = words.filter((word) => (count += word.tokens.length) > room).map((word) => word.text);
  return lost.length ? `The sentence has ${count} words, but only ${room} fit: leave out ${listed(lost)}.` : "";
}

/** A sentence for a subject, an action, a place and a style, as caption() of grammar.py writes it. */
export function sentence({ subject, action, place, style }, { places, styles }) {
  const article = "aeiou".includes(subject[0]) ? "an" : "a";
  return `${article} ${subject} is ${action} ${places[place]} ${styles[style]}`.trim().replace(/ +/g, " ");
}

/** The parts that a sentence names, as parse() of grammar.py finds them; a part that it leaves out is missing. */
export function parts(text, { subjects, keywords }) {
  const said = ` ${spoken(text).join(" ")} `;
  const found = { place: "room", style: "plain" };
  for (const [kind, labels] of Object.entries(keywords)) {
    for (const [key, label] of Object.entries(labels)) if (said.includes(` ${key} `)) found[kind] = label;
  }
  const named = said
    .replace(/ riding (a|the) horse /, " ")
    .split(" ")
    .find((word) => subjects.includes(word));
  return named ? { ...found, subject: named } : found;
}
