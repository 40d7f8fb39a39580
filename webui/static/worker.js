// Shows what is pushed, and acts on it in the name of whoever is logged in. It keeps no page and answers no request.
"use strict";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

const path = (url) => { // only places of this very site are opened
  try {
    const there = new URL(url, self.location.origin);
    return there.origin === self.location.origin ? there.href : self.location.origin + "/";
  } catch { return self.location.origin + "/"; }
};

const show = (told) => self.registration.showNotification(String(told.title || "Pantau"), {
  body: String(told.body || ""),
  tag: String(told.tag || told.id || "pantau"),
  renotify: told.severity === "critical" || told.severity === "warning",
  requireInteraction: told.severity === "critical",
  silent: told.severity === "info" && told.kind !== "test" ? true : undefined,
  timestamp: Date.parse(told.at) || Date.now(),
  lang: told.lang || undefined,
  actions: (told.actions || []).filter((one) => one.action === "acknowledge" || one.action === "open").slice(0, 2)
    .map((one) => ({ action: one.action, title: String(one.title) })),
  data: { url: path(told.url || "/"), title: told.title, tag: told.tag, lang: told.lang,
          ack: (told.actions || []).find((one) => one.action === "acknowledge")?.data || "" },
});

self.addEventListener("push", (event) => {
  let told = {};
  try { told = event.data ? event.data.json() : {}; } catch { told = { title: "Pantau" }; }
  event.waitUntil(show(told && typeof told === "object" ? told : {}));
});

const open = async (url) => {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const same = windows.find((one) => one.url === url) || windows[0];
  if (same) {
    try { await same.focus(); return same.url === url ? same : await same.navigate(url); } catch { /* it is gone: open another */ }
  }
  return self.clients.openWindow(url);
};

const acknowledge = async (data) => {
  const json = { Accept: "application/json" };
  const asked = await fetch("/push/token", { credentials: "same-origin", cache: "no-store", headers: json });
  if (!asked.ok) throw new Error("login");
  const { token } = await asked.json();
  const answer = await fetch("/push/acknowledge", {
    method: "POST", credentials: "same-origin", cache: "no-store",
    headers: { ...json, "Content-Type": "application/json", "X-CSRF-Token": token }, body: JSON.stringify({ data: data.ack }),
  });
  const told = await answer.json();
  await self.registration.showNotification(data.title || "Pantau", {
    body: told.said || told.error || "", tag: data.tag || "pantau", lang: data.lang || undefined, silent: true, data: { url: data.url },
  });
};

self.addEventListener("notificationclick", (event) => {
  const data = event.notification.data || {};
  event.notification.close();
  event.waitUntil((async () => {
    if (event.action === "acknowledge" && data.ack) {
      try { await acknowledge(data); return; } catch { /* not logged in, or no line: the page says what to do */ }
    }
    await open(path(data.url || "/"));
  })());
});
