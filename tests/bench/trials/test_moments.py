"""Memory that is read while idle, under load and afterwards."""

from __future__ import annotations

import re
import time

import pytest
from fake import FakeInstance

HOLDS = """
name: echo
description: Says when it is under load, and stays so for a while.
run: {shell: "echo holding; sleep SECONDS; echo score: 42"}
memory: {loaded: 'WORD', settle: 10ms}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""
WHOLES = {"memory_footprint", "memory_loaded", "memory_after"}


def carry_out(suite_run, seconds=0.3, word="hold"):
    suite_run.with_workload(HOLDS.replace("SECONDS", str(seconds)).replace("WORD", word)).execute()
    return {trial.error for trial in suite_run.trials()}


def test_there_are_three_readings_and_a_peak_that_was_sampled(suite_run):
    assert carry_out(suite_run) == {None}
    frame = suite_run.frame()
    assert set(frame["metric"]) >= {*WHOLES, "memory_peak.unreclaimable", "score"}
    of_one = frame[frame["trial"] == 1]
    assert of_one["metric"].is_unique
    peak = of_one.set_index("metric")["value"]["memory_peak.unreclaimable"]
    assert peak > 0
    readings = {trial.facts["memory_sampling"] for trial in suite_run.trials()}
    assert all(text.endswith("one in 50 ms") and int(text.split()[0]) >= 6 for text in readings)


def test_a_command_repeated_in_one_instance_is_looked_at_once(suite_run):
    suite_run.suite_text = suite_run.suite_text.replace("[./echo.yaml]", "[{workload: ./echo.yaml, iterations: 2}]")
    assert carry_out(suite_run) == {None}
    frame = suite_run.frame()
    assert len(frame[(frame["trial"] == 1) & (frame["metric"] == "memory_loaded")]) == 1


@pytest.mark.parametrize(
    ("seconds", "word", "complaint"),
    [(0, "score", "memory could not be read under load: .* ended"), (0, "never", "never printed 'never'")],
)
def test_a_command_that_is_not_under_load_any_more_fails(suite_run, seconds, word, complaint, monkeypatch):
    read = FakeInstance.memory

    def read_slowly(instance):
        time.sleep(0.3)
        return read(instance)

    monkeypatch.setattr(FakeInstance, "memory", read_slowly)
    (error,) = carry_out(suite_run, seconds, word)
    assert re.search(complaint, error)


def test_workloads_that_are_not_about_memory_have_the_idle_footprint_alone(suite_run):
    suite_run.execute()
    assert set(suite_run.frame()["metric"]) & WHOLES == {"memory_footprint"}
