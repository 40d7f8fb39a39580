// Rows tick in while the poller looks: the page is fetched anew until nothing is pending.
"use strict";
{
  const follow = async () => {
    try { await pantau.refresh(); } catch { /* the badge tells; try again */ }
    if (document.querySelector("[data-pending]")) setTimeout(follow, 700);
  };
  if (document.querySelector("[data-pending]")) setTimeout(follow, 400);
}
