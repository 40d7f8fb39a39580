// The list: filtering as one types, and rows that come as one scrolls. Without it the same form and links work.
"use strict";
{
  const filter = document.getElementById("filter");
  const body = document.querySelector("#rows tbody");
  const none = document.getElementById("none");
  let asked = 0, timer = null;

  const fetchRows = async (address) => {
    const answer = await fetch(address, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(`<table><tbody>${await answer.text()}</tbody></table>`, "text/html");
    return [...page.querySelectorAll("tbody > tr")].map((row) => document.adoptNode(row));
  };

  // Rows at hand are hidden at once; the server is asked only when it holds rows that are not here.
  const narrow = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.querySelectorAll("[data-row]")) {
      const fits = words.every((word) => row.dataset.find.includes(word));
      if (row.hidden === fits) row.hidden = !fits;
      shown += fits;
    }
    none.hidden = shown > 0 || Boolean(body.querySelector("[data-more]"));
  };

  const ask = async () => {
    const here = new URL(location.href), turn = ++asked;
    filter.value ? here.searchParams.set("q", filter.value) : here.searchParams.delete("q");
    here.searchParams.delete("from");
    history.replaceState(null, "", here);
    for (const chip of document.querySelectorAll(".chips a")) {
      const to = new URL(chip.href);
      filter.value ? to.searchParams.set("q", filter.value) : to.searchParams.delete("q");
      chip.href = to;
    }
    const rows = await fetchRows(filter.dataset.rows + here.search).catch(() => null);
    if (!rows || turn !== asked) return;
    body.replaceChildren(...rows);
    none.hidden = body.querySelector("[data-row]") !== null;
    watch();
  };

  const watch = () => {
    const more = body.querySelector("[data-more]");
    if (more) nearing.observe(more);
  };
  const nearing = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      nearing.unobserve(target);
      fetchRows(target.dataset.more).then((rows) => { if (target.isConnected) { target.replaceWith(...rows); watch(); } }).catch(() => {});
    }
  }, { rootMargin: "600px" });

  filter?.addEventListener("input", () => {
    narrow();
    clearTimeout(timer);
    timer = setTimeout(ask, 200);
  });
  document.addEventListener("pantau:refreshed", () => filter?.value && narrow());
  if (body) watch();
}
