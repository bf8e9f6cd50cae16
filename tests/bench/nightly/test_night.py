"""The order of a night, with made-up steps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import RunError
from bench.finding import Check
from bench.nightly.gate import examine_apart, obstacles
from bench.nightly.line import format_line, read_line
from bench.nightly.lock import night_lock
from bench.nightly.night import FACTS, Outcome, Step, carry_out
from bench.suite import load_suite
from results.errors import StoreError
from runtimes.base import HostError


class Recorder:
    """Makes steps, and notes which were carried out."""

    def __init__(self):
        self.done = []

    def step(self, name, outcome=None, **options):
        def do():
            self.done.append(name)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome or Outcome()

        return Step(name, do, **options)


@pytest.fixture
def recorder():
    return Recorder()


RUN = Outcome(facts={"run": "r1", "trials": 4, "failed": 0}, has_run=True)


def test_a_good_night(recorder):
    night = carry_out([recorder.step("run", RUN), recorder.step("report", needs_run=True), recorder.step("site")])
    assert recorder.done == ["run", "report", "site"]
    assert (night.status, night.exit_code, night.reasons) == ("ok", 0, {})
    assert night.facts["run"] == "r1"


def test_a_step_that_fails_does_not_keep_the_later_ones_from_their_work(recorder):
    night = carry_out(
        [
            recorder.step("run", RUN),
            recorder.step("report", StoreError("the disk is full"), needs_run=True),
            recorder.step("site"),
        ]
    )
    assert recorder.done == ["run", "report", "site"]
    assert (night.exit_code, night.reasons) == (1, {"report": "the disk is full"})


def test_without_a_run_there_is_nothing_to_compare(recorder):
    night = carry_out(
        [
            recorder.step("run", RunError("the launcher died"), starts_nothing=True),
            recorder.step("regress", needs_run=True),
            recorder.step("site"),
        ]
    )
    assert recorder.done == ["run", "site"]
    assert night.exit_code == 1


@pytest.mark.parametrize("refusal", [Outcome("refused", "load: 7.1"), HostError("no cgroups")])
def test_a_refusal_ends_the_night(recorder, refusal):
    night = carry_out(
        [recorder.step("gate", refusal, starts_nothing=True), recorder.step("run"), recorder.step("site")]
    )
    assert recorder.done == ["gate"]
    assert (night.status, night.exit_code) == ("refused", 2)


@pytest.mark.parametrize("stop", [Outcome("interrupted", "kept", has_run=True), KeyboardInterrupt("SIGTERM")])
def test_an_interruption_ends_the_night(recorder, stop):
    night = carry_out([recorder.step("run", stop), recorder.step("report", needs_run=True), recorder.step("site")])
    assert recorder.done == ["run"]
    assert night.exit_code == 130


def test_a_regression_is_not_hidden_by_lesser_failures(recorder):
    night = carry_out(
        [
            recorder.step("run", Outcome("failed", "1 trials failed", has_run=True)),
            recorder.step("regress", Outcome("regression", "iops"), needs_run=True),
            recorder.step("site", StoreError("full")),
        ]
    )
    assert night.exit_code == 3
    assert list(night.reasons) == ["run", "regress", "site"]


def test_defects_are_not_disguised(recorder):
    with pytest.raises(ZeroDivisionError):
        carry_out([recorder.step("run", ZeroDivisionError())])


def test_the_line_has_the_same_keys_whatever_happened(recorder):
    good = carry_out([recorder.step("run", RUN)])
    bad = carry_out([recorder.step("gate", Outcome("refused", 'a "b" = c\nd'))])
    lines = [read_line(night.line("my suite")) for night in (good, bad)]
    assert list(lines[0]) == list(lines[1]) == ["suite", "status", "exit", *FACTS, "seconds", "reason"]
    assert lines[0]["suite"] == "my suite"
    assert (lines[0]["run"], lines[0]["failed"], lines[0]["site"]) == ("r1", "0", "")
    assert lines[1]["reason"] == 'gate: a "b" = c\nd'


def test_it_is_one_line_that_comes_back():
    fields = {"a": "", "b": "two words", "c": "x=y", "d": 'q"\\', "e": None, "f": 3, "g": "a\nb"}
    line = format_line(fields)
    assert "\n" not in line
    assert read_line(line) == {key: "" if value is None else str(value) for key, value in fields.items()}
    with pytest.raises(ValueError, match="not a line"):
        read_line("bench-nightly: a=b c")


def test_a_second_night_is_told_who_has_the_store(tmp_path):
    with (
        night_lock(tmp_path / "store", "quick"),
        pytest.raises(StoreError, match=rf"process {os.getpid()} with suite quick, since 20.*wait"),
        night_lock(tmp_path / "store", "other"),
    ):
        pass
    with night_lock(tmp_path / "store", "quick"), night_lock(tmp_path / "another", "quick"):
        pass


def test_a_night_that_was_killed_leaves_no_lock(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from bench.nightly.lock import night_lock\n"
        "with night_lock(Path(sys.argv[1]), 'long-suite-name' * 9): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False).returncode == -9
    with night_lock(tmp_path, "quick"), pytest.raises(StoreError, match="suite quick,"), night_lock(tmp_path, "b"):
        pass


def test_a_store_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--store"), night_lock(tmp_path / "file" / "store", "quick"):
        pass


LOAD = Check("load", "warning", "7.1 in the last minute", "stop what else runs")
STEAL = Check("stolen time", "warning", "a hypervisor has given 4.0% to others", "use another host")
SWAP = Check("swap", "warning", "2 GiB", "bench tune swap")
NO_CGROUPS = Check("cgroups", "missing", "no hierarchy is mounted", "mount it")
NO_QEMU = Check("qemu-system-x86_64", "missing", "not installed", "apt-get install qemu-system-x86")


@pytest.fixture
def suite_of(tmp_path):
    def suite(runtime):
        text = (
            "name: small\nbaseline: native\nlimits: {cpus: 1, memory: 64M}\n"
            f"arms: {{native: {{runtime: native}}, other: {{runtime: {runtime}}}}}\nworkloads: [null]\n"
        )
        path = Path(tmp_path / "suite.yaml")
        path.write_text(text)
        return load_suite(str(path))

    return suite


def test_others_at_work_are_a_gate_and_standing_noise_is_not(suite_of):
    suite = suite_of("container")
    assert obstacles([LOAD, SWAP], suite, allow_noisy=False) == ["load: 7.1 in the last minute (stop what else runs)"]
    assert len(obstacles([STEAL], suite, allow_noisy=False)) == 1
    assert obstacles([LOAD, STEAL, SWAP], suite, allow_noisy=True) == []


def test_what_the_run_would_fail_by_is_a_gate_whatever_is_allowed(suite_of):
    assert len(obstacles([NO_CGROUPS], suite_of("container"), allow_noisy=True)) == 1
    assert obstacles([NO_QEMU], suite_of("container"), allow_noisy=True) == []
    assert len(obstacles([NO_QEMU], suite_of("vm"), allow_noisy=True)) == 1


def test_a_doctor_who_hangs_is_no_night_that_hangs(monkeypatch):
    monkeypatch.setattr("bench.nightly.gate._PATIENCE", 0.01)
    with pytest.raises(HostError, match=r"has not examined this host within 0\.01 s"):
        examine_apart()


def test_the_gates_are_findings_that_the_doctor_makes():
    """A check that is renamed would silently stop being a gate."""
    from bench.doctor import _PROGRAMS
    from bench.doctor_noise import _JUDGES
    from bench.nightly.gate import NEEDED, NEEDED_BY_GUESTS, QUIET

    assert set(_JUDGES) >= QUIET
    source = Path(sys.modules["bench.doctor"].__file__).read_text()
    for name in NEEDED | NEEDED_BY_GUESTS:
        assert name in _PROGRAMS or f'"{name}"' in source, name
