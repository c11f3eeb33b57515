// The samplers DDIM (Song et al. 2021) and DPM-Solver++ 2M (Lu et al. 2022), as in t2v_helpers/diffusion/samplers.py.
//
// A level knows its time t and abar = alphas_cumprod at t. signal = sqrt(abar), noise = sqrt(1 - abar) and lambda, half
// the logarithm of abar / (1 - abar), follow from it. A grid is a list of steps, each from a level t to a level s.

const level = (t, abar) => ({
  t,
  abar,
  signal: Math.sqrt(abar),
  noise: Math.sqrt(1 - abar),
  lambda: Math.log(abar / (1 - abar)) / 2,
});

/** To the nearest whole number; a half goes to the even one, as in numpy. */
const round = (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

const down = (steps) => Array.from({ length: steps }, (_, i) => steps - i); // steps, ..., 2, 1

/** Times evenly apart from the last training step down to, without it, 0; the last step arrives at x_0 itself. */
function linspaced(steps, { abar }) {
  const times = down(steps).map((i) => round((i * (abar.length - 1)) / steps));
  const levels = [...times.map((t) => level(t, abar[t])), level(0, 1)];
  return times.map((_, i) => [levels[i], levels[i + 1]]);
}

/** Each step goes a whole stride down, from the times of the model's spacing; below 0 is abar_0, or 1, as it says. */
function strided(steps, { abar, spacing, toOne }) {
  const stride = Math.floor(abar.length / steps);
  const piece = abar.length / steps;
  const times = down(steps).map((i) =>
    spacing === "trailing" ? round(abar.length - (steps - i) * piece) - 1 : (i - 1) * stride + 1,
  );
  const at = (t) => level(t, t < 0 && toOne ? 1 : abar[Math.max(t, 0)]);
  return times.map((t) => [at(t), at(t - stride)]);
}

/** a x + b y, number by number. */
const mix = (a, x, b, y) => x.map((value, i) => a * value + b * y[i]);

/** x_s has x_0 and eps mixed as its level says (Song et al. 2021, equation 12). */
function ddim(x, t, s, { x0, eps }) {
  return mix(s.signal, x0, s.noise, eps);
}

/** x_0 is held at its value halfway, on the line through the last two (Lu et al. 2022, algorithm 2). */
function dpm(x, t, s, { x0 }, before) {
  const line = before && Number.isFinite(s.lambda);
  const ahead = line ? (s.lambda - t.lambda) / 2 / (t.lambda - before.t.lambda) : 0;
  const halfway = line ? mix(1 + ahead, x0, -ahead, before.x0) : x0;
  return mix(s.noise / t.noise, x, -s.signal * Math.expm1(t.lambda - s.lambda), halfway);
}

export const SAMPLERS = {
  "dpm++": { title: "DPM-Solver++ 2M", grid: linspaced, step: dpm },
  ddim: { title: "DDIM", grid: strided, step: ddim },
};

/** Why a sampler cannot take so few steps, in a sentence, or "". */
export function tooFew(name, steps, known) {
  const few = SAMPLERS[name].grid(steps, known)[0][0].t < known.abar.length / 2;
  return few ? `steps = ${steps} of ${SAMPLERS[name].title} start where little noise is left to remove: use more.` : "";
}

/** x_0 and eps, by the network's answer at x (Song et al. 2021, equation 9; Salimans & Ho 2022, section 4). */
function split(answer, x, { signal, noise }, prediction) {
  if (prediction === "epsilon") return { x0: mix(1 / signal, x, -noise / signal, answer), eps: answer };
  return { x0: mix(signal, x, -noise, answer), eps: mix(noise, x, signal, answer) };
}

/** Go from noise x to a clean sample, a Float32Array; yield { index, total, t, x, x0 } after each predict(x, t). */
export async function* sample(name, steps, known, x, predict) {
  let before = null;
  const visited = SAMPLERS[name].grid(steps, known);
  for (const [index, [t, s]] of visited.entries()) {
    const found = split(await predict(x, t.t), x, t, known.prediction);
    x = SAMPLERS[name].step(x, t, s, found, before);
    before = { t, x0: found.x0 };
    yield { index, total: visited.length, t: t.t, x, x0: found.x0 };
  }
}
