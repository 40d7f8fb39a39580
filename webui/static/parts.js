// Tables of many parts: sorted, filtered and opened in place. Without it the same links and form lead to pages.
"use strict";
{
  const load = async (address) => {
    const answer = await fetch(address, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };
  const alone = (box) => !box.dataset.few; // a page of its own: what is chosen is in its address
  const turns = new WeakMap();

  const show = async (box, address) => {
    const turn = (turns.get(box) || 0) + 1;
    turns.set(box, turn);
    const page = await load(address).catch(() => null);
    const fresh = page?.querySelector(".parts > [data-body]");
    if (!fresh || turns.get(box) !== turn) return;
    if (alone(box)) history.replaceState(null, "", address);
    else { fresh.removeAttribute("data-live"); box.dataset.chosen = address; }
    box.querySelector(":scope > [data-body]").replaceWith(document.adoptNode(fresh));
  };

  const asked = (box) => {
    const to = new URL(box.dataset.parts, location.href), form = new FormData(box.querySelector("form"));
    for (const [name, value] of form) if (value) to.searchParams.set(name, value);
    return to.href;
  };

  const open = async (link) => {
    const row = link.closest("tr"), next = row.nextElementSibling;
    const shown = next?.classList.contains("opened");
    link.setAttribute("aria-expanded", String(!shown));
    if (shown) { next.remove(); return; }
    link.closest("[data-body]").removeAttribute("data-live"); // somebody reads here: the table stands still
    const cell = document.createElement("td");
    cell.colSpan = row.children.length;
    const below = document.createElement("tr");
    below.className = "opened";
    below.append(cell);
    row.after(below);
    try { cell.replaceChildren(...[...(await load(link.dataset.open)).body.childNodes].map((node) => document.adoptNode(node))); }
    catch { location.assign(link.href); }
  };

  let timer = null;
  document.addEventListener("input", (event) => {
    const box = event.target.closest(".parts");
    if (!box || !event.target.closest("form")) return;
    clearTimeout(timer);
    timer = setTimeout(() => show(box, asked(box)), event.target.matches("select") ? 0 : 200);
  });
  document.addEventListener("submit", (event) => {
    const box = event.target.closest(".parts");
    if (box) { event.preventDefault(); show(box, asked(box)); }
  });
  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest(".parts a[data-sort], .parts a[data-open]");
    if (!link) return;
    event.preventDefault();
    if (link.dataset.open) { open(link); return; }
    const box = link.closest(".parts"), to = new URL(link.href), form = box.querySelector("form");
    form.elements.q.value = to.searchParams.get("q") || "";
    form.elements.sort.value = to.searchParams.get("sort") || "";
    show(box, link.href);
  });
  document.addEventListener("pantau:refreshed", () => {
    for (const box of document.querySelectorAll(".parts[data-chosen]")) if (!box.querySelector("tr.opened")) show(box, box.dataset.chosen);
  });
}
