// Charts say what a mark stands for: to a pointer, a finger, and the arrow keys. Without this script the titles of
// the marks do, as far as the browser shows them.
{
  const NEAR = 28;
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  document.body.append(tip);
  let current = null;

  const hide = () => {
    current?.classList.remove("at");
    current = null;
    tip.textContent = "";
  };

  const show = (mark, text) => {
    if (mark === current) return;
    hide();
    current = mark;
    mark.classList.add("at");
    tip.textContent = text;
    const box = mark.getBoundingClientRect();
    const width = tip.offsetWidth;
    const middle = box.left + box.width / 2;
    const left = Math.max(8, Math.min(middle - width / 2, document.documentElement.clientWidth - width - 8));
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above > 0 ? above : box.bottom + 8) + scrollY}px`;
  };

  const distance = (mark, x, y) => {
    const box = mark.getBoundingClientRect();
    return Math.hypot(Math.max(box.left - x, x - box.right, 0), Math.max(box.top - y, y - box.bottom, 0));
  };

  for (const svg of document.querySelectorAll("svg.plot")) {
    const texts = new Map([...svg.querySelectorAll(".mark")].map(mark => {
      const title = mark.querySelector("title");
      title.remove();  // else a browser shows it as well
      return [mark, title.textContent];
    }));
    const marks = [...texts.keys()];
    if (!marks.length) continue;
    svg.tabIndex = 0;
    const choose = at => {
      const mark = marks[Math.max(0, Math.min(marks.length - 1, at))];
      show(mark, texts.get(mark));
    };
    const point = event => {
      // The last that is drawn lies on top.
      const [best] = marks.map((mark, at) => [distance(mark, event.clientX, event.clientY), -at, at])
        .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      if (best[0] <= NEAR) choose(best[2]);
      else hide();
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointerleave", event => event.pointerType === "mouse" && hide());
    svg.addEventListener("focus", () => svg.matches(":focus-visible") && choose(0));
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", event => {
      const at = marks.indexOf(current);
      const next = {
        ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: marks.length - 1,
      }[event.key];
      if (event.key === "Escape") hide();
      if (next === undefined) return;
      event.preventDefault();
      choose(next);
    });
  }
}
