/** In the page: all frames of what is on a screen, as the page shows them: base64 of uint8 [f h w 3]. */
export function framesOf(screen = 0) {
  const canvas = document.querySelectorAll("#screens canvas")[screen];
  const slider = document.getElementById("frame");
  const all = [];
  for (let i = 0; i <= Number(slider.max); i++) {
    slider.value = i;
    slider.dispatchEvent(new Event("input"));
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    all.push(...data.filter((_, k) => k % 4 < 3));
  }
  return btoa(all.map((value) => String.fromCharCode(value)).join(""));
}
