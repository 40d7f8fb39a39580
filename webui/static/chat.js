// A thread that lives: messages come in by the stream, go out without leaving the page, and are sent again under the same
// name until an answer is there. What the server sends is parsed as a document, where nothing runs; texts are only texts.
"use strict";

(() => {
  const talk = document.querySelector("[data-chat]");
  const list = document.getElementById("messages"), form = document.getElementById("say");
  if (!talk || !form) return;
  const box = document.getElementById("text"), pill = document.getElementById("new"), trouble = document.getElementById("trouble");
  const files = document.getElementById("picture"), attached = document.getElementById("attached");
  const said = talk.dataset, newest = said.newest === "yes";
  let turn = Number(said.turn), seen = Number(said.seen), told = seen;

  // ---- where the page stands
  const bottom = () => document.documentElement.scrollHeight - innerHeight - scrollY < 120;
  const down = () => scrollTo(0, document.documentElement.scrollHeight);
  const rows = () => [...list.querySelectorAll("li[data-number]")];
  const line = (name, words, id) => {
    const made = document.createElement("li");
    made.className = name;
    made.textContent = words;
    if (id) made.id = id;
    return made;
  };

  const days = () => { // a line between two days
    for (const old of list.querySelectorAll("li.day")) old.remove();
    let before = "";
    for (const row of rows()) {
      if (row.dataset.day !== before) list.insertBefore(line("day", row.dataset.day), row);
      before = row.dataset.day;
    }
  };

  const own = (row) => {
    if (row.dataset.author === said.me) row.classList.add("mine");
    const left = row.dataset.until ? new Date(row.dataset.until) - Date.now() : 0;
    if (left > 0) setTimeout(() => row.querySelector(".change")?.remove(), Math.min(left, 2 ** 31 - 1));
    else row.querySelector(".change")?.remove();
  };

  const place = (html) => { // each message where its number puts it; one that is there already is replaced
    const parsed = new DOMParser().parseFromString(`<ol>${html}</ol>`, "text/html");
    for (const fresh of parsed.querySelectorAll("li[data-number]")) {
      const row = document.adoptNode(fresh), there = document.getElementById(row.id);
      own(row);
      if (there && there.parentNode === list) {
        if (Number(there.dataset.turn) < Number(row.dataset.turn)) there.replaceWith(row);
        continue;
      }
      const after = rows().find((one) => Number(one.dataset.number) > Number(row.dataset.number));
      const waiting = list.querySelector("li.waiting");
      list.insertBefore(row, after || waiting || null);
    }
    document.getElementById("nothing")?.remove();
    days();
  };

  const hear = (messages) => {
    if (!newest || !messages.length) return;
    const stays = bottom(), last = Number(rows().at(-1)?.dataset.number || 0);
    const fresh = messages.filter((one) => one.number > last && String(one.author) !== said.me);
    place(messages.map((one) => one.html).join(""));
    turn = Math.max(turn, ...messages.map((one) => one.turn));
    if (stays || messages.some((one) => one.number > last && String(one.author) === said.me)) down();
    else if (fresh.length) pill.hidden = false;
    look();
  };

  // ---- what came while nobody listened
  let catching = null;
  const catchUp = async () => {
    if (!newest || catching) return;
    catching = (async () => {
      for (let more = true; more;) {
        const answer = await fetch(`${said.news}?after=${turn}`, { headers: { Accept: "application/json" } });
        if (answer.status === 401 || answer.status === 404) { location.reload(); return; }
        if (!answer.ok) throw new Error(String(answer.status));
        const news = await answer.json();
        hear(news.messages);
        more = news.more;
      }
    })();
    try { await catching; } catch { /* the stream opens again, and this with it */ } finally { catching = null; }
  };
  document.addEventListener("pantau:listening", catchUp);
  document.addEventListener("pantau:said", ({ detail }) => {
    if (String(detail.thread) !== said.chat || detail.turn <= turn) return;
    if (detail.turn !== turn + 1 || !detail.html) catchUp(); // something is between: in order, or not at all
    else hear([detail]);
  });

  // ---- what is read: all that was on a screen somebody looked at
  const look = () => {
    if (document.hidden || !newest || !bottom()) return;
    pill.hidden = true;
    const last = Number(rows().at(-1)?.dataset.number || 0);
    if (last > seen) { seen = last; setTimeout(report, 400); }
  };
  const report = async () => {
    if (told >= seen) return;
    told = seen;
    const body = new URLSearchParams({ number: String(told), csrf: pantau.token() });
    try {
      const answer = await fetch(said.read, { method: "POST", body, headers: { Accept: "application/json" }, keepalive: true });
      if (answer.ok) pantau.unread(0, (await answer.json()).unread);
    } catch { told = 0; }
  };
  addEventListener("pagehide", report);
  addEventListener("scroll", look, { passive: true });
  document.addEventListener("visibilitychange", look);
  pill.addEventListener("click", () => { down(); look(); });

  // ---- saying something: it stands there at once as waiting, and is sent until it is answered
  const queue = [];
  let sending = false;
  const name = () => {
    const raw = crypto.getRandomValues(new Uint8Array(18));
    return btoa(String.fromCharCode(...raw)).replace(/\+/g, "-").replace(/\//g, "_");
  };
  const complain = (words) => { trouble.textContent = words; trouble.hidden = !words; };

  const send = async () => {
    if (sending) return;
    sending = true;
    while (queue.length) {
      const one = queue[0];
      let answer;
      try {
        answer = await fetch(one.to, { method: "POST", body: one.body, headers: { Accept: "application/json" } });
        if (answer.status >= 500) throw new Error(String(answer.status));
      } catch {
        one.row.querySelector("small").textContent = said.sayFailed;
        one.row.classList.add("failed");
        setTimeout(() => { sending = false; send(); }, Math.min(15000, 1000 * 2 ** one.tries++));
        return;
      }
      queue.shift();
      one.row.remove();
      if (answer.ok) {
        const told = await answer.json();
        if (told.turn === turn + 1) hear([told]); else { place(told.html); down(); catchUp(); }
      } else if (answer.status === 401 || answer.status === 404) {
        one.back(); complain(""); location.reload();
      } else {
        one.back(); // what was typed is there again
        let words = String(answer.status);
        try { words = (await answer.json()).error || words; } catch { /* no answer of ours */ }
        complain(words);
      }
    }
    sending = false;
  };

  const put = (to, data, words, back) => {
    const row = line("says mine waiting", "");
    const text = document.createElement("p"), state = document.createElement("small");
    text.className = "words";
    text.textContent = words;
    state.className = "meta";
    state.textContent = said.sayWaiting;
    row.append(text, state);
    list.append(row);
    document.getElementById("nothing")?.remove();
    down();
    queue.push({ to, body: data, row, back, tries: 0 });
    send();
  };

  form.addEventListener("submit", (event) => {
    if (!newest) return; // an older page: the form goes the plain way, to the newest
    event.preventDefault();
    const words = box.value, pictures = files.files.length;
    if (!words.trim() && !pictures) { box.focus(); return; }
    const data = new FormData(form);
    data.set("client", name());
    complain("");
    choices.hidden = true;
    put(form.action, data, words || attached.textContent, () => { if (!box.value) { box.value = words; grow(); } });
    box.value = "";
    files.value = "";
    attached.textContent = "";
    keep();
    grow();
    box.focus();
  });
  const chart = document.getElementById("chart");
  chart?.addEventListener("submit", (event) => {
    if (!newest) return;
    event.preventDefault();
    const data = new FormData(chart);
    data.set("client", name());
    put(chart.action, data, document.getElementById("charted").textContent.trim(), () => {});
  });
  addEventListener("beforeunload", (event) => { if (queue.length) event.preventDefault(); });

  // ---- the composer: grows with its text, Enter sends where there is a keyboard, a draft outlives a reload
  const draft = `draft-${said.chat}`;
  const keep = () => { try { sessionStorage.setItem(draft, box.value); } catch { /* no room, no draft */ } };
  const grow = () => {
    const stays = bottom();
    box.rows = Math.min(8, Math.max(1, box.value.split("\n").length, Math.ceil(box.value.length / 60)));
    if (stays && newest) down();
  };
  try { if (!box.value) box.value = sessionStorage.getItem(draft) || ""; } catch { /* none */ }
  box.addEventListener("input", () => { keep(); grow(); complete(); });
  box.addEventListener("keydown", (event) => {
    if (!choices.hidden && choose(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && matchMedia("(hover: hover)").matches) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  form.addEventListener("mousedown", (event) => { // a press beside the box leaves the phone's keyboard where it is
    if (event.target.closest("button")) event.preventDefault();
  });
  files.addEventListener("change", () => { attached.textContent = [...files.files].map((one) => one.name).join(", "); });

  // ---- @ and a name
  const choices = document.getElementById("completion");
  let people = null, at = 0;
  const begun = () => /(?:^|[^\w.@+-])@([\w.@+-]*)$/.exec(box.value.slice(0, box.selectionStart));
  const complete = async () => {
    const word = begun();
    if (!word) { choices.hidden = true; return; }
    if (!people) {
      try { people = (await (await fetch(said.people, { headers: { Accept: "application/json" } })).json()).people; }
      catch { people = null; return; }
    }
    const typed = word[1].toLowerCase();
    const fitting = people.filter((one) => one.login.includes(typed) || one.name.toLowerCase().includes(typed)).slice(0, 6);
    choices.replaceChildren(...fitting.map((one, n) => {
      const row = line("", `${one.name} @${one.login}`);
      row.setAttribute("role", "option");
      row.id = `person-${n}`;
      row.dataset.login = one.login;
      row.addEventListener("mousedown", (event) => { event.preventDefault(); take(one.login); });
      return row;
    }));
    at = 0;
    choices.hidden = !fitting.length;
    mark();
  };
  const mark = () => {
    [...choices.children].forEach((row, n) => row.setAttribute("aria-selected", String(n === at)));
    if (choices.hidden) box.removeAttribute("aria-activedescendant");
    else box.setAttribute("aria-activedescendant", `person-${at}`);
  };
  const take = (login) => {
    const word = begun();
    if (!word) return;
    const end = box.selectionStart, start = end - word[1].length;
    box.setRangeText(`${login} `, start, end, "end");
    choices.hidden = true;
    mark();
    keep();
  };
  const choose = (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (steps) at = (at + steps + choices.children.length) % choices.children.length;
    else if (event.key === "Enter" || event.key === "Tab") take(choices.children[at].dataset.login);
    else if (event.key === "Escape") choices.hidden = true;
    else return false;
    event.preventDefault();
    event.stopPropagation();
    mark();
    return true;
  };
  box.addEventListener("blur", () => { choices.hidden = true; });

  // ---- older messages, above
  const older = document.getElementById("older");
  older?.addEventListener("click", async (event) => {
    event.preventDefault();
    const first = rows()[0], height = document.documentElement.scrollHeight;
    try {
      const news = await (await fetch(`${said.news}?before=${first.dataset.number}`, { headers: { Accept: "application/json" } })).json();
      place(news.messages.map((one) => one.html).join(""));
      scrollBy(0, document.documentElement.scrollHeight - height);
      older.hidden = !news.more;
    } catch { location.assign(older.href); }
  });

  // ---- at first: marks, days, and the place to begin reading
  for (const row of rows()) own(row);
  const unread = rows().find((row) => Number(row.dataset.number) > seen && row.dataset.author !== said.me && row.matches(".says"));
  days();
  if (unread && seen) {
    list.insertBefore(line("unread", said.sayUnread, "unread"), unread);
  }
  document.getElementById("to-unread")?.addEventListener("click", (event) => { // there already, or a page further up
    const mark = document.getElementById("unread");
    if (mark) { event.preventDefault(); mark.scrollIntoView(); }
  });
  if (trouble.textContent) complain(trouble.textContent);
  grow();
  if (newest && !location.hash) {
    down();
    const mark = document.getElementById("unread");
    if (mark && mark.getBoundingClientRect().top < 56) { // above what is to be seen: begin there
      mark.scrollIntoView();
      pill.hidden = bottom();
    }
  }
  catchUp();
  look();
})();
