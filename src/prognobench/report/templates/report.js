"use strict";
(() => {
  // Sorting: numbers as numbers, what is missing last in either direction.
  const plain = (text) => text.replace(/[\u202f\u00a0 ]/g, "").replace("−", "-");
  const keyOf = (cell) => {
    if (cell.dataset.sort !== undefined) return cell.dataset.sort;
    if (cell.closest(".board")) return undefined;
    const text = cell.textContent.trim();
    if (text === "–" || text === "") return undefined;
    const number = parseFloat(plain(text));
    return /^[−\-\d]/.test(text) && !isNaN(number) ? number : text;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const compare = (a, b) => {
        const numbers = !isNaN(a) && !isNaN(b);
        return (numbers ? a - b : String(a).localeCompare(String(b))) * (down ? -1 : 1);
      };
      [...body.rows].map((row) => [keyOf(row.cells[place]), row]).sort(([x], [y]) => {
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        return compare(x, y);
      }).forEach(([, row]) => body.append(row));
    }));
  }

  const form = document.querySelector(".filters");
  if (form) {
    form.hidden = false;
    const cells = [...document.querySelectorAll(".cell")];
    const rows = cells.filter((cell) => cell.matches("tr"));
    const measured = [...document.querySelectorAll(".board [data-metric]")];
    const show = (node, visible) => node.toggleAttribute("data-hidden", !visible);
    const update = () => {
      const task = form.elements.task.value, setting = form.elements.setting.value;
      const metric = form.elements.metric.value;
      for (const cell of cells) {
        const own = cell.dataset;
        const fits = own.setting === undefined || !setting || own.setting === setting;
        show(cell, fits && (!task || own.task === undefined || own.task === task));
      }
      for (const node of measured) {
        show(node, !metric || node.dataset.metric === metric || node.dataset.metric === "*");
      }
      const shown = rows.filter((row) => !row.hasAttribute("data-hidden")).length;
      form.querySelector("output").textContent = `${shown} of ${rows.length} rows`;
    };
    form.addEventListener("change", update);
    form.addEventListener("reset", () => setTimeout(update));
    form.addEventListener("submit", (event) => event.preventDefault());
    // Begin with one task and its main setting: ranks of different settings do not mix.
    for (const option of form.querySelectorAll("option[data-first]")) option.selected = true;
    update();
  }

  // Print what is folded away, too.
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((node) => { node.open = true; });
  });

  // What a mark says, beside the pointer: the browser's own titles come late.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest && event.target.closest(".told");
    tip.hidden = !mark;
    if (!mark) return;
    if (!mark.dataset.tip) {
      const title = mark.querySelector("title");
      mark.dataset.tip = title.textContent;
      title.remove();
    }
    tip.textContent = mark.dataset.tip;
    const right = event.clientX + tip.offsetWidth + 24 > innerWidth;
    tip.style.left = `${event.clientX + (right ? -tip.offsetWidth - 12 : 14)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 6)}px`;
  });
})();
