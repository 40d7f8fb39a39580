// The form of a maintenance window: only the fields of the chosen kind, and what it comes to as one types.
"use strict";

const form = document.getElementById("window");
const shown = document.getElementById("preview");

const fit = () => {
  const kind = form.elements.kind.value;
  for (const part of form.querySelectorAll("[data-kind]")) part.hidden = !part.dataset.kind.split(" ").includes(kind);
  for (const part of form.querySelectorAll("[data-flexible]")) part.hidden = !form.elements.flexible.checked;
};

let waiting = 0, asked = 0;
const ask = async () => {
  const own = ++asked;
  const typed = new URLSearchParams(new FormData(form));
  typed.delete("csrf");
  const answer = await fetch(`${form.dataset.preview}?${typed}`, { credentials: "same-origin" });
  if (!answer.ok || own !== asked) return; // a newer question is on its way
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  shown.replaceChildren(...fresh.body.childNodes);
};

form.addEventListener("input", () => {
  fit();
  clearTimeout(waiting);
  waiting = setTimeout(() => ask().catch(() => {}), 250);
});
fit();
ask().catch(() => {});
