// The form of something unattended: only the fields that matter, and what the cron expression comes to as one types.
"use strict";

const form = document.querySelector("form[data-preview]");
const shown = document.getElementById("preview");

const fit = () => {
  const does = form.elements.do ? form.elements.do.value.split(".")[0] : "";
  for (const part of form.querySelectorAll("[data-do]")) part.hidden = part.dataset.do !== does;
  const aim = form.elements.target ? form.elements.target.value.split(":")[0] : "";
  for (const part of form.querySelectorAll("[data-aim]")) part.hidden = part.dataset.aim !== aim;
};

let waiting = 0, asked = 0;
const ask = async () => {
  if (!shown || !form.elements.expression) return;
  const own = ++asked;
  const typed = new URLSearchParams({ expression: form.elements.expression.value, zone: form.elements.zone.value });
  const answer = await fetch(`${form.dataset.preview}?${typed}`, { credentials: "same-origin" });
  if (!answer.ok || own !== asked) return; // a newer question is on its way
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  shown.replaceChildren(...fresh.body.childNodes);
};

form.addEventListener("input", (event) => {
  fit();
  if (!["expression", "zone"].includes(event.target.name)) return;
  clearTimeout(waiting);
  waiting = setTimeout(() => ask().catch(() => {}), 250);
});
fit();
