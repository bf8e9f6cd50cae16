// What is above sorts and filters tables. Here, charts of trends tell the value of each run.
(() => {
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
})();
