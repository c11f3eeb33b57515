// Where a word looked, laid over a video, as of_word and overlaid of t2v_helpers/inside/attention_maps.py do.

/** The mean over calls and over a word's tokens of maps [f h w t] -> [f h w]. */
export function heatOf(maps, places, tokens) {
  const heat = new Float32Array(maps[0].length / tokens);
  for (const map of maps) {
    for (let i = 0; i < heat.length; i++) for (const place of places) heat[i] += map[i * tokens + place];
  }
  return heat.map((value) => value / maps.length / places.length);
}

/** One axis of a linear enlargement from `few` to `many`: each new place's two old ones, and the second one's share. */
function between(few, many) {
  return Array.from({ length: many }, (_, i) => {
    const at = Math.max(((i + 0.5) * few) / many - 0.5, 0);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, few - 1), at - low];
  });
}

/** [f h w] -> [f size size], with linear interpolation between the middles of places, as torch's F.interpolate. */
export function enlarged(heat, [frames, height, width], size) {
  const rows = between(height, size);
  const columns = between(width, size);
  const large = new Float32Array(frames * size * size);
  let i = 0;
  for (let frame = 0; frame < frames; frame++) {
    const at = (y, x) => heat[(frame * height + y) * width + x];
    for (const [top, bottom, v] of rows) {
      for (const [left, right, u] of columns) {
        const row = (y) => (1 - u) * at(y, left) + u * at(y, right);
        large[i++] = (1 - v) * row(top) + v * row(bottom);
      }
    }
  }
  return large;
}

/** Pixels [f h w 3], bright where the heat [f h w] is high, and down to a quarter as bright where it is low. */
export function lit(pixels, heat, shade = 0.25) {
  const low = heat.reduce((a, b) => Math.min(a, b));
  const high = heat.reduce((a, b) => Math.max(a, b));
  const scale = (1 - shade) / Math.max(high - low, 1e-9);
  return Uint8Array.from(pixels, (value, i) => Math.round(value * (shade + scale * (heat[Math.floor(i / 3)] - low))));
}
