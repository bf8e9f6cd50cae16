"""The benchmark of the store: that its nights are what a Store would have written, and what its figures look like."""

from __future__ import annotations

import json
import subprocess
import sys

import history
import nights

from results.records import Sample, TrialRecord
from results.store import Store


def test_a_made_night_is_what_the_store_would_have_written(tmp_path):
    nights.make(tmp_path / "made", 2)
    with Store(tmp_path / "made").open(create=False) as made, Store(tmp_path / "own").open(create=True) as own:
        assert [run.id for run in made.runs()] == [nights.night(1).id, nights.night(0).id]
        assert len(made.frame(nights.night(0).id)) == nights.SAMPLES_A_RUN
        for run in reversed(made.runs()):
            whole = made.whole_run(run.id)
            own.add_run(run)
            for each in whole.trials:
                assert isinstance(each.trial, TrialRecord)
                assert all(isinstance(sample, Sample) for sample in each.samples)
                own.add_trial(each.trial, each.samples)
            for block in range(nights.BLOCKS + 1):
                own.add_noise(run.id, nights.reading(block))
            own.finish_run(run.id, run.status, run.ended, run.stop_reason)
            assert own.whole_run(run.id) == whole


def test_figures_of_a_small_store():
    # As a process of its own: what it starts would count this one's memory as theirs.
    command = [sys.executable, history.__file__, "--json", "--rounds", "1", "--samples", "10000", "--seed", "1"]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    assert (found["samples"], found["runs"], found["rounds"], found["seed"]) == (10_000, 20, 1, 1)
    assert list(found["scaling"]) == ["10000"]
    assert all(0.02 < found[f"{verb}_s"] < 60 for verb in history.VERBS)
    assert found["help_cpu_s"] < found["compare_cpu_s"] < 2 * found["compare_s"]
    assert 10 < found["help_mib"] < found["peak_mib"] < 1000
    assert set(found["goals"]) == set(history.GOALS)


def test_goals_are_those_of_the_largest_store():
    outcomes = {
        (verb, size): [history.Outcome(seconds * size, seconds, 100 * size)]
        for verb, seconds in zip(history.VERBS, (0.5, 0.3, 2.6, 0.1, 0.01), strict=True)
        for size in (1, 2)
    }
    found = history._figures(outcomes, (1, 2))
    assert (found["compare_s"], found["peak_mib"], found["growth_regress"]) == (1.0, 200, 2.0)
    met = {name: goal["met"] for name, goal in found["goals"].items()}
    assert (met["compare_s"], met["report_s"], met["peak_mib"], met["growth_report"]) == (True, False, True, True)
    assert "report_s                5.00       5.200   missed" in history.table(found | {"rounds": 1, "seed": 1})
