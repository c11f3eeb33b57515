// CLIP's tokenizer: byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909) of lower-case words, as transformers'
// CLIPTokenizer reads the same tokenizer.json.

const START = "<|startoftext|>";
const END = "<|endoftext|>";
const SPECIAL = /(<\|startoftext\|>|<\|endoftext\|>)/;
const PIECES = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;

/** GPT-2's letter for each byte: itself where it can be printed, else a letter from 256 on. */
const LETTERS = (() => {
  const printed = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printed(byte) ? byte : next++));
})();

export class Tokenizer {
  /** vocab: token -> number; merges: pairs of tokens, the most frequent first; room: tokens that the encoder reads. */
  constructor({ vocab, merges }, room) {
    this.vocab = vocab;
    this.room = room;
    this.ranks = new Map(merges.map((pair, rank) => [pair.join(" "), rank]));
    this.known = new Map();
  }

  /** The numbers of a text's tokens, without start and end. */
  read(text) {
    return this.words(text).flatMap((word) => word.tokens);
  }

  /** Each piece of a text with its tokens, in order: [{ text, tokens }]. */
  words(text) {
    return text.split(SPECIAL).flatMap((part) => {
      if (part === START || part === END) return [{ text: part, tokens: [this.vocab[part]] }];
      // Each letter by itself: a whole word's lower case may end in another sigma.
      const lower = [...part.normalize("NFC")].map((letter) => letter.toLowerCase()).join("");
      return (lower.match(PIECES) ?? []).map((piece) => ({ text: piece, tokens: this.encode(piece) }));
    });
  }

  /** The tokens of a text between start and end, padded or cut to `room`: what the text encoder reads. */
  padded(text) {
    const tokens = [this.vocab[START], ...this.read(text).slice(0, this.room - 2), this.vocab[END]];
    return [...tokens, ...Array(this.room - tokens.length).fill(this.vocab[END])];
  }

  encode(piece) {
    if (!this.known.has(piece))
      this.known.set(
        piece,
        this.merge(piece).map((symbol) => this.vocab[symbol]),
      );
    return this.known.get(piece);
  }

  /** Join the pair that was joined first in training, again and again. */
  merge(piece) {
    let symbols = Array.from(new TextEncoder().encode(piece), (byte) => LETTERS[byte]);
    symbols[symbols.length - 1] += "</w>";
    for (;;) {
      const ranks = symbols.slice(1).map((symbol, i) => this.ranks.get(`${symbols[i]} ${symbol}`) ?? Infinity);
      const best = ranks.reduce((a, b) => Math.min(a, b), Infinity);
      if (best === Infinity) return symbols;
      symbols = joined(symbols, ranks, best);
    }
  }
}

function joined(symbols, ranks, best) {
  const whole = [];
  for (let i = 0; i < symbols.length; i++) {
    whole.push(ranks[i] === best ? symbols[i] + symbols[++i] : symbols[i]);
  }
  return whole;
}
