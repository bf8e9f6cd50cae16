"""What a report says of how quiet the host was, and of where arms ran."""

from __future__ import annotations

import pytest

from results.charts.catalogue import CHARTS
from results.charts.noise import noise_chart
from results.charts.style import NARROW, WIDE, render
from results.noise import BlockNoise
from results.report.background import host
from results.report.data import RunData
from results.report.noise import noise


@pytest.fixture
def data(store, make_run):
    return RunData.load(store, make_run(blocks=6, outcomes=True))


def block(number, **values):
    given = {"speed": 1.0, "jitter": 1.2, "gaps": 0, "steal": 0.0, "outside": 0.01, "reasons": ()} | values
    return BlockNoise(number, **given)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def test_the_section_names_the_disturbed_blocks_and_the_rule(data):
    (section,) = noise(data, CHARTS)
    assert section.paragraphs[0].startswith(
        "1 of 6 blocks disturbed (block 2: others used 45 % of the host's CPU time). A block is disturbed if speed was "
        "below 95 %, if more than 2.0 % was stolen, or if others used more than 5.0 %."
    )
    (table,) = section.tables
    assert [row[0] for row in table.rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row[-1] for row in table.rows if row[0] in "12"] == ["no", "others used 45 % of the host's CPU time"]
    assert table.rows[1][1:6] == ("100 %", "0.1 %", "45 %", "1.40", "3")
    assert [picture.name for picture in section.pictures] == ["noise"]


def test_comparisons_over_a_disturbed_block_say_so(data):
    told = {warning for comparison in data.comparisons for warning in comparison.warnings if "disturbed" in warning}
    assert told == {"1 of 6 blocks disturbed"}


def test_a_run_without_readings_has_no_section(store, make_run):
    data = RunData.load(store, make_run(blocks=6))
    assert noise(data, CHARTS) == ()
    assert CHARTS["noise"](data.charts, WIDE) is None


def test_every_cell_of_the_strip_has_its_figure_and_disturbed_blocks_their_word():
    quiet, loud = block(1), block(2, speed=0.9, steal=0.031, outside=0.5, reasons=("x",))
    shown = texts(noise_chart([quiet, loud, block(3, steal=None)]))
    assert shown == [
        *("1", "100 %", "0.0 %", "1.0 %"),
        *("2", "90 %", "3.1 %", "50 %", "disturbed"),
        *("3", "100 %", "–", "1.0 %"),
    ]


@pytest.mark.parametrize(("width", "lines"), [(WIDE, 4), (NARROW, 7)])
def test_many_blocks_take_several_lines(width, lines):
    figure = noise_chart([block(number) for number in range(1, 34)], width)
    assert len(figure.axes) == lines
    assert render(figure, "svg").startswith(b"<?xml")


def test_where_arms_ran_is_in_a_table(store, make_run):
    placed = {"instance": [2, 3], "load_generator": [0, 1], "harness": [0]}
    notes = ["load generator and harness share CPU 0", "QEMU's own threads are on the instance's CPUs"]
    placement = {"native": {**placed, "notes": []}, "vm": {**placed, "notes": notes}}
    data = RunData.load(store, make_run(blocks=1, host={"facts": {"kernel": "6.1"}, "placement": placement}))
    table = next(table for table in host(data).tables if table.caption == "Where it ran")
    assert table.rows == (
        ("native", "2, 3", "0, 1", "0", "nothing is shared"),
        ("vm (emulated)", "2, 3", "0, 1", "0", "; ".join(notes)),
    )


def test_a_run_that_did_not_record_where_arms_ran_has_no_such_table(store, make_run):
    data = RunData.load(store, make_run(blocks=1, host={"facts": {"kernel": "6.1"}}))
    assert [table.caption for table in host(data).tables] == ["Facts of the host"]
