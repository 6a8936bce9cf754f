"use strict";
(() => {
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const charts = [...document.querySelectorAll(".chart")];
  for (const chart of charts) {
    const data = document.getElementById("figure-" + chart.id.slice("chart-".length));
    const { data: traces, layout } = JSON.parse(data.textContent);
    if (touch) layout.dragmode = false;
    window.Plotly.newPlot(chart, traces, layout, { responsive: true, displayModeBar: false, plotGlPixelRatio: 1 });
  }
  const key = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent;
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : cell.dataset.value === undefined ? null : text;
  };
  const order = (a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
    return typeof a.key === "number" && typeof b.key === "number" ? a.key - b.key : String(a.key).localeCompare(String(b.key));
  };
  for (const button of document.querySelectorAll("table.sortable th button")) {
    button.addEventListener("click", () => {
      const head = button.parentElement;
      const body = head.closest("table").tBodies[0];
      const down = head.getAttribute("aria-sort") === "ascending";
      const number = head.classList.contains("number");
      const rows = [...body.rows].map((row) => {
        const text = row.cells[head.cellIndex].textContent;
        return { row, key: number ? key(row, head.cellIndex) : key(row, head.cellIndex) ?? text };
      });
      rows.sort((a, b) => (a.key === null || b.key === null || !down ? order(a, b) : order(b, a)));
      body.append(...rows.map((item) => item.row));
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
    });
  }
  const fit = () => charts.forEach((chart) => window.Plotly.Plots.resize(chart));
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
    fit();
  });
  window.addEventListener("afterprint", fit);
})();
