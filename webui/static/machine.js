// Charts of the machine page: the server's drawing stands until Plotly, fetched when the first chart comes near, replaces it.
"use strict";

(() => {
  const source = document.currentScript.dataset.plotly;
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colours = () => ["--c0", "--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"].map(token);
  const config = { displaylogo: false, responsive: true, showTips: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  let plotly = null;

  const load = () => plotly ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => done(window.Plotly);
    script.onerror = failed;
    document.head.append(script);
  });

  const dress = (layout) => ({
    ...layout,
    autosize: true, paper_bgcolor: "transparent", plot_bgcolor: "transparent", colorway: colours(),
    font: { family: "system-ui, sans-serif", size: 12, color: token("--muted") },
    xaxis: { ...layout.xaxis, gridcolor: token("--line"), linecolor: token("--line"), zeroline: false },
    yaxis: { ...layout.yaxis, gridcolor: token("--line"), zeroline: false },
    hoverlabel: { bgcolor: token("--card"), bordercolor: token("--control"), font: { color: token("--text") } },
    shapes: layout.shapes.map((shape) => ({ ...shape, line: { ...shape.line, color: token("--warning") } })),
    uirevision: location.search,
  });

  const draw = async (box) => {
    const canvas = box.querySelector(".canvas");
    try {
      const [Plotly, answer] = await Promise.all([load(), fetch(`${box.dataset.fig}&px=${canvas.clientWidth}`, { credentials: "same-origin" })]);
      if (!answer.ok) return; // the server's own drawing stays
      const figure = await answer.json();
      if (!figure.data.length || !canvas.isConnected) return;
      if (!canvas.classList.contains("drawn")) { canvas.replaceChildren(); canvas.classList.add("drawn"); }
      await Plotly.react(canvas, figure.data, dress(figure.layout), config);
      box.classList.add("lively");
    } catch { /* the drawing stays */ }
  };

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "200px" });
  const watch = () => { for (const box of document.querySelectorAll("[data-fig]:not(.lively)")) seen.observe(box); };
  watch();

  document.addEventListener("pantau:refreshed", watch);
  setInterval(() => { if (!document.hidden) for (const box of document.querySelectorAll("[data-fig].lively")) draw(box); }, 30_000);
  new MutationObserver(() => { for (const box of document.querySelectorAll("[data-fig].lively")) draw(box); })
    .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
})();
