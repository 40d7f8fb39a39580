// Passkeys: a button with data-passkey asks the browser's keys and sends their answer with its form.
// Needs a secure context; where there is none the page says so instead of showing the button.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

const read = (options) => {
  options.challenge = bytes(options.challenge);
  if (options.user) options.user.id = bytes(options.user.id);
  for (const one of [...(options.excludeCredentials || []), ...(options.allowCredentials || [])]) one.id = bytes(one.id);
  return { publicKey: options };
};

const written = (key) => {
  const said = key.response, response = { clientDataJSON: text(said.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) if (said[name]) response[name] = text(said[name]);
  if (said.getTransports) response.transports = said.getTransports();
  return JSON.stringify({ id: key.id, rawId: text(key.rawId), type: key.type, response, clientExtensionResults: {} });
};

const ask = async (button) => {
  const form = button.form, wrong = form.querySelector("[data-passkey-wrong]");
  const say = (sentence) => { wrong.querySelector("span").textContent = sentence; wrong.hidden = !sentence; };
  say("");
  button.disabled = true;
  try {
    const body = new URLSearchParams({ purpose: button.dataset.passkey, csrf: pantau.token() });
    const answer = await fetch(button.dataset.ask, { method: "POST", body, credentials: "same-origin", headers: { Accept: "application/json" } });
    const told = await answer.json();
    if (!answer.ok) { say(told.error || told.detail || button.dataset.sayFailed); return; }
    const options = read(told.options);
    const key = await (told.create ? navigator.credentials.create(options) : navigator.credentials.get(options));
    form.querySelector('input[name="passkey"]').value = written(key);
    form.submit();
  } catch (error) {
    say(error.name === "InvalidStateError" ? button.dataset.sayKnown : error.name === "NotAllowedError" ? button.dataset.sayGivenUp : button.dataset.sayFailed);
  } finally { button.disabled = false; }
};

for (const button of document.querySelectorAll("[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  for (const shown of document.querySelectorAll("[data-passkey-only]")) shown.hidden = false;
  button.addEventListener("click", () => ask(button));
}
