"use strict";
// Draws each figure from the data beside it, in the colors of the reader's scheme, and on paper in light ones.
(() => {
  const PRINTED_WIDTH = 660; // pixels: A4 and Letter within their margins
  const NARROW = 600;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");
  const plots = [...document.querySelectorAll(".plot")];
  const config = {
    displaylogo: false,
    displayModeBar: coarse.matches ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], // none that sends anything anywhere
    responsive: true,
  };
  let printing = false;

  function printedHeight({ height }) {
    return height <= 480 ? Math.min(height, 360) : Math.min(height, 900); // two to a page, none longer than one
  }

  function wrapped(text) {
    let length = 0;
    return text.split(" ").map((word) => {
      const isOver = length > 0 && length + word.length > 22;
      length = isOver ? word.length : length + word.length + 1;
      return (isOver ? "<br>" : " ") + word;
    }).join("").trim();
  }

  function figureOf(plot) {
    const isDark = dark.matches && !printing;
    const swapped = isDark ? { "#000000": "#f0f0f0", "rgba(0, 0, 0, 0.18)": "rgba(240, 240, 240, 0.18)" } : {};
    const text = document.getElementById(plot.id + "-data").textContent;
    const figure = JSON.parse(text, (_, value) => (typeof value === "string" && swapped[value]) || value);
    const layout = figure.layout;
    const clear = "rgba(0, 0, 0, 0)";
    Object.assign(layout, { paper_bgcolor: clear, plot_bgcolor: clear });
    layout.font = { ...layout.font, color: isDark ? "#ececec" : "#1a1a1a" };
    layout.modebar = { bgcolor: clear, color: "#888888", activecolor: isDark ? "#ffffff" : "#000000" };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      const axis = layout[name];
      axis.gridcolor = isDark ? "#3a3f44" : "#dddddd";
      if (axis.title?.text && plot.clientWidth < NARROW) axis.title.text = wrapped(axis.title.text);
    }
    if (coarse.matches) layout.dragmode = false; // a finger scrolls the page
    if (printing) Object.assign(layout, { autosize: false, width: PRINTED_WIDTH, height: printedHeight(layout) });
    return figure;
  }

  function draw(plot) {
    const { data, layout } = figureOf(plot);
    return Plotly.react(plot, data, layout, config);
  }

  async function drawAll() {
    for (const plot of plots) {
      await draw(plot);
      plot.dataset.drawn = "yes";
      await new Promise((resolve) => setTimeout(resolve)); // the page can be read and scrolled meanwhile
    }
    performance.mark("figures-drawn");
    document.documentElement.dataset.drawn = "yes";
  }

  dark.addEventListener("change", () => plots.forEach(draw));
  addEventListener("beforeprint", () => { printing = true; plots.forEach(draw); });
  addEventListener("afterprint", () => { printing = false; plots.forEach(draw); });
  drawAll();
})();
