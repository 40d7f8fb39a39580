// The check's form: fields of a new login only where one is wanted, and the ladder of a test as it is climbed.
"use strict";

(() => {
  const choice = document.getElementById("credential"), login = document.querySelector(".login");
  if (choice && login) {
    const show = () => { login.hidden = choice.value !== "new"; };
    choice.addEventListener("change", show);
    show();
  }

  const box = document.querySelector("[data-ladder]");
  if (!box) return;
  box.scrollIntoView({ block: "nearest" });
  const climb = async () => {
    try {
      const answer = await fetch(box.dataset.ladder, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector('[data-live="ladder"]');
      if (fresh) box.replaceChildren(...document.adoptNode(fresh).childNodes);
      if (fresh && !fresh.hasAttribute("data-pending")) return;
    } catch { /* try again */ }
    setTimeout(climb, 500);
  };
  climb();
})();
