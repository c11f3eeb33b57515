// What can be kept of the videos on the page: GIF, WebM, the frames as PNG.

import { gif } from "./gif.js";

const ENLARGED = 4;
const GAP = 4; // pixels between two videos, and between frames

/** Hand a file to the reader. */
function download(parts, type, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** "a-dog-is-dancing-7": a file's name for a setting, without its ending. */
export const fileName = ({ prompt, seed }) =>
  `${
    prompt
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 60) || "video"
  }-${seed}`;

/** One frame of all videos, side by side, on a new canvas. pixels: each video [f h w 3]. */
function sideBySide(videos, frame, size, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = (videos.length * (size + GAP) - GAP) * scale;
  canvas.height = size * scale;
  videos.forEach((pixels, i) => draw(canvas, pixels, frame, size, scale, i * (size + GAP) * scale, 0));
  return canvas;
}

function draw(canvas, pixels, frame, size, scale, left, top) {
  const context = canvas.getContext("2d");
  const small = new OffscreenCanvas(size, size);
  small.getContext("2d").putImageData(imageOf(pixels, frame, size), 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, left, top, size * scale, size * scale);
}

/** A frame of pixels [f size size 3] as ImageData. */
export function imageOf(pixels, frame, size) {
  const image = new ImageData(size, size);
  const from = frame * size * size;
  for (let i = 0; i < size * size; i++) {
    image.data.set(pixels.subarray(3 * (from + i), 3 * (from + i) + 3), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  return image;
}

const frameCount = (videos, size) => videos[0].length / (3 * size * size);
const everyFrame = (videos, size) => Array.from({ length: frameCount(videos, size) }, (_, frame) => frame);

export function saveGif(videos, size, fps, name) {
  const canvases = everyFrame(videos, size).map((frame) => sideBySide(videos, frame, size, ENLARGED));
  const { width, height } = canvases[0];
  const frames = canvases.map((canvas) =>
    canvas
      .getContext("2d")
      .getImageData(0, 0, width, height)
      .data.filter((_, i) => i % 4 < 3),
  );
  download(gif(frames, width, height, fps), "image/gif", `${name}.gif`);
}

/** All frames of each video as one picture, 8 in a row. */
export function strip(pixels, size, scale = 1, columns = 8) {
  const frames = everyFrame([pixels], size);
  const canvas = document.createElement("canvas");
  canvas.width = columns * (size * scale + GAP) - GAP;
  canvas.height = Math.ceil(frames.length / columns) * (size * scale + GAP) - GAP;
  for (const frame of frames) {
    const column = frame % columns;
    const row = Math.floor(frame / columns);
    draw(canvas, pixels, frame, size, scale, column * (size * scale + GAP), row * (size * scale + GAP));
  }
  return canvas;
}

export function saveFrames(videos, size, name) {
  videos.forEach((pixels, i) => {
    const ending = videos.length > 1 ? `-${i + 1}` : "";
    strip(pixels, size, ENLARGED).toBlob((blob) => download([blob], "image/png", `${name}${ending}.png`));
  });
}

export const canRecord = () => Boolean(globalThis.MediaRecorder?.isTypeSupported("video/webm"));

/** Play the videos once into a recorder; it takes as long as they do. */
export async function saveWebm(videos, size, fps, name) {
  const canvas = sideBySide(videos, 0, size, ENLARGED);
  const context = canvas.getContext("2d");
  const chunks = [];
  const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: "video/webm", videoBitsPerSecond: 4e6 });
  recorder.ondataavailable = ({ data }) => chunks.push(data);
  const stopped = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  const frames = everyFrame(videos, size);
  for (const frame of [...frames, frames.length - 1]) {
    // A film ends when its last picture begins: so that is drawn twice.
    context.drawImage(sideBySide(videos, frame, size, ENLARGED), 0, 0);
    await new Promise((resolve) => setTimeout(resolve, 1000 / fps));
  }
  recorder.stop();
  await stopped;
  download(chunks, "video/webm", `${name}.webm`);
}
