// Push to this browser: switched on from a tap, and every reason why it cannot be said in words.
"use strict";

(() => {
  const box = document.getElementById("push");
  if (!box) return;
  const said = box.querySelector("[data-said]"), guide = box.querySelector("[data-guide]");
  const start = box.querySelector('[data-do="subscribe"]'), stop = box.querySelector('[data-do="unsubscribe"]');
  const PATIENCE = 6000;
  const tell = (word) => { said.textContent = word ? box.dataset[`say${word}`] : ""; };
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const apple = /iPad|iPhone|iPod/.test(navigator.userAgent) || (navigator.platform === "MacIntel" && navigator.maxTouchPoints > 1);
  const standing = matchMedia("(display-mode: standalone)").matches || navigator.standalone === true;

  const why = () => { // the word for why it cannot be, or null
    if (!window.isSecureContext) return "Insecure";
    if (apple && !standing) return "Ios";
    if (!("serviceWorker" in navigator) || !("PushManager" in window) || !("Notification" in window)) return "None";
    return Notification.permission === "denied" ? "Blocked" : null;
  };

  const send = (address, body) => fetch(address, {
    method: "POST", credentials: "same-origin", body: JSON.stringify(body),
    headers: { Accept: "application/json", "Content-Type": "application/json", "X-CSRF-Token": pantau.token() },
  });

  const soon = (promise) => { // what never answers is told too
    let bell;
    const late = new Promise((_, refuse) => { bell = setTimeout(() => refuse(new Error("late")), PATIENCE); });
    return Promise.race([promise, late]).finally(() => clearTimeout(bell));
  };

  const worker = async () => {
    await navigator.serviceWorker.register(box.dataset.worker, { scope: "/" });
    return soon(navigator.serviceWorker.ready);
  };

  const same = (one, other) => one && one.byteLength === other.byteLength && new Uint8Array(one).every((byte, n) => byte === other[n]);

  const show = async () => {
    const word = why();
    start.hidden = stop.hidden = true;
    guide.hidden = word !== "Ios";
    if (word) { tell(word); return; }
    const registered = await navigator.serviceWorker.getRegistration("/");
    const subscribed = registered && await soon(registered.pushManager.getSubscription());
    const good = subscribed && Notification.permission === "granted" && same(subscribed.options?.applicationServerKey, bytes(box.dataset.key));
    start.hidden = Boolean(good);
    stop.hidden = !good;
    tell(good ? "Here" : "");
  };

  start.addEventListener("click", async () => {
    start.disabled = true;
    tell("Working");
    try {
      if (await Notification.requestPermission() !== "granted") { tell("Blocked"); return; }
      const registered = await worker();
      const key = bytes(box.dataset.key);
      const old = await soon(registered.pushManager.getSubscription());
      if (old && !same(old.options?.applicationServerKey, key)) await soon(old.unsubscribe()); // it was made for another key
      const made = await soon(registered.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
      const answer = await send(box.dataset.subscribe, made.toJSON());
      if (!answer.ok) { said.textContent = (await answer.json()).error || box.dataset.sayFailed; return; }
      location.reload();
    } catch (error) {
      tell(error.message === "late" || error.name === "AbortError" ? "Late" : error.name === "NotAllowedError" ? "Blocked" : "Failed");
    } finally { start.disabled = false; }
  });

  stop.addEventListener("click", async () => {
    stop.disabled = true;
    try {
      const registered = await navigator.serviceWorker.getRegistration("/");
      const subscribed = registered && await soon(registered.pushManager.getSubscription());
      await send(`${box.dataset.subscribe}/end`, {});
      if (subscribed) await soon(subscribed.unsubscribe());
      location.reload();
    } catch { tell("Failed"); } finally { stop.disabled = false; }
  });

  show().catch(() => { start.hidden = false; tell(""); });
})();
