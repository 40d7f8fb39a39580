// Tick all, or none, of the rows in sight.
"use strict";
document.addEventListener("change", (event) => {
  const every = event.target.closest("[data-all]");
  if (!every) return;
  for (const box of document.getElementsByName(every.dataset.all)) box.checked = every.checked;
});
