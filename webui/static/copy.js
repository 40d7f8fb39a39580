// A button beside what one takes along: an address, a key, a token, codes. Without this they are marked and copied by hand.
"use strict";

{
  const text = (place) => {
    const area = place.querySelector("textarea");
    if (area) return area.value.trim();
    const rows = [...place.querySelectorAll("li")];
    return rows.length ? rows.map((row) => row.textContent.trim()).join("\n") : place.querySelector("code").textContent.trim();
  };

  const mark = (place) => {
    const area = place.querySelector("textarea");
    if (area) { area.focus(); area.select(); return; }
    getSelection().selectAllChildren(place.querySelector("ol, code"));
  };

  for (const place of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    const said = document.createElement("span");
    button.type = "button";
    button.className = "small";
    button.textContent = place.dataset.say;
    said.className = "meta";
    said.setAttribute("role", "status");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text(place)); // there only over HTTPS and on this very machine
        said.textContent = place.dataset.said;
      } catch {
        mark(place);
        said.textContent = document.execCommand("copy") ? place.dataset.said : place.dataset.failed;
      }
    });
    const line = document.createElement("div");
    line.className = "actions";
    line.append(button, said);
    place.append(line);
  }
}
