// Charts of the machine page: the server's drawing stands until Plotly, fetched when the first chart comes near, replaces it.
"use strict";

(() => {
  const source = document.currentScript.dataset.plotly;
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colours = () => ["--c0", "--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"].map(token);
  const locale = document.documentElement.lang;
  const config = { displaylogo: false, responsive: true, showTips: false, locale, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"] };
  const boxes = (which) => [...document.querySelectorAll(which)];
  const near = (box) => { const at = box.getBoundingClientRect(); return at.bottom > 0 && at.top < innerHeight; };
  let plotly = null, zoom = null, busy = 0;

  // Names of months and days come from the browser: Plotly carries English alone.
  const speak = (Plotly) => {
    const days = (weekday) => [...Array(7).keys()].map((n) => new Date(2023, 0, n + 1).toLocaleDateString(locale, { weekday }));
    const months = (month) => [...Array(12).keys()].map((n) => new Date(2023, n, 1).toLocaleDateString(locale, { month }));
    Plotly.register({ moduleType: "locale", name: locale, dictionary: {}, format: {
      days: days("long"), shortDays: days("short"), months: months("long"), shortMonths: months("short"), periods: ["AM", "PM"],
      dateTime: "%d %b %Y %H:%M", date: "%d %b %Y", time: "%H:%M", hours: "%H:%M", minutes: "%H:%M", seconds: "%H:%M:%S",
      year: "%Y", month: "%B %Y", day: "%d %b", dayMonth: "%d %b", dayMonthYear: "%d %b %Y",
    } });
    return Plotly;
  };

  const load = () => plotly ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => done(speak(window.Plotly));
    script.onerror = () => { plotly = null; script.remove(); failed(new Error("no chart library")); };
    document.head.append(script);
  });

  const dress = (layout) => ({
    ...layout,
    autosize: true, paper_bgcolor: "transparent", plot_bgcolor: "transparent", colorway: colours(),
    font: { family: "system-ui, sans-serif", size: 12, color: token("--muted") },
    xaxis: { ...layout.xaxis, gridcolor: token("--line"), linecolor: token("--line"), zeroline: false, nticks: 7, ...(zoom && { range: zoom }) },
    yaxis: { ...layout.yaxis, gridcolor: token("--line"), zeroline: false, nticks: 5 },
    hoverlabel: { bgcolor: token("--card"), bordercolor: token("--control"), font: { color: token("--text") } },
    shapes: layout.shapes.map((shape) => shape.name === "outage"
      ? { ...shape, fillcolor: token("--down"), opacity: 0.16 }
      : shape.name === "normal" ? { ...shape, fillcolor: token("--muted"), opacity: 0.16 }
      : { ...shape, line: { ...shape.line, color: token(shape.name === "critical" ? "--down" : "--warning") } }),
    uirevision: location.pathname + location.search,
  });

  // A part of the range chosen with the mouse is asked for anew: closer, there is more to see.
  const address = (box, width) => {
    const at = new URL(box.dataset.fig, location.href);
    if (zoom) {
      at.searchParams.delete("range");
      at.searchParams.set("from", zoom[0].replace(" ", "T"));
      at.searchParams.set("to", zoom[1].replace(" ", "T"));
    }
    at.searchParams.set("px", width);
    return at;
  };

  const draw = async (box) => {
    const canvas = box.querySelector(".canvas"), wanted = zoom;
    try {
      const [Plotly, answer] = await Promise.all([load(), fetch(address(box, canvas.clientWidth), { credentials: "same-origin" })]);
      if (!answer.ok || wanted !== zoom) return; // the server's own drawing stays; or somebody has chosen another part since
      const figure = await answer.json();
      if (!canvas.isConnected || (!figure.data.length && !zoom)) return;
      const first = !canvas.classList.contains("drawn");
      if (first) { canvas.replaceChildren(); canvas.classList.add("drawn"); }
      busy += 1;
      try { await Plotly.react(canvas, figure.data, dress(figure.layout), config); } finally { busy -= 1; }
      if (first) follow(Plotly, canvas);
      box.classList.add("lively");
    } catch { /* the drawing stays */ }
  };
  const redraw = () => { for (const box of boxes("[data-fig].lively")) draw(box); };

  // One axis of time: what is chosen with the mouse in one chart, and the cursor, are those of all.
  const follow = (Plotly, canvas) => {
    canvas.on("plotly_relayout", (change) => {
      if (busy) return;
      if (change["xaxis.range[0]"]) zoom = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      else if (change["xaxis.autorange"]) zoom = null;
      else return;
      redraw();
    });
    canvas.on("plotly_doubleclick", () => { zoom = null; redraw(); return false; });
    const others = (act) => {
      for (const other of boxes("[data-fig].lively .canvas")) if (other !== canvas && near(other)) try { act(other); } catch { /* it has no point there */ }
    };
    canvas.on("plotly_hover", (told) => { if (told.event?.isTrusted) others((other) => Plotly.Fx.hover(other, { xval: told.xvals[0] }, "xy")); });
    canvas.on("plotly_unhover", (told) => { if (told.event?.isTrusted) others((other) => Plotly.Fx.unhover(other)); });
  };

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "200px" });
  const watch = () => { for (const box of boxes("[data-fig]:not(.lively)")) seen.observe(box); };
  watch();

  // New numbers: the charts in sight follow where the range ends now, at most once in five seconds.
  let drawn = Date.now();
  document.addEventListener("pantau:refreshed", () => {
    watch();
    const live = document.querySelector(".charts")?.dataset.follows === "yes" && !zoom && !document.hidden;
    if (!live || Date.now() - drawn < 5000) return;
    drawn = Date.now();
    for (const box of boxes("[data-fig].lively")) if (near(box)) draw(box);
  });
  new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();
