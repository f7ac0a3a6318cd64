"use strict";
// Filters of the findings: a finding is shown if it has all that is chosen.
(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  const count = document.querySelector(".count");
  const findings = [...document.querySelectorAll(".answers > li")];
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();

  function filter() {
    const chosen = [...new FormData(form)].filter(([, value]) => value);
    for (const finding of findings) {
      finding.hidden = chosen.some(([name, value]) => finding.dataset[name] !== value);
    }
    const shown = findings.filter((finding) => !finding.hidden).length;
    count.textContent = `${shown.toLocaleString("en")} of ${findings.length.toLocaleString("en")} findings on this page`;
  }
})();
