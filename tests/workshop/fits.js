// In a page of slides: leave in data-faults what does not fit, a line each.
addEventListener("load", () => {
  const faults = [];
  for (const page of document.querySelectorAll(".page")) {
    const box = page.getBoundingClientRect();
    const heads = [...page.querySelectorAll("h1, h2, .asked")];
    const top = Math.max(...heads.map((head) => head.getBoundingClientRect().bottom));
    const bottom = page.querySelector(".where")?.getBoundingClientRect().top ?? box.bottom;
    for (const part of page.querySelectorAll(".body img, .body video, pre, li, .formula > div")) {
      const { height, ...at } = part.getBoundingClientRect().toJSON();
      const is = `${heads[0].textContent}: ${part.tagName.toLowerCase()}`;
      if (!height) continue; // a video's still, on the screen
      if (at.top < top - 1) faults.push(`${is} begins ${Math.round(top - at.top)} too high`);
      if (at.bottom > bottom + 1) faults.push(`${is} ends ${Math.round(at.bottom - bottom)} too low`);
      if (at.right > box.right + 1) faults.push(`${is} ends ${Math.round(at.right - box.right)} too far to the right`);
      if (part.scrollHeight > part.clientHeight + 2 && part.tagName === "PRE") faults.push(`${is} is cut`);
    }
  }
  document.body.dataset.faults = faults.join("\n");
  document.body.dataset.pages = document.querySelectorAll(".page").length;
});
