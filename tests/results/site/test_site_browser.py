"""The pages of a site in a real browser, as they are used."""

from __future__ import annotations

import json

import pytest
from report_browser import VIEWS, open_page, print_pdf
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from site_history import NIGHTS
from test_report_browser import _CONTRASTS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(site):
    return {
        "index": site / "index.html",
        "trends": site / "trends.html",
        "regressions": site / "regressions.html",
        "trend": next(iter(sorted((site / "trends").rglob("*.html")))),
    }


def _requested(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [entry["params"]["request"]["url"] for entry in messages if entry["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("data:", "about:"))]


@pytest.mark.parametrize("view", VIEWS)
def test_every_page_in_every_view(browser, pages, view):
    for name, page in pages.items():
        browser.get_log("browser")
        browser.get_log("performance")
        open_page(browser, page, view)
        assert browser.get_log("browser") == [], name
        assert _requested(browser) == [page.as_uri()], name
        assert browser.execute_script("return document.documentElement.scrollWidth") <= VIEWS[view][0], name
        assert browser.execute_script(_CUT) == [], f"{name}: cells beyond the edge"
        low = [each for each in browser.execute_script(_CONTRASTS) if each["ratio"] < 4.5]
        assert low == [], name


_CUT = """
if (innerWidth > 600) return [];
const cells = [...document.querySelectorAll('#runs td')].filter(cell => cell.getClientRects().length);
return cells.filter(cell => cell.getBoundingClientRect().right > innerWidth).map(cell => cell.textContent);
"""


def _column(browser, table, number):
    script = "return [...document.querySelectorAll(arguments[0])].filter(e => e.offsetParent).map(e => e.textContent)"
    cells = f"#{table} tbody tr > :nth-child({number})"
    return [text.strip() for text in browser.execute_script(script, cells)]


def test_the_index_sorts_and_filters(browser, pages):
    open_page(browser, pages["index"], "desktop-light")
    runs = _column(browser, "runs", 1)
    assert len(runs) == NIGHTS + 1
    assert runs == sorted(runs, reverse=True)
    failed = browser.find_element(By.XPATH, "//th/button[.='Failed']")
    failed.click()
    failed.click()
    assert _column(browser, "runs", 7)[:2] == ["3 of 12", "0 of 12"]
    assert failed.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"
    browser.find_element(By.XPATH, "//th/button[.='Started']").send_keys(Keys.ENTER)
    assert _column(browser, "runs", 1) == sorted(runs)

    find = browser.find_element(By.CSS_SELECTOR, "input[type=search]")
    find.send_keys("other PARTIAL")
    assert _column(browser, "runs", 2) == ["other & more"]
    assert browser.find_element(By.TAG_NAME, "output").text == f"1 of {NIGHTS + 1} rows"
    find.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)
    assert len(_column(browser, "runs", 2)) == NIGHTS + 1
    browser.execute_script(_CHOOSE, "Host of Runs, newest first", "f00d")
    assert set(_column(browser, "runs", 2)) == {"nightly"}


def test_the_way_from_a_run_to_its_report_and_back(browser, pages):
    open_page(browser, pages["index"], "desktop-light")
    link = browser.find_element(By.CSS_SELECTOR, "#runs tbody a")
    run = link.text
    link.click()
    assert run in browser.find_element(By.TAG_NAME, "h1").text
    browser.find_element(By.PARTIAL_LINK_TEXT, "All runs").click()
    assert browser.title == "Runs"


def test_a_regression_leads_to_its_chart(browser, pages):
    open_page(browser, pages["regressions"], "desktop-light")
    assert _column(browser, "open", 1) == ["rate"]
    assert _column(browser, "open", 4) == ["container"]
    browser.find_element(By.LINK_TEXT, "rate").click()
    target = browser.find_element(By.CSS_SELECTOR, "figure:target")
    assert target.find_element(By.TAG_NAME, "h3").text == "rate · container"
    assert "open regression" in target.text


def test_charts_show_values_on_hover_and_by_keyboard(browser, pages):
    open_page(browser, pages["trend"], "desktop-light")
    figure = browser.find_element(By.CSS_SELECTOR, "figure.trend")
    svg, readout = figure.find_element(By.TAG_NAME, "svg"), figure.find_element(By.CLASS_NAME, "readout")
    browser.execute_script(_POINT, svg, 1.0)
    assert "2026-10-30" in readout.text
    assert "/s" in readout.text
    assert "n 4" in readout.text
    browser.execute_script(_POINT, svg, 0.0)
    assert "2026-10-01" in readout.text
    browser.execute_script("arguments[0].focus()", svg)
    assert "2026-10-30" in readout.text
    svg.send_keys(Keys.ARROW_LEFT)
    assert "2026-10-29" in readout.text
    svg.send_keys(Keys.HOME)
    assert "2026-10-01" in readout.text


def test_emulated_series_stand_apart(browser, pages):
    open_page(browser, pages["trend"], "desktop-light")
    script = "return [...document.querySelectorAll(arguments[0])].map(h => h.textContent)"
    apart = browser.execute_script(script, ".emulation h3")
    assert len(apart) == 2
    assert all("vm" in title and "emulated" in title for title in apart)
    assert not [title for title in browser.execute_script(script, "section:not(.emulation) h3") if "vm" in title]


def test_the_pages_can_be_printed(browser, pages, tmp_path):
    for name in ("index", "trend"):
        open_page(browser, pages[name], "desktop-dark")
        print_pdf(browser, tmp_path / "page.pdf")
        assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


# Dispatched, since a pointer of the driver's does not reach where an axis ends.
_POINT = """
const [svg, share] = arguments;
const box = svg.getBoundingClientRect();
const at = {clientX: box.left + share * box.width, clientY: box.top + box.height / 2, bubbles: true};
svg.dispatchEvent(new PointerEvent('pointermove', at));
"""

_CHOOSE = """
const [label, value] = arguments;
const select = document.querySelector(`select[aria-label="${label}"]`);
select.value = value;
select.dispatchEvent(new Event('input', {bubbles: true}));
"""
