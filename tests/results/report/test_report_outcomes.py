from __future__ import annotations

import re

import pytest
from report_browser import open_page
from stored_runs import RunBuilder, run_record

from results.charts.catalogue import CHARTS
from results.charts.limits import limits_chart
from results.charts.quantities import percentage, tick
from results.charts.style import NARROW, WIDE, arm_styles, render
from results.limits import GivenLimit
from results.records import Sample
from results.report import save_chart, write_report
from results.report.data import RunData
from results.report.outcomes import checks, limits
from results.report.overview import cards, findings
from results.report.sections import cpu_time

ARMS = arm_styles(("native", "container", "vm"), "native", {"vm"})


@pytest.fixture
def data(store, make_run):
    return RunData.load(store, make_run(blocks=6, outcomes=True))


def given(**properties):
    fields = {
        "limit": "cpus", "workload": "spin", "params": "", "arm": "container", "emulated": False, "unit": "CPUs",
        "asked": 0.25, "given": 0.25, "errors": (0.0,),
    }  # fmt: skip
    return GivenLimit(**{**fields, **properties})


class TestChecks:
    def test_a_row_a_claim_a_column_an_arm_and_a_sum(self, data):
        (section,) = checks(data)
        (table,) = section.tables
        assert list(table.columns) == ["Claim", "native", "container", "vm (emulated)"]
        rows = {row[0]: row[1:] for row in table.rows}
        assert list(rows)[:2] == ["has its own mount table", "cannot see host processes"]
        assert rows["root inside is not root outside"] == ("broken", "broken", "holds")
        assert rows["cannot load a host module"] == ("broken", "holds", "–")
        assert re.fullmatch(r"broken in [1-5] of 6", rows["cannot see the host kernel log"][1])
        assert table.total == ("In all", "0 of 7 hold", "5 of 7 hold", "6 of 6 hold")

    def test_they_are_marked_without_colour_in_both_forms(self, store, data, tmp_path):
        report = write_report(store, data.run, tmp_path)
        html, markdown = report.html.read_text(), report.markdown.read_text()
        assert '<span class="outcome bad"><span aria-hidden="true">✗</span>&nbsp;broken</span>' in html
        assert "| root inside is not root outside | ✗ broken | ✗ broken | ✓ holds |" in markdown
        assert "| In all | 0 of 7 hold | 5 of 7 hold | 6 of 6 hold |" in markdown

    def test_they_are_nowhere_else(self, data):
        claims = {metric for one in data.checks for metric in one.claims}
        assert claims
        assert not claims & {comparison.metric for comparison in data.comparisons}
        assert not claims & {comparison.metric for comparison in data.throughput}

    def test_the_overview_says_what_was_found(self, data):
        said = {finding.subject: finding.text for finding in findings(data)}
        assert said["native:"].startswith("none of 7 claims holds.")
        assert said["container:"].startswith("5 of 7 claims hold; broken: root inside is not root outside; cannot see")
        assert said["vm (emulated):"].startswith("6 of 6 claims hold.")
        assert [headline.value for card in cards(data) for headline in card.headlines if headline.name == "Claims"] == [
            "0 of 7 hold", "5 of 7 hold", "6 of 6 hold",
        ]  # fmt: skip

    def test_a_run_without_them_says_nothing_of_them(self, store, make_run, tmp_path):
        data = RunData.load(store, make_run(blocks=1))
        assert checks(data) == limits(data, ()) == ()
        html = write_report(store, data.run, tmp_path).html.read_text()
        assert not re.search(r'claims hold|limits met|id="(checks|limits)"', html)

    def test_a_run_of_checks_alone_makes_a_report(self, store, tmp_path):
        run = RunBuilder(store, run_record())
        run.trial(0, "container", Sample("own_<b>uids</b>", 0.0, "check", "higher"), workload="isolation")
        report = write_report(store, run.record, tmp_path)
        html, markdown = report.html.read_text(), report.markdown.read_text()
        assert "own &lt;b&gt;uids&lt;/b&gt;" in html
        assert "Throughput: geometric mean" not in html
        assert "✗ broken" in markdown


class TestLimits:
    def test_a_row_for_each_limit_and_arm(self, data):
        (section,) = limits(data, CHARTS)
        (table,) = section.tables
        assert [row[:3] for row in table.rows][:3] == [
            ("cpus (±3 %)", "native", "0.25 CPUs"),
            ("cpus (±3 %)", "container", "0.25 CPUs"),
            ("cpus (±3 %)", "vm (emulated)", "0.25 CPUs"),
        ]
        outcomes = {(row[0].split()[0], row[1]): row[7] for row in table.rows}
        assert outcomes["cpus", "container"] == "met"
        assert outcomes["cpus", "vm (emulated)"] == "exceeded"
        assert outcomes["io.read_bytes", "vm (emulated)"] == "not reached"
        assert ("net.egress", "native") not in outcomes

    def test_the_tolerances_are_told_once(self, data):
        (section,) = limits(data, CHARTS)
        assert "±3 % for cpus; ±10 % for memory, io.read_bytes" in section.paragraphs[0]

    def test_the_overview_says_which_were_not_met(self, data):
        said = {finding.subject: finding.text for finding in findings(data)}
        assert re.search(
            r"3 of 5 limits met; cpus exceeded \(\+1.*\); io.read_bytes not reached", said["vm (emulated):"]
        )

    def test_a_chart_of_them_can_be_saved(self, store, data, tmp_path):
        save_chart(store, data.run, "limits", tmp_path / "limits.svg")
        assert (tmp_path / "limits.svg").read_bytes().startswith(b"<?xml")


