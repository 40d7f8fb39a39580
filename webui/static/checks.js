// Trying a check out before it is saved: the form stays as it is, the ladder grows below it.
"use strict";

(() => {
  const form = document.querySelector("form[data-test]"), slot = document.getElementById("ladder");
  const button = form?.querySelector('button[name="do"]');
  if (!form || !slot || !button) return;
  let asked = 0; // only the newest test is shown

  const parse = (text) => new DOMParser().parseFromString(text, "text/html");

  const clear = () => {
    for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    for (const sentence of form.querySelectorAll(".field .wrong")) sentence.remove();
  };

  const blame = (page) => { // the sentences go beside the fields; what was typed, secrets too, stays where it is
    let first = null;
    for (const sentence of page.querySelectorAll("form[data-test] .field .wrong")) {
      const input = document.getElementById(sentence.id.replace(/-wrong$/, ""));
      if (!input || (input.value && sentence.textContent.trim() === slot.dataset.again)) continue; // it was not forgotten here
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", sentence.id);
      input.closest(".field").append(document.adoptNode(sentence));
      const folded = input.closest("details");
      if (folded) folded.open = true;
      first ||= input;
    }
    first?.focus();
  };

  const show = (page) => {
    const then = page.querySelector('[data-live="ladder"]'), now = slot.firstElementChild;
    if (!then) return false;
    if (!now || now.outerHTML !== then.outerHTML) slot.replaceChildren(document.adoptNode(then));
    return slot.firstElementChild.hasAttribute("data-pending");
  };

  const follow = async (address, number) => {
    if (number !== asked) return;
    let more = true;
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.ok && number === asked) more = show(parse(await answer.text()));
      else if (answer.status === 404 || answer.status === 403) more = false;
    } catch { /* the line is cut: try again */ }
    if (more) setTimeout(follow, 500, address, number); else if (number === asked) button.disabled = false;
  };

  form.addEventListener("submit", async (event) => {
    if (event.submitter !== button) return;
    event.preventDefault();
    clear();
    slot.replaceChildren();
    button.disabled = true;
    const number = ++asked, body = new FormData(form);
    body.set("do", "test");
    try {
      const answer = await fetch(location.href, { method: "POST", body, headers: { Accept: "text/html" }, credentials: "same-origin" });
      const page = parse(await answer.text());
      if (!answer.ok || !answer.redirected) { blame(page); button.disabled = false; return; }
      if (show(page)) setTimeout(follow, 300, answer.url, number); else button.disabled = false;
      slot.scrollIntoView({ block: "nearest" });
    } catch { button.disabled = false; }
  });
})();
