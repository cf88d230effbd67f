"use strict";
(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const plots = [...document.querySelectorAll(".plot")];

  // Colours of text and grid come from the style sheet, so that light, dark and print agree.
  const themed = (layout) => {
    const ink = css("--ink"), line = css("--line");
    const out = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, size: 13, family: "system-ui, sans-serif" }, hoverlabel: { align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--muted"), activecolor: ink } };
    for (const key of new Set([...Object.keys(layout).filter((k) => /^[xy]axis/.test(k)), "xaxis", "yaxis"])) {
      out[key] = { gridcolor: line, zerolinecolor: line, linecolor: line, tickcolor: line, ...layout[key] };
    }
    return out;
  };
  const draw = (plot) => {
    if (!plot.spec) plot.spec = JSON.parse(plot.querySelector("script").textContent);
    plot.drawn = true;
    return Plotly.react(plot, structuredClone(plot.spec.data), themed(plot.spec.layout),
      { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "resetScale2d"]] });
  };
  const redraw = () => plots.filter((plot) => plot.drawn).forEach(draw);
  if (window.Plotly && plots.length) {
    const near = new IntersectionObserver((seen) => seen.forEach((entry) => {
      if (entry.isIntersecting && !entry.target.drawn) draw(entry.target);
    }), { rootMargin: "800px" });
    plots.forEach((plot) => near.observe(plot));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    matchMedia("print").addEventListener("change", (query) => (query.matches ? plots.forEach(draw) : redraw()));
  }

  // Sorting: numbers as numbers, what is missing last in either direction.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[place].dataset.sort;
      const compare = (a, b) => {
        const numbers = !isNaN(a) && !isNaN(b);
        return (numbers ? a - b : String(a).localeCompare(String(b))) * (down ? -1 : 1);
      };
      [...body.rows].sort((a, b) => {
        const x = key(a), y = key(b);
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        return compare(x, y);
      }).forEach((row) => body.append(row));
    }));
  }

  const form = document.querySelector(".filters");
  if (form) {
    form.hidden = false;
    const cells = [...document.querySelectorAll(".cell")];
    const show = (node, visible) => node.toggleAttribute("data-hidden", !visible);
    const update = () => {
      const task = form.elements.task.value, setting = form.elements.setting.value, metric = form.elements.metric.value;
      let shown = 0;
      for (const cell of cells) {
        const own = cell.dataset;
        const fits = own.setting === undefined
          ? !setting || setting.startsWith(own.regime)
          : !setting || own.setting === setting;
        const visible = fits && (!task || own.task === task);
        show(cell, visible);
        if (visible && own.setting !== undefined) shown += 1;
      }
      for (const node of document.querySelectorAll(".board [data-metric]")) {
        show(node, !metric || node.dataset.metric === metric);
      }
      form.querySelector("output").textContent = `${shown} of ${cells.filter((cell) => cell.dataset.setting !== undefined).length} tables`;
    };
    form.addEventListener("change", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    update();
  }
})();
