// What makes every page live: keyboard, the connection badge, and rows that refresh themselves.
// Pages work without it; nothing here builds markup from text.
"use strict";

const pantau = {};

pantau.token = () => document.querySelector('input[name="csrf"]')?.value || "";

const sources = new WeakMap(); // what the server sent for an element, before we touched it

const swap = (now, then) => {
  const held = document.activeElement;
  if (now.contains(held) && held.matches("input:not([type=checkbox]), select, textarea")) return; // somebody is typing there
  const address = now.contains(held) && held.getAttribute("href"), id = now.contains(held) && held.id;
  sources.set(then, then.outerHTML);
  for (const box of now.querySelectorAll("input[type=checkbox][id]")) { // what was ticked by hand stays as it was ticked
    const twin = box.checked !== box.defaultChecked && then.querySelector(`#${CSS.escape(box.id)}`);
    if (twin) twin.checked = box.checked;
  }
  if (then.dataset.state !== now.dataset.state) then.classList.add("fresh");
  now.replaceWith(document.adoptNode(then));
  if (id) document.getElementById(id)?.focus();
  else if (address) then.querySelector(`[href="${CSS.escape(address)}"]`)?.focus();
};

// ---- live regions: elements with data-live="key" are fetched anew with their page and swapped when they differ
pantau.refresh = async () => {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
  if (answer.redirected && new URL(answer.url).pathname !== location.pathname) { location.assign(answer.url); return; }
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const now of document.querySelectorAll("[data-live]")) {
    const then = fresh.querySelector(`[data-live="${CSS.escape(now.dataset.live)}"]`);
    const charts = (region) => region.querySelectorAll("[data-fig]").length;
    if (then && now.querySelector(".lively") && charts(now) === charts(then)) continue; // drawn charts redraw themselves
    if (then && then.outerHTML !== (sources.get(now) || now.outerHTML)) swap(now, then);
  }
  document.dispatchEvent(new CustomEvent("pantau:refreshed"));
};

// ---- badge: live, or since when the page has heard nothing
const badge = document.getElementById("badge");
const pulse = document.body.dataset.pulse;
let heard = Date.now(), version = null;

const tell = (lost) => {
  if (!badge) return;
  const seconds = Math.round((Date.now() - heard) / 1000);
  badge.hidden = false;
  badge.dataset.state = lost ? "lost" : "live";
  const use = badge.querySelector("use");
  use.setAttribute("href", use.getAttribute("href").replace(/#.*/, lost ? "#plug-connected-x" : "#plug-connected"));
  badge.querySelector("span").textContent = lost ? document.body.dataset.sayLost.replace("{}", seconds + " s") : document.body.dataset.sayLive;
  document.getElementById("main").classList.toggle("old", lost && seconds > 60);
};

pantau.beat = async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch(pulse, { headers: { Accept: "application/json" }, credentials: "same-origin" });
    if (answer.status === 401) { location.reload(); return; }
    if (!answer.ok) throw new Error(String(answer.status));
    const told = await answer.json();
    if (version !== null && told.version !== version) await pantau.refresh();
    version = told.version;
    heard = Date.now();
    tell(false);
  } catch { tell(true); }
};

if (pulse) {
  pantau.beat();
  setInterval(pantau.beat, 5000);
  document.addEventListener("visibilitychange", pantau.beat);
}

// ---- how many messages are not read, in the bar: more by so many, or (by null) so many
pantau.unread = (more, exactly = null) => {
  for (const mark of document.querySelectorAll("[data-unread]")) {
    const now = exactly ?? Number(mark.dataset.unread) + more;
    mark.dataset.unread = String(now);
    mark.firstElementChild.textContent = now > 99 ? "99+" : String(now);
    mark.hidden = now < 1;
  }
};
document.addEventListener("pantau:said", (event) => { // a list of threads is drawn anew
  if (event.detail.new && document.querySelector('[data-live="threads"]')) pantau.refresh().catch(() => {});
});

// ---- events: the server says when something changed; the heartbeat above is what remains where no stream gets through
const said = document.body.dataset.events;
let stream = null;
const listen = () => {
  if (document.hidden || !document.querySelector("[data-live], [data-chat]")) { stream?.close(); stream = null; return; } // a hidden page holds no line
  if (stream) return;
  stream = new EventSource(`${said}?topic=${encodeURIComponent(document.body.dataset.topic)}&topic=chats`);
  stream.addEventListener("open", () => document.dispatchEvent(new CustomEvent("pantau:listening")));
  stream.addEventListener("chat", (event) => {
    const said = JSON.parse(event.data), here = document.querySelector("[data-chat]")?.dataset.chat;
    if (said.new && String(said.author) !== document.body.dataset.person && String(said.thread) !== here) pantau.unread(1);
    document.dispatchEvent(new CustomEvent("pantau:said", { detail: said }));
  });
  stream.addEventListener("changed", async (event) => {
    if (event.data.startsWith("chat:")) { document.dispatchEvent(new CustomEvent("pantau:listening")); return; }
    try { await pantau.refresh(); heard = Date.now(); tell(false); } catch { /* the heartbeat tells */ }
  });
  stream.addEventListener("error", () => { // refused, which a browser does not try again by itself
    if (stream?.readyState !== EventSource.CLOSED) return;
    stream = null;
    setTimeout(listen, 4000 + 4000 * Math.random());
  });
  stream.addEventListener("ended", () => { stream.close(); location.reload(); }); // logged out elsewhere
};
if (said) {
  listen();
  document.addEventListener("visibilitychange", listen);
  addEventListener("pagehide", () => { stream?.close(); stream = null; });
}

// Something is about to happen on this page (addresses being looked at, the first sample): look often, for two minutes.
const until = Date.now() + 120_000;
const follow = async () => {
  try { await pantau.refresh(); } catch { /* the badge tells; try again */ }
  if (document.querySelector("[data-pending]") && Date.now() < until) setTimeout(follow, 700);
};
if (document.querySelector("[data-pending]")) setTimeout(follow, 400);

const retry = document.querySelector("[data-retry]");
if (retry) setTimeout(() => location.reload(), 1000 * Number(retry.dataset.retry));

// ---- menu: closes on Escape and on a click elsewhere
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

// ---- keyboard: / search, g h home, g m machines, g i incidents, g c chat, j k rows, Esc closes, and a page's own letters (data-key)
let before = "";
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  const pressed = before + event.key;
  before = event.key === "g" ? "g" : "";
  const links = [...document.querySelectorAll("[data-row] a.name, .problems a")];
  const at = links.indexOf(document.activeElement);
  if (pressed === "/") { event.preventDefault(); (document.getElementById("filter") || document.getElementById("find"))?.focus(); }
  else if (pressed === "gh") document.querySelector(".nav a")?.click();
  else if (pressed === "gm") document.querySelectorAll(".nav a")[1]?.click();
  else if (pressed === "gi") document.querySelectorAll(".nav a")[2]?.click();
  else if (pressed === "gc") document.querySelectorAll(".nav a")[3]?.click();
  else if (pressed === "j") links[Math.min(at + 1, links.length - 1)]?.focus();
  else if (pressed === "k") links[Math.max(at - 1, 0)]?.focus();
  else if (/^[a-z]$/.test(pressed) && !event.repeat && !event.shiftKey) document.querySelector(`[data-key="${pressed}"]`)?.click();
});
