// What scrolls must be reachable by the keyboard, and a line that opens something is read as what it says.
async function mend() {
  document.querySelectorAll("summary[aria-label]").forEach((one) => one.removeAttribute("aria-label"));
  await window.MathJax?.startup?.promise;
  const formulas = document.querySelectorAll('mjx-container[display="true"]');
  [...formulas].filter((one) => one.scrollWidth > one.clientWidth).forEach((one) => (one.tabIndex = 0));
}

window.addEventListener("load", mend);
