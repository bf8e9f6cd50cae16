"""A night over a store with a history: the real steps, with a run that is made up and a host that is quiet."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from contextlib import ExitStack
from functools import partial

import pytest
from site_history import STEP, add_night, without_waiting_for_the_disk

from bench.finding import Check
from bench.nightly.gate import examine_apart
from bench.nightly.line import read_line
from bench.nightly.lock import night_lock
from bench.nightly.night import carry_out
from bench.nightly.steps import Steps, Wishes
from bench.runner import RunResult
from bench.suite import load_suite
from results.history.policy import WATCH_ALL
from results.history.regress import regress
from results.records import Baseline
from results.retention import parse_keep
from results.store import Store

SUITE = """
name: nightly
baseline: native
limits: {cpus: 1, memory: 64M}
arms: {native: {runtime: native}, container: {runtime: container}}
workloads: [null]
"""


class Night:
    """Carries out nights over one store. Tonight's run is made up, and `findings` are the doctor's."""

    def __init__(self, directory):
        self.store = directory / "store"
        self.suite_file = directory / "suite.yaml"
        self.suite_file.write_text(SUITE)
        self.findings = []

    def fill(self, nights):
        with Store(self.store).open(create=True) as store:
            without_waiting_for_the_disk(store)
            for night in range(nights):
                add_night(store, night)

    def measure(self, **result):
        """Tonight: the next night of the history."""
        with Store(self.store).open(create=True) as store:
            return RunResult(add_night(store, len(store.runs())), **result)

    def judge(self, run):
        with Store(self.store).open(create=False) as store:
            return regress(store, store.resolve(run), WATCH_ALL)

    def carry_out(self, measure=None, **wishes):
        asked = {"site": None, "keep": None, "strict": False, "allow_noisy": False, **wishes}
        suite = load_suite(str(self.suite_file))
        with ExitStack() as held:
            steps = Steps(Wishes(suite, self.store, **asked), measure or self.measure, self.judge, held)
            return carry_out(steps.in_order())


@pytest.fixture
def night(tmp_path, monkeypatch):
    made = Night(tmp_path)
    monkeypatch.setattr("bench.nightly.steps.examine_apart", lambda: made.findings)
    return made


def test_a_quiet_night(night):
    night.fill(12)
    found = night.carry_out()
    assert (found.status, found.exit_code) == ("ok", 0), found.reasons
    assert found.facts["trials"] == 12
    assert (found.facts["failed"], found.facts["regressions"]) == (0, 0)
    report = found.facts["report"]
    assert "rate" in report.read_text()
    assert json.loads((report.parent / "regress.json").read_text())
    assert ET.parse(report.parent / "regress.xml").getroot().tag == "testsuites"
    assert (report.parent / "regress.md").read_text().startswith("### ")


def test_a_regression_is_told_and_everything_else_is_done(night, tmp_path):
    night.fill(STEP + 6)
    found = night.carry_out(site=tmp_path / "site", keep=parse_keep("5"))
    assert (found.status, found.exit_code) == ("regression", 3)
    assert found.facts["regressions"] == 1
    assert found.facts["removed"] == STEP + 2
    assert len(list((tmp_path / "site" / "runs").iterdir())) == 5
    assert found.facts["run"] in found.facts["site"].read_text()
    line = read_line(found.line("nightly"))
    assert (line["status"], line["exit"]) == ("regression", "3")
    assert "1 worse" in line["reason"]


def test_inconclusive_only_where_asked_for(night):
    night.fill(2)
    assert night.carry_out().exit_code == 0
    found = night.carry_out(strict=True)
    assert (found.status, found.exit_code) == ("inconclusive", 4)


def test_a_busy_host_is_left_alone(night):
    night.findings = [Check("load", "warning", "7.1 in the last minute", "stop what else runs")]
    refused = night.carry_out()
    assert (refused.status, refused.exit_code) == ("refused", 2)
    assert "7.1 in the last minute" in refused.reasons["gate"]
    assert [path.name for path in night.store.iterdir()] == ["nightly.lock"]
    assert night.carry_out(allow_noisy=True).exit_code == 0


def test_a_second_night_is_refused(night):
    with night_lock(night.store, "another"):
        refused = night.carry_out()
    assert refused.exit_code == 2
    assert "suite another" in refused.reasons["lock"]
    assert night.carry_out().exit_code == 0


def test_failed_trials_are_told_and_the_rest_compared(night):
    found = night.carry_out(partial(night.measure, failed=3))
    assert (found.status, found.exit_code) == ("failed", 1)
    assert "3 trials failed" in found.reasons["run"]
    assert found.facts["report"].is_file()


def test_a_run_without_a_figure_is_not_compared(night, tmp_path):
    found = night.carry_out(partial(night.measure, failed=12), site=tmp_path / "site")
    assert found.exit_code == 1
    assert {"report", "regressions"}.isdisjoint(found.facts)
    assert found.facts["site"].is_file()


def test_an_interrupted_run_is_kept_and_nothing_more_is_done(night, tmp_path):
    found = night.carry_out(partial(night.measure, interrupted=True), site=tmp_path / "site")
    assert (found.status, found.exit_code) == ("interrupted", 130)
    assert found.facts["run"]
    assert not (tmp_path / "site").exists()


def test_retention_spares_baselines_and_other_suites(night):
    night.fill(6)
    with Store(night.store).open(create=True) as store:
        oldest = min(store.runs(), key=lambda run: run.started).id
        store.set_baseline(Baseline("release", oldest, "2026-11-01T00:00:00+00:00", ""))
        other = add_night(store, 40, suite="other", started="2020-01-01T00:00:00+00:00")
    found = night.carry_out(keep=parse_keep("2"))
    assert (found.exit_code, found.facts["removed"]) == (0, 4)
    with Store(night.store).open(create=False) as store:
        left = {run.id for run in store.runs()}
    assert {oldest, other, found.facts["run"]} < left
    assert len(left) == 4


def test_a_site_that_cannot_be_written_does_not_undo_the_night(night, tmp_path):
    (tmp_path / "file").write_text("")
    found = night.carry_out(site=tmp_path / "file" / "site")
    assert (found.status, list(found.reasons)) == ("failed", ["site"])
    assert found.facts["report"].is_file()


def test_a_host_that_could_not_be_examined_is_not_measured_on(night, monkeypatch):
    monkeypatch.setattr("bench.nightly.steps.examine_apart", examine_apart)
    died = subprocess.CompletedProcess([], -9, stdout="", stderr="")
    monkeypatch.setattr("bench.nightly.gate.subprocess.run", lambda *_, **__: died)
    found = night.carry_out()
    assert (found.status, found.exit_code, list(found.reasons)) == ("refused", 2, ["gate"])
    assert "exit status -9" in found.reasons["gate"]
    assert "run" not in found.facts
