// The model: a sentence and a seed in, and after every call of its network a clean estimate of the video out.
//
// Parts are ONNX networks (web/export.py writes them), run one video at a time, so guidance calls the network twice.
// Student and teacher share all but the network that is called: the text encoder and both decoders.
// Letters: c channels, f frames, h height, w width, t tokens.

import { noise } from "./random.js";
import { sample } from "./sampler.js";
import { Tokenizer } from "./tokens.js";

const SCALE = 8; // a latent pixel is this many of a video's, each way

export class Model {
  /**
   * ort: onnxruntime; known: model.json; part(name): a promise of the bytes of a network, asked for once; on: what
   * computes, "wasm" or "webgpu".
   */
  constructor(ort, known, part, on = "wasm") {
    Object.assign(this, { ort, known, part, on, sessions: {} });
    this.tokenizer = new Tokenizer(known.tokenizer, known.tokens);
    this.shape = [1, ...known.latents]; // [1 c f h w]
  }

  /** A network, opened the first time. */
  session(name) {
    return (this.sessions[name] ??= this.open(name));
  }

  async open(name) {
    const options = { executionProviders: [this.on], graphOptimizationLevel: "all" };
    return this.ort.InferenceSession.create(await this.part(name), options);
  }

  /** Free what the networks hold. */
  async release() {
    for (const session of Object.values(this.sessions)) await (await session).release();
  }

  /**
   * Yield { index, total, t, x, x0, maps } after each call, and first, with index -1, the noise as x and x0.
   * `maps` [f h w t] is where each token was read in that call.
   */
  async *make({ prompt, seed, model, sampler, steps, guidance }) {
    const words = await this.encode(prompt);
    const nothing = guidance > 1 ? await this.encode("") : null;
    let maps;
    const predict = async (x, t) => {
      const asked = await this.call(model, x, t, words);
      maps = asked.maps;
      if (!nothing) return asked.answer;
      const { answer } = await this.call(model, x, t, nothing);
      return answer.map((negative, i) => negative + guidance * Math.fround(asked.answer[i] - negative));
    };
    const start = noise(
      seed,
      this.shape.reduce((a, b) => a * b),
    );
    yield { index: -1, total: steps, x: start, x0: start };
    for await (const step of sample(sampler, steps, this.known.models[model], start, predict)) yield { ...step, maps };
  }

  /** A step's pixels: noise as it is, a guess by the tiny decoder, which is fast, the finished video by the whole one. */
  pixels({ index, total, x, x0 }) {
    if (index < 0) return colours(x, this.shape);
    return index === total - 1 ? this.decode(x, "decoder") : this.decode(x0, "tiny");
  }

  /** Latents -> pixels, uint8 [f h w 3], by "tiny" or "decoder". */
  async decode(latents, by) {
    return (await this.run(by, { latents: this.tensor(latents, this.shape) })).pixels.data;
  }

  async encode(text) {
    const tokens = BigInt64Array.from(this.tokenizer.padded(text), BigInt);
    const input = new this.ort.Tensor("int64", tokens, [1, tokens.length]);
    return (await this.run("text", { tokens: input })).text;
  }

  async call(model, x, t, text) {
    const inputs = { x: this.tensor(x, this.shape), timestep: this.tensor([t], [1]), text };
    const { answer, maps } = await this.run(model, inputs);
    return { answer: answer.data, maps: maps.data };
  }

  async run(name, inputs) {
    return (await this.session(name)).run(inputs);
  }

  tensor(values, shape) {
    return new this.ort.Tensor("float32", Float32Array.from(values), shape);
  }
}

/** Noise [1 c f h w] without a decoder: its first three channels as red, green and blue, uint8 [f h w 3], enlarged. */
function colours(x, [, , f, h, w]) {
  const [height, width] = [h * SCALE, w * SCALE];
  const pixels = new Uint8ClampedArray(f * height * width * 3);
  for (let i = 0, at = 0; i < f * height * width; i++) {
    const [frame, row, column] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
    const from = (frame * h + Math.floor(row / SCALE)) * w + Math.floor(column / SCALE);
    for (let c = 0; c < 3; c++) pixels[at++] = 128 + 48 * x[c * f * h * w + from];
  }
  return pixels;
}
