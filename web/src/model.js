// The model: a sentence and a seed in, and after every call of its network a clean estimate of the video out.
//
// Parts are ONNX networks (web/export.py writes them), run one video at a time, so guidance calls the network twice.
// Letters: c channels, f frames, h height, w width, t tokens.

import { noise } from "./random.js";
import { sample } from "./sampler.js";
import { Tokenizer } from "./tokens.js";

export class Model {
  /** ort: onnxruntime; known: model.json; parts: the bytes of text, unet, sketch (the tiny decoder) and decoder. */
  static async open(ort, known, parts) {
    const sessions = {};
    for (const name of ["text", "unet", "sketch", "decoder"]) {
      sessions[name] = await ort.InferenceSession.create(parts[name], { graphOptimizationLevel: "all" });
    }
    return new Model(ort, known, sessions);
  }

  constructor(ort, known, sessions) {
    Object.assign(this, { ort, known, sessions });
    this.tokenizer = new Tokenizer(known.tokenizer, known.tokens);
    this.shape = [1, ...known.latents]; // [1 c f h w]
  }

  /**
   * Yield { index, total, t, x, x0, maps } after each call, and first, with index -1, the noise as x and x0.
   * `maps` [f h w t] is where each token was read in that call.
   */
  async *make({ prompt, seed, sampler, steps, guidance }) {
    const words = await this.encode(prompt);
    const nothing = guidance > 1 ? await this.encode("") : null;
    let maps;
    const predict = async (x, t) => {
      const asked = await this.call(x, t, words);
      maps = asked.maps;
      if (!nothing) return asked.answer;
      const { answer } = await this.call(x, t, nothing);
      return answer.map((negative, i) => negative + guidance * Math.fround(asked.answer[i] - negative));
    };
    const start = noise(
      seed,
      this.shape.reduce((a, b) => a * b),
    );
    yield { index: -1, total: steps, x: start, x0: start };
    for await (const step of sample(sampler, steps, this.known, start, predict)) yield { ...step, maps };
  }

  /** Latents -> pixels, uint8 [f h w 3], by "decoder" or, much faster, by "sketch". */
  async decode(latents, by = "decoder") {
    return (await this.sessions[by].run({ latents: this.tensor(latents, this.shape) })).pixels.data;
  }

  async encode(text) {
    const tokens = BigInt64Array.from(this.tokenizer.padded(text), BigInt);
    const input = new this.ort.Tensor("int64", tokens, [1, tokens.length]);
    return (await this.sessions.text.run({ tokens: input })).text;
  }

  async call(x, t, text) {
    const inputs = { x: this.tensor(x, this.shape), timestep: this.tensor([t], [1]), text };
    const { answer, maps } = await this.sessions.unet.run(inputs);
    return { answer: answer.data, maps: maps.data };
  }

  tensor(values, shape) {
    return new this.ort.Tensor("float32", Float32Array.from(values), shape);
  }
}
