"""Density and interference in reports, as charts and on a terminal."""

from __future__ import annotations

import io
import json

import pytest
from report_browser import VIEWS, open_page
from rich.console import Console
from several_instances import fill, measure
from stored_runs import RunBuilder, run_record

from results.charts.catalogue import CHARTS
from results.charts.style import NARROW, WIDE, render
from results.report import write_report
from results.report.data import RunData
from results.report.experiments import density, interference
from results.report.overview import cards
from results.terminal.compare import compare_renderables
from results.terminal.show import show_json, show_renderables

MIB = 2.0**20
ARMS = ("native", "container", "vm")
BURN, DISK = "cpu-burn", "fio(rw:randwrite iodepth:16 size:64M)@vm"


@pytest.fixture
def run(store):
    return RunBuilder(store, run_record(arms=ARMS))


@pytest.fixture
def dense(run):
    for block in range(1, 8):
        fill(run, "native", block, (1 + block / 1000) * MIB, most=8)
        fill(run, "container", block, (2 + block / 1000) * MIB, most=8, unsettled=block == 4)
        fill(run, "vm", block, (200 + block) * MIB, most=8, knee=5 if block > 1 else None, accel="tcg")
    return run


@pytest.fixture
def disturbed(run):
    for arm, burnt, moved in (("native", 2.0, 1.0), ("container", 2.1, 0.9), ("vm", 3.0, 7.5)):
        accel = "tcg" if arm == "vm" else "none"
        rates = [100.0, 101, 99, 102, 98, 100, 103]
        measure(run, arm, rates, accel=accel)
        measure(run, arm, [rate / burnt for rate in rates], beside=BURN, accel=accel)
        measure(run, arm, [rate / moved for rate in rates], beside=DISK, accel=accel)
    return run


def loaded(run):
    return RunData.load(run.store, run.record)


def printed(views, width=100):
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    for view in views:
        console.print(view)
    return stream.getvalue()


def test_a_density_has_its_figures_with_intervals_and_where_it_leaves_its_line(dense):
    (section,) = density(loaded(dense), {"density"})
    marginal, crowd = section.tables
    rows = {row[1]: row for row in marginal.rows}
    assert rows["vm (emulated)"][2] == "204 MiB [202 MiB – 206 MiB]"
    assert rows["container"][2].startswith("2.00 MiB [")
    ends = {row[1]: row[2:] for row in crowd.rows}
    assert ends["vm (emulated)"] == ("1.50×", "8", "at 5 (in 6 of 7 trials)", "none", "0")
    assert ends["container"][2:] == ("none", "none", "1")
    assert "vm (emulated) 204 MiB" in section.pictures[0].alt


def test_a_density_has_a_line_an_arm_and_a_faint_one_a_trial(dense):
    figure = CHARTS["density"](loaded(dense).charts, WIDE)
    memory, start = figure.axes
    assert memory.get_legend_handles_labels()[1] == ["native", "container", "vm (emulated)"]
    faint = [line for line in memory.lines if line.get_alpha() == 0.25]
    assert len(faint) == 21
    (dotted,) = (line for line in memory.lines if line.get_linestyle() == ":")
    assert list(dotted.get_xdata()) == [5, 5]
    assert not [line for line in start.lines if line.get_linestyle() == ":"]
    assert len(CHARTS["density"](loaded(dense).charts, NARROW).axes) == 2


def test_slowdowns_are_told_by_victim_neighbour_and_arm(disturbed):
    (section,) = interference(loaded(disturbed), {"interference"})
    (table,) = section.tables
    rows = {(row[1], row[2]): row for row in table.rows}
    assert len(rows) == 6
    assert rows[BURN, "native"][3:7] == ("100/s", "50.0/s", "2.00× [2.00–2.00×]", "7")
    assert rows[BURN, "native"][7] == "worse"
    assert rows[DISK, "native"][7] == "same"
    assert rows[DISK, "container"][7] == "better"
    assert rows[DISK, "vm (emulated)"][5].startswith("7.50×")


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_heat_map_has_a_panel_an_arm_a_cell_each_and_its_figure_in_it(disturbed, width):
    figure = CHARTS["interference"](loaded(disturbed).charts, width)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["native", "container", "vm (emulated)"]
    told = [text.get_text() for text in figure.axes[2].texts]
    assert {"3.00×", "7.50×"} <= set(told)
    native = {cell.get_label(): cell.get_facecolor() for cell in figure.axes[0].patches}
    slower, same = native[f"work beside {BURN} in native"], native[f"work beside {DISK} in native"]
    assert slower[0] > slower[2] + 0.2  # orange
    assert max(same[:3]) - min(same[:3]) < 0.03  # 1 is in the middle of the map, and without colour
    faster = {cell.get_label(): cell.get_facecolor() for cell in figure.axes[1].patches}
    purple = faster[f"work beside {DISK} in container"]
    assert purple[2] > purple[0]
    assert render(figure, "png").startswith(b"\x89PNG")


def test_a_cell_without_figure_is_empty(run):
    measure(run, "native", [1.0] * 6)
    measure(run, "native", [0.5] * 6, beside=BURN)
    measure(run, "vm", [1.0] * 6)
    measure(run, "vm", [0.5] * 6, beside=DISK)
    figure = CHARTS["interference"](loaded(run).charts, WIDE)
    assert [text.get_text() for text in figure.axes[0].texts if not text.get_text().startswith("2")] == ["–"]


def test_cards_tell_of_them(dense):
    found = {card.name: {line.name: line for line in card.headlines} for card in cards(loaded(dense))}
    assert found["vm"]["One more instance"].value == "204 MiB"
    assert found["vm"]["One more instance"].detail.startswith("203×")


def test_cards_tell_of_the_worst_neighbour(disturbed):
    found = {card.name: {line.name: line for line in card.headlines} for card in cards(loaded(disturbed))}
    assert found["container"]["Worst neighbour"].value == "2.10×"
    assert found["vm"]["Worst neighbour"].detail == "work beside fio"


def test_show_and_compare_tell_of_them(dense, disturbed):
    shown = printed(show_renderables(dense.store, dense.record), 130)
    assert "202 MiB–206 MiB" in shown
    assert "memory 5" in shown
    assert "8, 1 unsettled" in shown
    compared = printed(compare_renderables(disturbed.store, disturbed.record), 130)
    assert "beside cpu-burn" in compared
    assert "2.00× [2.00–2.00×] worse" in compared
    data = json.loads(json.dumps(show_json(dense.store, dense.record)))
    assert {one["arm"] for one in data["densities"]} == set(ARMS)
    assert {one["neighbour"] for one in data["slowdowns"]} == {BURN, DISK}


def test_a_run_without_them_has_no_such_section(run):
    run.trial(1, "native", time=1.0)
    assert density(loaded(run), ()) == interference(loaded(run), ()) == ()


@pytest.mark.browser
@pytest.mark.parametrize("view", ["desktop-light", "phone-dark"])
def test_a_page_shows_them(dense, disturbed, tmp_path, browser, view):
    report = write_report(dense.store, dense.record, tmp_path)
    open_page(browser, report.html, view)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= VIEWS[view][0], "overflows"
    for name in ("density", "interference"):
        assert browser.find_element("id", name).text
        shown = [one for one in browser.find_elements("css selector", f"#{name} svg.plot") if one.is_displayed()]
        assert len(shown) == 1
