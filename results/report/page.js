"use strict";
// Tables that sort and filter, and charts that tell their values. The page is whole without: all that is made here is
// made of text that is in the page already, and only ever set as text.
(() => {
  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const FEW = 4; // rows of a table that needs neither filter nor count

  // --- tables

  class Grid {
    constructor(table) {
      this.table = table;
      this.headings = [...table.tHead.rows[0].cells];
      this.groups = [...table.tBodies].map((body) => {
        const title = body.querySelector("th[scope=rowgroup]");
        return { body, title: title && title.closest("tr"), rows: [...body.rows].filter((row) => row !== (title && title.closest("tr"))) };
      });
      this.rows = this.groups.flatMap((group) => group.rows);
      this.sortable();
      if (this.rows.length > FEW && !table.classList.contains("scores")) this.filterable();
    }

    sortable() {
      if (this.rows.length < 2) return;
      this.headings.forEach((heading, column) => {
        const button = make("button", { type: "button" }, heading.textContent);
        heading.replaceChildren(button);
        heading.setAttribute("aria-sort", "none");
        button.addEventListener("click", () => {
          const next = { none: "ascending", ascending: "descending", descending: "none" };
          const order = next[heading.getAttribute("aria-sort")];
          for (const other of this.headings) other.setAttribute("aria-sort", "none");
          heading.setAttribute("aria-sort", order);
          this.sort(column, order);
        });
      });
    }

    // Rows stay in their group; groups stand in the order of their first rows. What has no value is always last.
    sort(column, order) {
      const numeric = ["number", "score"].some((kind) => this.headings[column].classList.contains(kind));
      const key = (row) => {
        const cell = row.cells[column];
        if (!numeric) return cell.textContent.trim();
        return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
      };
      const sign = order === "descending" ? -1 : 1;
      const compare = (a, b) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (numeric ? a - b : collator.compare(a, b));
      };
      const sorted = this.groups.map((group) => {
        const rows = order === "none" ? group.rows : [...group.rows].sort((a, b) => compare(key(a), key(b)));
        group.body.append(...rows);
        return { body: group.body, first: rows.length ? key(rows[0]) : null };
      });
      if (order !== "none") sorted.sort((a, b) => compare(a.first, b.first));
      const foot = this.table.tFoot;
      for (const { body } of sorted) foot ? foot.before(body) : this.table.append(body);
    }

    filterable() {
      const caption = this.table.caption.textContent;
      this.text = make("input", { type: "search", placeholder: "Filter rows", autocomplete: "off", spellcheck: false });
      this.text.setAttribute("aria-label", `Filter rows of ${caption}`);
      this.choosers = this.headings.flatMap((heading, column) => {
        if (heading.dataset.choose === undefined) return [];
        const title = heading.textContent;
        const words = (row) => this.word(row, column);
        const values = [...new Set(this.rows.map(words))].filter(Boolean).sort(collator.compare);
        if (values.length < 2) return [];
        const select = make("select", {}, make("option", { value: "" }, `${title}: all`));
        select.setAttribute("aria-label", `${title} of ${caption}`);
        for (const value of values) select.append(make("option", { value }, value));
        return [{ select, column }];
      });
      this.count = make("output", { className: "count" });
      this.count.setAttribute("aria-live", "polite");
      const inputs = [this.text, ...this.choosers.map(({ select }) => select)];
      const controls = make("div", { className: "controls" }, ...inputs, this.count);
      for (const input of inputs) input.addEventListener("input", () => this.filter());
      this.table.closest(".scroll").before(controls);
      this.filter();
    }

    // A cell without the sign that is there for the eye alone.
    word(row, column) {
      const copy = row.cells[column].cloneNode(true);
      for (const hidden of copy.querySelectorAll("[aria-hidden]")) hidden.remove();
      return copy.textContent.trim();
    }

    filter() {
      const words = this.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const { body, title, rows } of this.groups) {
        const above = title ? `${title.textContent} ` : "";
        for (const row of rows) {
          const text = (above + row.textContent).toLowerCase();
          row.hidden =
            !words.every((word) => text.includes(word)) ||
            this.choosers.some(({ select, column }) => select.value && this.word(row, column) !== select.value);
          shown += !row.hidden;
        }
        body.hidden = rows.every((row) => row.hidden);
      }
      const all = this.rows.length;
      this.count.value = shown === all ? `${all} rows` : `${shown} of ${all} rows`;
    }
  }

  // --- charts

  const NEAR = 14; // pixels between a pointer and the mark that it means
  const tip = make("div", { className: "tip", hidden: true });
  tip.setAttribute("role", "status");
  let lit = null;

  const hide = () => {
    tip.hidden = true;
    if (lit) lit.classList.remove("lit");
    lit = null;
  };

  const show = (mark, text) => {
    if (lit === mark) return;
    hide();
    lit = mark;
    mark.classList.add("lit");
    tip.textContent = text;
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const own = tip.getBoundingClientRect();
    const right = document.documentElement.clientWidth - own.width - 8;
    tip.style.left = `${scrollX + Math.max(8, Math.min(box.left + box.width / 2 - own.width / 2, right))}px`;
    const above = box.top - own.height - 8;
    tip.style.top = `${scrollY + (above > 0 ? above : box.bottom + 8)}px`;
  };

  const chart = (svg) => {
    const texts = new Map();
    for (const title of svg.querySelectorAll(".mark > title")) {
      texts.set(title.parentNode, title.textContent);
      title.remove(); // else the browser shows it beside ours
    }
    const marks = [...texts.keys()];
    if (!marks.length) return;
    let at = -1;
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")} Arrow keys go from value to value.`);
    const distance = (mark, x, y) => {
      const box = mark.getBoundingClientRect();
      return Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
    };
    const point = (event) => {
      const under = event.target.closest(".mark");
      let [best, least] = [texts.has(under) ? under : null, NEAR];
      if (!best)
        for (const mark of marks) {
          const far = distance(mark, event.clientX, event.clientY);
          if (far < least) [best, least] = [mark, far];
        }
      if (best) show(best, texts.get(best));
      else hide();
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      at = at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length;
      show(marks[at], texts.get(marks[at]));
    });
    svg.addEventListener("focus", () => {
      if (!svg.matches(":focus-visible")) return;
      at = Math.max(at, 0);
      show(marks[at], texts.get(marks[at]));
    });
  };

  for (const table of document.querySelectorAll("table")) if (table.tHead) new Grid(table);
  document.body.append(tip);
  for (const svg of document.querySelectorAll("svg.plot")) chart(svg);
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
})();
