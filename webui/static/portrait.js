// The square of a picture: dragged, or moved by the arrow keys; its place goes along as shares of the shorter side.
// Without this the middle square is taken.
"use strict";

const form = document.querySelector("[data-portrait]");
const stage = form.querySelector(".cutting"), shown = stage.querySelector("img"), frame = stage.querySelector(".cut");
const range = form.querySelector("#size"), fields = Object.fromEntries(["x", "y", "size"].map((name) => [name, form.querySelector(`[name="${name}"]`)]));
let cut = { x: 0, y: 0, size: 1 };

const put = () => {
  const wide = shown.naturalWidth, high = shown.naturalHeight, short = Math.min(wide, high);
  cut.x = Math.min(Math.max(0, cut.x), wide / short - cut.size);
  cut.y = Math.min(Math.max(0, cut.y), high / short - cut.size);
  const scale = shown.clientWidth / wide;
  frame.style.left = `${cut.x * short * scale}px`;
  frame.style.top = `${cut.y * short * scale}px`;
  frame.style.width = frame.style.height = `${cut.size * short * scale}px`;
  for (const name of ["x", "y", "size"]) fields[name].value = cut[name].toFixed(4);
};

form.querySelector("#file").addEventListener("change", (event) => {
  const file = event.target.files[0];
  if (shown.src) URL.revokeObjectURL(shown.src);
  stage.hidden = form.querySelector("[data-size]").hidden = !file;
  if (file) shown.src = URL.createObjectURL(file);
});
shown.addEventListener("load", () => {
  const short = Math.min(shown.naturalWidth, shown.naturalHeight);
  range.value = 1;
  cut = { x: (shown.naturalWidth / short - 1) / 2, y: (shown.naturalHeight / short - 1) / 2, size: 1 };
  put();
});
range.addEventListener("input", () => {
  const size = Number(range.value), more = (cut.size - size) / 2;
  cut = { x: cut.x + more, y: cut.y + more, size };
  put();
});
frame.addEventListener("pointerdown", (event) => {
  frame.setPointerCapture(event.pointerId);
  const from = { x: event.clientX, y: event.clientY, cut: { ...cut } };
  const unit = Math.min(shown.clientWidth, shown.clientHeight);
  const move = (now) => { cut.x = from.cut.x + (now.clientX - from.x) / unit; cut.y = from.cut.y + (now.clientY - from.y) / unit; put(); };
  frame.addEventListener("pointermove", move);
  frame.addEventListener("pointerup", () => frame.removeEventListener("pointermove", move), { once: true });
});
frame.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [-0.02, 0], ArrowRight: [0.02, 0], ArrowUp: [0, -0.02], ArrowDown: [0, 0.02] }[event.key];
  if (!step) return;
  event.preventDefault();
  cut.x += step[0]; cut.y += step[1];
  put();
});
addEventListener("resize", () => { if (!stage.hidden) put(); });
