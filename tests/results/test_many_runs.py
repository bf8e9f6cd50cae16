"""What is read of many runs at once is what each run's own frame has."""

from __future__ import annotations

from stored_runs import RunBuilder, run_record
from whole_runs import RUNS, fill

from results.history.series import Wanted, series_of
from results.store import Store


def test_series_are_medians_of_medians_of_each_run(store: Store) -> None:
    fill(store, *RUNS)
    made = RunBuilder(store, run_record(id="20261126-114700-cccc", started="2026-11-26T11:47:00+00:00"))
    # The same parameters in another order, in a run of one arm, whose last trial failed.
    params = {"share": 0.25, "iodepth": 16, "direct": True, "size": "4k"}
    made.trial(0, "vm", params=params, time=[3.0, 5.0]).trial(1, "vm", params=params, status="failed", time=99.0)
    runs = list(reversed(store.runs()))
    found = {(series.key.arm, series.key.metric): series for series in series_of(store, runs, Wanted(parts=True))}
    assert set(found) == {(arm, metric) for arm in ("native", "container", "vm") for metric in ("operations", "time")}
    for (arm, metric), series in found.items():
        assert (series.key.workload, series.key.params) == ("work", "direct=true,iodepth=16,share=0.25,size=4k")
        expected = []
        for run in runs:
            frame = store.frame(run.id)
            trials = frame[(frame["arm"] == arm) & (frame["metric"] == metric)].groupby("trial")["value"].median()
            if len(trials):
                expected.append((run.id, trials.median(), sorted(trials)))
        assert [
            (run.id, value, trials.tolist())
            for run, value, trials in zip(series.runs, series.values, series.trials, strict=True)
        ] == expected
    assert [len(found[arm, "time"].runs) for arm in ("native", "container", "vm")] == [2, 2, 3]


def test_no_runs_have_no_series(store: Store) -> None:
    fill(store, RUNS[0])
    assert series_of(store, []) == []
    assert store.case_trials(["absent"]) == []
    assert store.samples([]).value.size == 0
