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
    shown = browser.execute_script(_SHOWN)
    assert set(shown) == {f"chart-{name}" for name in CHARTS.keys() - ELSEWHERE}
    for name, charts in shown.items():
        assert len(charts) == 1, f"{name}: one variant at a time"
        assert charts[0]["width"] > 250, name
        assert charts[0]["height"] > 50, name
        assert charts[0]["label"], name
        assert charts[0]["cut"] == [], f"{name}: text outside the chart"


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
