"use strict";
// Tables of a report and of a site: sorted by a click on a heading, filtered by what is typed. Without this script
// they are whole, and the forms stay hidden.
{
  const natural = new Intl.Collator("en", { numeric: true });
  const isGroup = row => row.cells[0].scope === "rowgroup";

  const valueOf = cell => {
    const text = cell.dataset.value ?? cell.textContent.trim();
    return text !== "" && !isNaN(text) ? Number(text) : text;
  };

  const isMissing = value => value === "" || value === "–";

  // What is missing is last, whichever way the rest goes.
  const compare = (a, b, sign) => {
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : natural.compare(a, b));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        heads.forEach(other => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", direction);
        const sign = direction === "ascending" ? 1 : -1;
        for (const body of table.tBodies) {
          const rows = [...body.rows].filter(row => !isGroup(row)).map(row => [valueOf(row.cells[column]), row]);
          rows.sort(([a], [b]) => compare(a, b, sign));
          body.append(...rows.map(([, row]) => row));
        }
      });
    });
  }

  for (const form of document.querySelectorAll("form.filters")) {
    const table = document.getElementById(form.dataset.table);
    const rows = [...table.tBodies].flatMap(body => {
      const group = isGroup(body.rows[0]) ? body.rows[0] : null;
      return [...body.rows]
        .filter(row => row !== group)
        .map(row => ({ row, body, text: `${group?.textContent ?? ""} ${row.textContent}`.toLowerCase() }));
    });
    const apply = () => {
      const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const choices = [...form.querySelectorAll("select")].filter(select => select.value);
      const bodies = new Set();
      let shown = 0;
      for (const { row, body, text } of rows) {
        const fits = words.every(word => text.includes(word))
          && choices.every(select => row.dataset[select.name] === select.value);
        row.hidden = !fits;
        shown += fits;
        if (fits) bodies.add(body);
      }
      for (const body of table.tBodies) body.hidden = !bodies.has(body);
      form.querySelector("output").textContent = shown === rows.length ? "" : `${shown} of ${rows.length}`;
    };
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("change", apply);
    form.addEventListener("submit", event => event.preventDefault());
    apply();  // a browser keeps what was typed before a reload
  }
}
