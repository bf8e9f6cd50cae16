"use strict";

const valueOf = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  return text !== "" && !isNaN(text) ? Number(text) : text;
};

const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      const body = table.tBodies[0];
      const rows = [...body.rows].map(row => [valueOf(row, column), row]);
      rows.sort(([a], [b]) => sign * compare(a, b));
      body.append(...rows.map(([, row]) => row));
    });
  });
}

for (const form of document.querySelectorAll("form.filters")) {
  const table = document.getElementById(form.dataset.table);
  const rows = [...table.tBodies[0].rows];
  const texts = rows.map(row => row.textContent.toLowerCase());
  const apply = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const choices = [...form.querySelectorAll("select")].filter(select => select.value);
    let shown = 0;
    rows.forEach((row, at) => {
      const fits = words.every(word => texts[at].includes(word))
        && choices.every(select => row.dataset[select.name] === select.value);
      row.hidden = !fits;
      shown += fits;
    });
    form.querySelector("output").textContent = shown === rows.length ? "" : `${shown} of ${rows.length}`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("change", apply);
  form.addEventListener("submit", event => event.preventDefault());
  apply();  // a browser keeps what was typed before a reload
}

const SVG = "http://www.w3.org/2000/svg";

for (const figure of document.querySelectorAll("figure.trend")) {
  const svg = figure.querySelector("svg");
  const readout = figure.querySelector(".readout");
  const points = JSON.parse(figure.querySelector("script").textContent);
  const { left, right, top, bottom } = points;
  const last = points.values.length - 1;
  const cursor = document.createElementNS(SVG, "line");
  const dot = document.createElementNS(SVG, "circle");
  cursor.setAttribute("class", "cursor");
  dot.setAttribute("class", "at");
  dot.setAttribute("r", 4);
  let at = null;

  const show = index => {
    at = Math.max(0, Math.min(last, index));
    const [y, text] = points.values[at];
    const x = last ? left + (at * (right - left)) / last : (left + right) / 2;
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", top], ["y2", bottom]]) cursor.setAttribute(name, value);
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", y);
    svg.append(cursor, dot);
    readout.textContent = text;
  };
  const hide = () => {
    at = null;
    cursor.remove();
    dot.remove();
    readout.textContent = "";
  };

  svg.addEventListener("pointermove", event => {
    const inside = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    show(last ? Math.round(((inside.x - left) / (right - left)) * last) : 0);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("focus", () => show(last));
  svg.addEventListener("keydown", event => {
    const moves = { ArrowLeft: (at ?? last + 1) - 1, ArrowRight: (at ?? -1) + 1, Home: 0, End: last };
    if (event.key in moves) {
      event.preventDefault();
      show(moves[event.key]);
    }
  });
}
