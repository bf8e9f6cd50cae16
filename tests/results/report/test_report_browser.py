from __future__ import annotations

import json

import pytest
from report_browser import VIEWS, open_page, print_pdf

from results.charts.catalogue import CHARTS

pytestmark = pytest.mark.browser

ELSEWHERE = {"density", "interference"}
"""Charts of runs of another kind, which test_report_experiments.py opens."""

LONG = "a-workload-with-a-name-that-goes-on-and-on-without-a-single-space-in-it-" * 3


def _odd(name):
    return f"{LONG}{name}" if name == "redis" else name


@pytest.fixture
def page(report_of):
    """A report with everything in it: emulation, failures, and names that are hard to set."""
    failures = {3: (f"<img src=x onerror=alert(1)> {LONG}", f"{LONG}\n<script>alert(1)</script>"), 5: ("gone", None)}
    return report_of(
        arms=("native", "bare", "container", "vm"), blocks=6, outcomes=True, experiments=True, status="partial",
        stop_reason="interrupted", failures=failures, workload=_odd,
    ).html  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_the_report_in_a_browser(browser, page, view):
    browser.get_log("browser")
    browser.get_log("performance")
    open_page(browser, page, view)

    assert browser.get_log("browser") == []
    assert _requested(browser) == [page.as_uri()]
    assert browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= VIEWS[view][0], "overflows"
    assert browser.execute_script(_OFF_SIDE) == [], "who wins what, by how much and how surely is in sight"
    shown = browser.execute_script(_SHOWN)
    assert set(shown) == {f"chart-{name}" for name in CHARTS.keys() - ELSEWHERE}
    for name, charts in shown.items():
        assert len(charts) == 1, f"{name}: one variant at a time"
        assert charts[0]["width"] > 250, name
        assert charts[0]["height"] > 50, name
        assert charts[0]["label"], name
        assert charts[0]["cut"] == [], f"{name}: text outside the chart"


def test_of_many_arms_every_one_is_in_sight(browser, report_of):
    arms = ("native", *(f"container-{number}" for number in range(7)), "vm")
    open_page(browser, report_of(arms=arms, blocks=6).html, "desktop-light")
    assert browser.execute_script(_OFF_SIDE) == []
    assert browser.execute_script("return document.querySelector('.scores tbody tr').cells.length") == 2 + len(arms)


@pytest.mark.parametrize("view", VIEWS)
def test_text_stands_out_from_its_ground(browser, page, view):
    open_page(browser, page, view)
    contrasts = browser.execute_script(_CONTRASTS)
    assert len(contrasts) > 100
    low = [entry for entry in contrasts if entry["ratio"] < 4.5]
    assert low == []


