from __future__ import annotations

import json

import pytest
from report_browser import VIEWS, open_page, print_pdf
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from results.charts.catalogue import CHARTS
from results.charts.quantities import magnitude

pytestmark = pytest.mark.browser

ELSEWHERE = {"density", "interference"}
"""Charts of runs of another kind, which test_report_experiments.py opens."""

TOLD = {
    "throughput": ("container", "95 % interval", "n 6"),
    "startup": ("native", "median", " µs", "n 6"),
    "startup-phases": ("native", "launch", "%"),
    "memory-waterfall": ("native", "MiB"),
    "cpu-time": ("native", "cpu_time", "n 6"),
}
"""Charts of which a mark is pointed at, and what it says."""

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
    shown = browser.execute_script(_SHOWN)
    assert set(shown) == {f"chart-{name}" for name in CHARTS.keys() - ELSEWHERE}
    for name, charts in shown.items():
        assert len(charts) == 1, f"{name}: one variant at a time"
        assert charts[0]["width"] > 250, name
        assert charts[0]["height"] > 50, name
        assert charts[0]["label"], name
        assert charts[0]["cut"] == [], f"{name}: text outside the chart"


def test_tables_sort_and_filter_and_charts_say_their_values(browser, page):
    browser.get_log("browser")
    browser.get_log("performance")
    open_page(browser, page, "desktop-light")
    browser.execute_script("document.querySelector('#trials details').open = true")
    table = "#table-trials-1"

    def column(number):
        return browser.execute_script(_COLUMN, f"{table} tbody tr:not([hidden]) > :nth-child({number})")

    starts = browser.find_element(By.CSS_SELECTOR, f"{table} thead th:nth-child(6)")
    starts.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert starts.get_attribute("aria-sort") == "ascending"
    ascending = [magnitude(text) for text in column(6)]
    known = [value for value in ascending if value is not None]
    assert known == sorted(known)
    missing = [None] * (len(ascending) - len(known))
    assert missing
    assert ascending == [*known, *missing], "what is missing comes last"
    starts.find_element(By.TAG_NAME, "button").click()
    assert [magnitude(text) for text in column(6)] == [*reversed(known), *missing]

    find = browser.find_element(By.CSS_SELECTOR, "form[data-table=table-trials-1] input")
    find.send_keys("iperf3 CONTAINER")
    assert column(4) == ["container"] * 6
    said = browser.find_element(By.CSS_SELECTOR, "form[data-table=table-trials-1] output")
    assert (said.text, said.get_attribute("aria-live")) == (f"6 of {len(ascending)}", "polite")

    groups = browser.execute_script(_GROUPS, "#throughput table")
    heading = browser.find_element(By.CSS_SELECTOR, "#throughput table thead th:nth-child(2)")
    heading.find_element(By.TAG_NAME, "button").click()
    again = browser.execute_script(_GROUPS, "#throughput table")
    assert [name for name, _ in again] == [name for name, _ in groups]
    assert [arms for _, arms in again] == [sorted(arms) for _, arms in groups]

    tip = browser.find_element(By.CLASS_NAME, "tip")
    for name, words in TOLD.items():
        chart = browser.find_element(By.CSS_SELECTOR, f"#chart-{name} .wide svg")
        browser.execute_script(_POINT, chart)
        assert all(word in tip.text for word in words), (name, tip.text)
    browser.execute_script("arguments[0].focus()", chart)
    chart.send_keys(Keys.HOME)
    first = tip.text
    chart.send_keys(Keys.ARROW_DOWN)
    assert tip.text not in ("", first)
    chart.send_keys(Keys.ESCAPE)
    assert tip.text == ""

    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.execute_script("return document.querySelector('form.filters').getClientRects().length") == 0
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert browser.get_log("browser") == []
    assert _requested(browser) == [page.as_uri()]


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


def _requested(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [entry["params"]["request"]["url"] for entry in messages if entry["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("data:", "about:"))]


_COLUMN = "return [...document.querySelectorAll(arguments[0])].map(cell => cell.textContent)"

_GROUPS = """
return [...document.querySelector(arguments[0]).tBodies].map(body => {
  const [title, ...rows] = [...body.rows];
  return [title.textContent, rows.map(row => row.cells[1].textContent)];
});
"""

# Dispatched, so that no scrolling moves the mark away from the pointer.
_POINT = """
const mark = arguments[0].querySelector('.mark');
const box = mark.getBoundingClientRect();
const at = {clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true};
arguments[0].dispatchEvent(new PointerEvent('pointermove', at));
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
