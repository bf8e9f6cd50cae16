"""How long instances may take: what a suite says of it, and what it comes to."""

from __future__ import annotations

import re

import pytest

from bench.suite import load_suite
from bench.suite_model import Timeouts
from workloads.errors import InvalidInput

SUITE = """\
name: patient
baseline: one
limits: {cpus: 1, memory: 64M}
timeouts: {start: 30s}
arms:
  one: {runtime: native}
  two: {runtime: native, timeouts: {start: 1500ms, stop: 2m}}
workloads: [null]
"""


@pytest.fixture
def load(tmp_path):
    def load(old="", new=""):
        path = tmp_path / "suite.yaml"
        path.write_text(SUITE.replace(old, new) if old else SUITE)
        return load_suite(str(path))

    return load


def test_an_arm_has_its_own_or_the_suites_or_the_default(load):
    suite = load()
    assert [arm.timeouts for arm in suite.arms] == [Timeouts(30, 60), Timeouts(1.5, 120)]
    assert suite.timeouts == Timeouts(30, 60)
    assert load("timeouts: {start: 30s}\n").arms[0].timeouts == Timeouts(120, 60)


def test_they_are_kept_with_the_run(load, tmp_path):
    suite = load()
    again = tmp_path / "again.yaml"
    again.write_text(suite.as_yaml())
    assert load_suite(str(again)) == suite
    assert "timeouts" not in load("timeouts: {start: 30s}\n").as_yaml().split("arms:")[0]


def test_an_arm_may_go_back_to_the_default(load, tmp_path):
    suite = load("stop: 2m", "stop: 1m")
    again = tmp_path / "again.yaml"
    again.write_text(suite.as_yaml())
    assert load_suite(str(again)) == suite


def test_they_do_not_change_what_is_measured(load):
    assert load().hash == load("start: 30s", "stop: 7s").hash == load(", timeouts: {start: 1500ms, stop: 2m}").hash


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("start: 30s", "start: 0s", "suite.yaml:4:19: timeouts.start: expected more than no time"),
        ("start: 30s", "strat: 30s", "suite.yaml:4:12: timeouts.strat: unknown key"),
        ("start: 1500ms", "start: soon", "suite.yaml:7:44: arms.two.timeouts.start: expected a duration"),
    ],
)
def test_mistakes(load, old, new, said):
    with pytest.raises(InvalidInput, match=re.escape(said)):
        load(old, new)


def test_a_trial_that_takes_longer_has_failed_and_the_run_goes_on(suite_run):
    suite_run.with_suite("""
name: small
baseline: one
limits: {cpus: 1, memory: 64M}
timeouts: {start: 100ms}
arms:
  one: {runtime: fake, timeouts: {start: 1m}}
  two: {runtime: fake, mute: true}
workloads: [./echo.yaml]
sampling: {blocks: 2, seed: 1}
""")
    assert suite_run.execute().failed == 2
    assert suite_run.record().status == "complete"
    errors = {trial.arm: trial.error for trial in suite_run.trials()}
    assert errors == {"one": None, "two": "the fake did not get ready: no READY from the agent within 0.1 s"}
