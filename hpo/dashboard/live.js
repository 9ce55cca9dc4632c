"use strict";
// Renews a page that is served once the database has changed; figures are moved over and redrawn in place.
(() => {
  const SECONDS = 3;
  const main = document.querySelector("main");
  const live = () => document.getElementById("live");

  async function replace() {
    const answer = await fetch(location.href, { cache: "no-store" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("main");
    if (!answer.ok || !fresh || !page.getElementById("live")) return;
    const drawn = new Map([...main.querySelectorAll(".plot")].map((plot) => [plot.id, plot]));
    main.replaceChildren(...fresh.childNodes);
    for (const place of main.querySelectorAll(".plot")) {
      const plot = drawn.get(place.id);
      if (!plot) continue;
      plot.setAttribute("aria-label", place.getAttribute("aria-label"));
      place.replaceWith(plot);
    }
    document.title = page.title;
    dispatchEvent(new Event("renewed"));
  }

  async function look() {
    if (!document.hidden) {
      try {
        const answer = await fetch(live().dataset.address, { cache: "no-store" });
        if (answer.ok && (await answer.json()).state !== live().dataset.state) await replace();
        document.documentElement.dataset.served = answer.ok ? "yes" : "no";
      } catch {
        document.documentElement.dataset.served = "no"; // the style sheet says so
      }
    }
    setTimeout(look, SECONDS * 1000);
  }
  setTimeout(look, SECONDS * 1000);
})();