def test_it_can_be_printed(browser, page, tmp_path):
    open_page(browser, page, "desktop-dark")
    print_pdf(browser, tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    paper = {"width": 720, "height": 1018, "deviceScaleFactor": 1, "mobile": False}  # A4 at 96 dpi, less margins
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    try:
        found = browser.execute_script(_PAPER)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert found == {"ground": "rgb(255, 255, 255)", "controls": 0, "trials": 0, "wide": []}


def _requested(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [entry["params"]["request"]["url"] for entry in messages if entry["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("data:", "about:"))]


_OFF_SIDE = """
const cells = [...document.querySelectorAll('.scores tbody :is(th, td, small)')];
return cells.filter(cell => cell.getBoundingClientRect().right > innerWidth).map(cell => cell.textContent);
"""

_SHOWN = """
const shown = {};
for (const figure of document.querySelectorAll('figure')) {
  shown[figure.id] = [...figure.querySelectorAll('svg')].filter(svg => svg.getClientRects().length).map(svg => {
    const box = svg.getBoundingClientRect();
    const cut = [...svg.querySelectorAll('text')].filter(text => {
      const inner = text.getBoundingClientRect();
      return inner.left < box.left - 1 || inner.right > box.right + 1 || inner.bottom > box.bottom + 1;
    });
    return {
      width: box.width,
      height: box.height,
      label: svg.getAttribute('aria-label'),
      cut: cut.map(text => text.textContent),
    };
  });
}
return shown;
"""

# Contrast as WCAG 2.2 defines it, of every text against the nearest ground that is painted.
_CONTRASTS = """
const parse = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
const luminance = ([r, g, b]) => {
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
};
const ground = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll('body *')) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const colour = element.closest('svg') ? style.fill : style.color;
  const [a, b] = [luminance(parse(colour)), luminance(ground(element))].sort((x, y) => y - x);
  found.push({text: element.textContent.slice(0, 40), colour, ratio: (a + 0.05) / (b + 0.05)});
}
return found;
"""


def test_tables_and_charts_answer(browser, page):
    browser.get_log("browser")
    open_page(browser, page, "desktop-light")
    table = "[...document.querySelectorAll('table')].find(each => each.caption.textContent.startsWith('Throughput'))"
    found = browser.execute_script(_TABLE.replace("TABLE", table))
    for name, order in (("ascending", found["ascending"]), ("descending", found["descending"])):
        for group in order["groups"]:
            assert group == sorted(group, reverse=name == "descending")
        firsts = [group[0] for group in order["groups"]]
        assert firsts == sorted(firsts, reverse=name == "descending")
        assert order["sort"] == name
        assert order["headed"], "every group keeps its heading first"
    assert found["again"]["groups"] == found["natural"]["groups"], "a third click gives the order of the page"
    assert found["all"] == f"{found['rows']} rows"
    assert found["chosen"]["arms"] == ["container"]
    assert found["chosen"]["count"] == f"{found['rows'] // 2} of {found['rows']} rows"
    assert found["typed"]["count"] == f"1 of {found['rows']} rows"
    assert found["typed"]["groups"] == 1
    assert found["live"] == "polite"

    told = browser.execute_script(_HOVER)
    assert told["hovered"].startswith("container: ")
    assert "95 % interval" in told["hovered"]
    assert "n = 6 blocks" in told["hovered"]
    assert told["focused"]
    assert told["stepped"] != told["focused"]
    assert told["gone"]
    assert browser.get_log("browser") == []


def test_it_is_whole_without_scripts(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_page(browser, page, "desktop-light")
        counts = browser.execute_cdp_cmd("DOM.getDocument", {"depth": -1})
        names = _names(counts["root"])
        assert names.count("input") == names.count("button") == 0, "no control that does nothing"
        assert names.count("title") > 100, "marks tell their values by themselves"
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_no_script_but_ours_runs(browser, page, tmp_path):
    text = page.read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    added = "<script>document.title = 'injected'</script><img src=x onerror=\"document.title = 'injected'\"></body>"
    changed.write_text(text.replace("</body>", added), encoding="utf-8")
    browser.get_log("browser")
    open_page(browser, changed, "desktop-light")
    assert browser.title != "injected"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def _names(node):
    found = [node["nodeName"].lower()]
    for child in node.get("children", ()):
        found += _names(child)
    return found


_PAPER = """
const shown = query => [...document.querySelectorAll(query)].filter(each => each.getClientRects().length).length;
return {
  ground: getComputedStyle(document.body).backgroundColor,
  controls: shown('.controls') + shown('.tip') + shown('nav'),
  trials: shown('#trials'),
  wide: [...document.querySelectorAll('table')].filter(table => table.getBoundingClientRect().right > 721)
    .map(table => table.caption.textContent),
};
"""

_TABLE = """
const table = TABLE;
const controls = table.closest('.scroll').previousElementSibling;
const heading = [...table.tHead.rows[0].cells].find(each => each.textContent.startsWith('Ratio'));
const column = heading.cellIndex;
const look = () => ({
  groups: [...table.tBodies].map(body => [...body.rows].slice(1).map(row => Number(row.cells[column].dataset.value))),
  headed: [...table.tBodies].every(body => body.rows[0].cells[0].scope === 'rowgroup'),
  sort: heading.getAttribute('aria-sort'),
});
const rows = () => [...table.querySelectorAll('tbody tr')].filter(
  row => row.getClientRects().length && row.cells[0].scope !== 'rowgroup');
const click = () => { heading.querySelector('button').click(); return look(); };
const set = (input, value) => { input.value = value; input.dispatchEvent(new Event('input')); };
const count = controls.querySelector('output');
const [arm] = controls.querySelectorAll('select');
const found = {natural: look(), ascending: click(), descending: click(), again: click(), all: count.value};
found.rows = rows().length;
set(arm, 'container');
found.chosen = {
  count: count.value,
  arms: [...new Set(rows().map(row => row.cells[1].textContent))],
};
set(controls.querySelector('input'), 'IPERF3 bandwidth');
found.typed = {
  count: count.value,
  groups: [...table.tBodies].filter(body => body.getClientRects().length).length,
};
set(arm, ''); set(controls.querySelector('input'), '');
found.live = count.getAttribute('aria-live');
return found;
"""

_HOVER = """
const svg = document.querySelector('#chart-throughput .wide svg');
svg.scrollIntoView();
const tip = document.querySelector('.tip');
const mark = svg.querySelector('.mark');
const box = mark.getBoundingClientRect();
const pointer = type => svg.dispatchEvent(new PointerEvent(type, {
  clientX: box.x + box.width / 2 + 5, clientY: box.y + box.height / 2, pointerType: 'mouse', bubbles: true}));
const key = name => { svg.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true})); };
const shown = () => tip.hidden ? '' : tip.textContent;
const told = {};
pointer('pointermove'); told.hovered = shown(); pointer('pointerleave');
svg.focus({focusVisible: true}); told.focused = shown();
key('ArrowRight'); told.stepped = shown();
key('Escape'); told.gone = tip.hidden;
svg.blur();
return told;
"""
