"use strict";
// Draws each figure from the data beside it, in the colors of the reader's scheme, and on paper in light ones.
(() => {
  const PRINTED_WIDTH = 660; // pixels: A4 and Letter within their margins
  const NARROW = 600;
  const LINE = 24; // characters of an axis title on one line where there is little room
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");
  let plots = [];
  const config = {
    displaylogo: false,
    displayModeBar: coarse.matches ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], // none that sends anything anywhere
    responsive: true,
  };
  let printing = false;

  function balanced(text) {
    const target = text.length / Math.ceil(text.length / LINE);
    const lines = [""];
    for (const word of text.split(" ")) {
      const line = lines.pop();
      if (line && line.length + word.length / 2 > target) lines.push(line, word);
      else lines.push(line ? `${line} ${word}` : word);
    }
    return lines.join("<br>");
  }

  const wrapped = (title) => title.length <= LINE ? title : title.split(/ (?=\()/).map(balanced).join("<br>");

  // Two small figures to a page; what is higher than a page is made smaller as a whole.
  function fitToPaper(plot, layout) {
    layout.height = layout.height <= 480 ? Math.min(layout.height, 380) : layout.height;
    const scale = Math.min(1, 900 / layout.height);
    plot.style.zoom = scale;
    Object.assign(layout, { autosize: false, width: PRINTED_WIDTH / scale });
  }

  function figureOf(plot) {
    const isDark = dark.matches && !printing;
    const swapped = isDark ? { "#000000": "#f0f0f0", "rgba(0, 0, 0, 0.18)": "rgba(240, 240, 240, 0.18)" } : {};
    const text = document.getElementById(plot.id + "-data").textContent;
    const figure = JSON.parse(text, (_, value) => (typeof value === "string" && swapped[value]) || value);
    const layout = figure.layout;
    const isNarrow = printing || plot.clientWidth < NARROW;
    const clear = "rgba(0, 0, 0, 0)";
    Object.assign(layout, { paper_bgcolor: clear, plot_bgcolor: clear });
    layout.font = { ...layout.font, color: isDark ? "#ececec" : "#1a1a1a" };
    layout.modebar = { bgcolor: clear, color: "#888888", activecolor: isDark ? "#ffffff" : "#000000" };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      const axis = layout[name];
      axis.gridcolor = isDark ? "#3a3f44" : "#dddddd";
      if (axis.title?.text && isNarrow) axis.title.text = wrapped(axis.title.text);
    }
    if (coarse.matches) layout.dragmode = false; // a finger scrolls the page
    plot.style.zoom = "";
    if (printing) fitToPaper(plot, layout);
    plot.style.height = `${layout.height}px`;
    return figure;
  }

  function draw(plot) {
    const { data, layout } = figureOf(plot);
    return Plotly.react(plot, data, layout, config);
  }

  async function drawAll() {
    plots = [...document.querySelectorAll(".plot")];
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
  addEventListener("afterprint", () => {
    printing = false;
    plots.forEach(async (plot) => { await draw(plot); Plotly.Plots.resize(plot); });
  });
  addEventListener("renewed", drawAll); // by the script of a page that is served
  drawAll();
})();