class TestChart:
    def test_every_trial_and_the_median_stand_in_the_tolerance(self):
        (axes,) = limits_chart([given(errors=(-1.0, 0.5, 2.0)), given(arm="vm", errors=(4.0,))], ARMS).axes
        (median,) = [line for line in axes.lines if line.get_label() == "cpus of container"]
        assert list(median.get_xdata()) == [0.5]
        assert [-1.0, 0.5, 2.0] in [list(line.get_xdata()) for line in axes.lines]
        (band,) = axes.patches
        assert (band.get_x(), band.get_width(), band.get_height()) == (-3, 6, 2)
        assert [text.get_text() for text in axes.texts if "%" in text.get_text()] == ["+0.5 %", "+4.0 %"]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["container", "vm (emulated)"]

    def test_each_limit_has_a_band_of_its_own(self):
        figure = limits_chart([given(), given(limit="memory", unit="bytes", asked=512 * 1024**2)], ARMS)
        assert [band.get_width() for band in figure.axes[0].patches] == [6, 20]
        titles = {text.get_text() for text in figure.axes[0].texts}
        assert {"cpus: 0.25 CPUs", "memory: 512 MiB"} <= titles

    def test_an_error_beyond_the_axis_stands_at_its_edge_and_is_written(self):
        (axes,) = limits_chart([given(errors=(5000.0,)), given(arm="vm", errors=(1.0,))], ARMS).axes
        (mark,) = [line for line in axes.lines if line.get_label() == "cpus of container"]
        assert (list(mark.get_xdata()), mark.get_marker()) == ([100.0], ">")
        assert axes.get_xlim()[1] < 120
        assert "+5,000 %" in {text.get_text() for text in axes.texts}

    def test_arms_that_asked_for_different_amounts_say_so(self):
        found = [given(), given(arm="vm", asked=1.5)]
        labels = [label.get_text() for label in limits_chart(found, ARMS).axes[0].get_yticklabels()]
        assert labels == ["container, 0.25 CPUs", "vm (emulated), 1.5 CPUs"]

    def test_a_limit_that_two_cases_measured_names_them(self):
        found = [given(params="threads=1"), given(params="threads=4")]
        titles = {text.get_text() for text in limits_chart(found, ARMS).axes[0].texts}
        assert {"cpus: 0.25 CPUs — spin · threads=1", "cpus: 0.25 CPUs — spin · threads=4"} <= titles

    @pytest.mark.parametrize("width", [WIDE, NARROW])
    @pytest.mark.parametrize("error", [-100.0, 0.0, 1e9])
    def test_any_error_can_be_drawn(self, width, error):
        assert render(limits_chart([given(errors=(error, error))], ARMS, width), "png").startswith(b"\x89PNG")

    def test_nothing_measured_gives_no_chart(self):
        assert limits_chart([], ARMS) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0 %"), (-0.04, "0.0 %"), (1.24, "+1.2 %"), (-14.16, "-14.2 %"), (99.96, "+100 %"), (5170.2, "+5,170 %")],
)
def test_percentages(value, text):
    assert percentage(value) == text


def test_what_was_asked_for_is_not_rounded_away():
    assert tick(1234, "requests/s", 6) == "1,234 requests/s"
    assert tick(0.25, "CPUs", 6) == "0.25 CPUs"
    assert tick(100e6, "bit/s", 6) == "100 Mbit/s"


def test_parts_of_use_stand_folded_beside_the_cpu_time(store):
    run = RunBuilder(store, run_record())
    for arm in ("native", "container"):
        run.trial(
            0, arm,
            Sample("cpu.user", 1.5, "s", "neutral"),
            Sample("io.write_bytes", 4096.0, "bytes", "neutral"),
            Sample("pids_peak", 3, "processes", "neutral"),
            cpu_time=2.0,
        )  # fmt: skip
    (table,) = cpu_time(RunData.load(store, run.record), ()).tables
    assert table.folded
    assert table.rows == (
        ("work", "cpu.user", "1.50 s", "1.50 s", "–"),
        ("work", "io.write_bytes", "4.00 KiB", "4.00 KiB", "–"),
        ("work", "pids_peak", "3.00 processes", "3.00 processes", "–"),
    )


@pytest.mark.browser
class TestBrowser:
    @pytest.mark.parametrize("view", ["desktop-light", "phone-dark"])
    def test_both_tables_and_the_chart_are_seen(self, browser, store, data, tmp_path, view):
        open_page(browser, write_report(store, data.run, tmp_path).html, view)
        seen = browser.execute_script(_SEEN)
        assert seen["rows"] == {"checks": 7, "limits": 14}
        assert seen["total"] == "In all0 of 7 hold5 of 7 hold6 of 6 hold"
        assert seen["chart"] > 250
        assert set(seen["signs"]) >= {"✓ holds", "✗ broken"}

    def test_a_phone_shows_every_arm_of_the_checks_at_once(self, browser, store, data, tmp_path):
        open_page(browser, write_report(store, data.run, tmp_path).html, "phone-light")
        hidden = "const box = document.querySelector('#checks .scroll'); return box.scrollWidth - box.clientWidth"
        assert browser.execute_script(hidden) <= 0


_SEEN = """
const rows = {};
for (const name of ['checks', 'limits'])
  rows[name] = [...document.querySelectorAll(`#${name} tbody tr`)].filter(row => row.querySelector('td')).length;
const cells = [...document.querySelectorAll('#checks td .outcome')];
const charts = [...document.querySelectorAll('#chart-limits svg')].filter(svg => svg.getClientRects().length);
return {
  rows,
  total: document.querySelector('#checks tfoot').textContent,
  chart: charts[0].getBoundingClientRect().width,
  signs: cells.map(cell => cell.textContent.replace('\\u00a0', ' ')),
};
"""
