// torch's standard normal noise, bit for bit: `torch.randn(n, generator=torch.Generator().manual_seed(seed))` for 16
// numbers or more, as a CPU with AVX2 makes it.
//
// mt19937 (Matsumoto & Nishimura 1998) gives 24-bit uniform floats; Box & Muller (1958) turn 8 + 8 of them into 16
// normal ones. log, sin and cos are the polynomials of Cephes as in torch's avx_mathfun.h. Each is rounded to float32
// after every step, and where the compiler fuses a product and a sum, they are rounded once: `fma`.

const f = Math.fround;

/** a * b + c, rounded once: the product of two floats is exact in double precision. */
const fma = (a, b, c) => {
  const product = a * b;
  const sum = product + c;
  const rest = sum - product;
  const lost = product - (sum - rest) + (c - rest); // what the addition in double precision rounded away
  if (lost === 0) return f(sum);
  return f(sum + (lost > 0 ? 1 : -1) * Math.abs(sum) * 2 ** -53); // lets a tie between two floats fall the right way
};

/** 32-bit numbers of mt19937, one a call. */
function twister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) {
    state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  }
  let at = 624;
  const turn = () => {
    for (let i = 0; i < 624; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  return () => {
    if (at === 624) turn();
    let y = state[at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

const LOG = [
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
].map(f);
const COS = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2].map(f);
const SIN = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1].map(f);
const QUARTERS = [-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8].map(f); // -pi/4 in three parts
const LN2_HIGH = f(0.693359375);
const LN2_LOW = f(-2.1219444e-4);

const bits = new Int32Array(1);
const asFloat = new Float32Array(bits.buffer);
const polynomial = (coefficients, x) => coefficients.slice(1).reduce((y, c) => fma(y, x, c), coefficients[0]);

function log(value) {
  asFloat[0] = Math.max(value, 2 ** -126);
  let e = (bits[0] >>> 23) - 126;
  bits[0] = (bits[0] & 0x007fffff) | 0x3f000000;
  let x = asFloat[0];
  if (x < f(Math.SQRT1_2)) {
    e -= 1;
    x = f(f(x - 1) + x);
  } else {
    x = f(x - 1);
  }
  const z = f(x * x);
  let y = fma(f(polynomial(LOG, x) * x), z, f(e * LN2_LOW));
  y = f(y - f(z * 0.5));
  return fma(e, LN2_HIGH, f(x + y));
}

/** [sine, cosine] of an angle from 0 to 2 pi. */
function sineAndCosine(angle) {
  const octant = (Math.trunc(f(angle * f(1.27323954473516))) + 1) & ~1;
  const x = QUARTERS.reduce((rest, part) => fma(octant, part, rest), angle);
  const z = f(x * x);
  const c = f(polynomial(COS, z) * z);
  const cosine = f(fma(c, z, -f(z * 0.5)) + 1);
  const sine = fma(f(polynomial(SIN, z) * z), x, x);
  const [first, second] = octant & 2 ? [cosine, sine] : [sine, cosine];
  return [octant & 4 ? -first : first, (octant - 2) & 4 ? second : -second];
}

/** Standard normal noise, Float32Array [count], of a seed from 0 to 2^32 - 1; count is a multiple of 16. */
export function noise(seed, count) {
  if (count % 16 || count < 16) throw new RangeError(`count=${count} is not allowed: use a multiple of 16.`);
  const next = twister(seed);
  const x = Float32Array.from({ length: count }, () => (next() & 0xffffff) / 2 ** 24);
  for (let i = 0; i < count; i += 16) {
    for (let j = i; j < i + 8; j++) {
      const radius = f(Math.sqrt(f(-2 * log(f(1 - x[j])))));
      const [sine, cosine] = sineAndCosine(f(f(2 * Math.PI) * x[j + 8]));
      x[j] = f(radius * cosine);
      x[j + 8] = f(radius * sine);
    }
  }
  return x;
}
