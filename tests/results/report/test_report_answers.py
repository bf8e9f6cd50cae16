"""What readers of a report ask first: who wins what, where a trial's log is, and what a mark in a chart stands for."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from results.charts.latency import latencies_of, latency_chart
from results.charts.quantities import Written, machine_value, quantity
from results.charts.style import inline_svg, new_figure, render, tell
from results.report.data import RunData
from results.report.overview import findings
from results.report.page import HERE, environment, policy
from results.report.scores import scores
from results.report.trials import log_address, trials

LOG = "a log\n"


class TestScores:
    def test_a_row_for_what_was_compared_and_a_column_an_arm(self, store, make_run):
        table = scores(RunData.load(store, make_run(blocks=10, vm_accel="kvm")))
        assert list(table.columns) == ["What", "Best", "native", "container", "vm"]
        rows = {row[0]: row[1:] for row in table.rows}
        best, level, container, vm = rows["Startup"]
        assert best == "native"
        assert level.endswith(" µs")
        assert re.fullmatch(r"worse 1\d\.\d× worse \[1\d\.\d–1\d\.\d×\]", container)
        assert vm.startswith("worse 1")
        assert rows["sysbench-cpu, events_per_second"][0] == "native, container"

    def test_what_is_not_decided_gets_no_word_of_a_verdict(self, store, make_run):
        data = RunData.load(store, make_run(arms=("native", "container"), blocks=1))
        (startup,) = [row for row in scores(data).rows if row[0] == "Startup"]
        assert re.fullmatch(r"inconclusive 1\d\.\d×, not decided", startup[3])
        assert machine_value(startup[3]) < 1
        assert "better" not in str(scores(data).rows)
        assert "worse" not in str(scores(data).rows)
        assert "as long as native to start (not decided)" in findings(data)[0].text

    def test_arms_that_are_alike_are_not_all_named(self, store, make_run):
        arms = ("native", "native-a", "native-b", "bare")
        data = RunData.load(store, make_run(arms=arms, blocks=10))
        rows = {row[0]: row[1] for row in scores(data).rows}
        assert rows["sysbench-cpu, events_per_second"] == "all alike"
        assert rows["Startup"] in ("all alike", "native, native-a and 1 more"), "the floor wins nothing"

    def test_arms_that_are_no_match_for_those_that_are_alike(self, store, make_run):
        arms = ("native", "native-a", "native-b", "vm")
        rows = {row[0]: row[1] for row in scores(RunData.load(store, make_run(arms=arms, vm_accel="kvm"))).rows}
        assert rows["sysbench-cpu, events_per_second"] == "native, native-a and 1 more"

    def test_a_change_is_of_the_figure_itself(self, store, make_run):
        rows = {row[0]: row for row in scores(RunData.load(store, make_run(blocks=10))).rows}
        more = rows["redis, latency_p99"][3]
        assert more.startswith("worse +"), "latency grew"
        assert machine_value(more) < 1, "which is sorted as worse"

    def test_software_emulation_never_wins(self, store, make_run):
        table = scores(RunData.load(store, make_run(arms=("vm", "native"), blocks=6)))
        assert {row[1] for row in table.rows} == {"–"}

    def test_without_another_arm_there_is_none(self, store, make_run):
        assert scores(RunData.load(store, make_run(arms=("native",), blocks=1))) is None


class TestTrials:
    def test_every_trial_with_its_log(self, store, make_run, tmp_path):
        data = RunData.load(store, make_run(blocks=1, failures={2: ("broke", LOG), 3: ("broke", None)}))
        (table,) = trials(data, tmp_path / "elsewhere" / "report").tables
        assert len(table.rows) == len(data.trials) == 24
        assert [row[5] for row in table.rows][:4] == ["ok", "failed", "failed", "ok"]
        addresses = [row[-1] for row in table.rows]
        assert [place for place, address in enumerate(addresses) if address] == [1]
        assert (tmp_path / "elsewhere" / "report" / addresses[1]).resolve().read_text() == LOG

    def test_beside_the_store_the_link_is_short(self, store, make_run):
        data = RunData.load(store, make_run(blocks=1, failures={2: ("broke", LOG)}))
        assert log_address(data.directory, data.trials[1], data.directory / "report") == "../trials/2/log"

    def test_no_link_leads_out_of_the_run(self, store, make_run, tmp_path):
        data = RunData.load(store, make_run(blocks=1, failures={2: ("broke", LOG)}))
        (tmp_path / "secret").write_text("secret")
        for log in (str(tmp_path / "secret"), "../../../secret", "trials/9/log", None):
            assert log_address(data.directory, replace(data.trials[1], log=log), data.directory / "report") == ""

    def test_links_are_addresses_and_can_be_left_out(self, report_of):
        page = report_of(blocks=1, failures={2: ("broke", LOG)}).html
        text = page.read_text()
        address, among_all = re.findall(r'<a href="([^"]*)">log</a>', text)  # under Failed trials and under Trials
        assert address == among_all
        assert (page.parent / unquote(address)).resolve().read_text() == LOG

    @pytest.mark.parametrize("path", ["javascript:alert(1)", '"><script>', "a b#c?d", os.fsdecode(b"\xff")])
    def test_no_path_is_more_than_a_path(self, path):
        written = environment().from_string('<a href="{{ path | address }}">').render(path=path)
        address = re.fullmatch(r'<a href="([^"<>:#? ]*)">', written)
        assert address is not None


class TestLatency:
    def test_percentiles_in_their_order_one_value_a_trial(self, store, make_run):
        data = RunData.load(store, make_run(blocks=6))
        found = latencies_of(data.frame)
        assert [one.arm for one in found] == ["native", "container", "vm"]
        assert [list(one.seconds) for one in found] == [["50", "99", "99.9"]] * 3
        assert all(len(values) == 6 for one in found for values in one.seconds.values())
        (axes,) = latency_chart(data.frame, data.arms).axes
        assert axes.get_yscale() == "log"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["p50", "p99", "p99.9"]

    def test_one_percentile_is_no_distribution(self, store, make_run):
        data = RunData.load(store, make_run(blocks=1, omit=("latency_p50", "latency_p999")))
        assert latencies_of(data.frame) == []
        assert latency_chart(data.frame, data.arms) is None


class TestMarks:
    HOSTILE = '</title><script>alert("x")</script>\x00\u202e&'

    def _figure(self):
        figure = new_figure(3, 2)
        (mark,) = figure.add_subplot().plot([1], [1], "o")
        tell(mark, self.HOSTILE, "", "second")
        return figure

    def test_what_a_mark_tells_is_text(self):
        root = ET.fromstring(inline_svg(self._figure(), "x", "y"))
        (title,) = [each for each in root.iter() if each.tag.endswith("}title")]
        assert title.text == self.HOSTILE.replace("\x00", "\ufffd") + "\nsecond"
        assert not [each for each in root.iter() if each.tag.endswith("script")]

    def test_in_a_file_too(self):
        root = ET.fromstring(render(self._figure(), "svg"))
        assert [each.text for each in root.iter() if each.tag.endswith("}title")] != []
        assert not [value for each in root.iter() for name, value in each.attrib.items() if value.startswith("tip:")]

    @pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
    def test_the_same_marks_give_the_same_bytes(self, kind):
        assert render(self._figure(), kind) == render(self._figure(), kind)


class TestFigures:
    def test_a_figure_knows_its_value(self):
        written = quantity(0.00123456, "s")
        assert (written, machine_value(written)) == ("1.23 ms", 0.00123456)
        assert machine_value(quantity(None, "s")) is None
        assert machine_value(Written("∞", float("inf"))) is None
        assert (machine_value("10"), machine_value("nan"), machine_value("ten")) == (10.0, None, None)


class TestPolicy:
    def test_it_names_the_script_as_it_stands_in_the_page(self, report_of):
        text = report_of(blocks=1, failures={2: ("broke", LOG)}).html.read_text()
        (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        (stated,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
        assert f"script-src &#39;sha256-{digest}&#39;" in stated
        assert stated.startswith("default-src &#39;none&#39;")
        assert "unsafe-inline" not in policy(script).partition("style-src")[0]

    def test_the_script_never_makes_markup(self):
        script = Path(HERE / "page.js").read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|fetch|XMLHttp", script)
