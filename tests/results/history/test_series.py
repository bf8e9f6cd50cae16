from __future__ import annotations

from dataclasses import replace
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightly_runs import add_nights, noisy
from stored_runs import RunBuilder, run_record

from results.history.samples import medians
from results.history.series import Wanted, alike, series_of
from results.records import Sample
from results.selection import Selection
from results.store import Store

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(-1e6, 1e6)), max_size=40)


@given(ROWS)
def test_medians_are_those_of_the_standard_library(rows: list[tuple[int, int, float]]) -> None:
    groups: dict[tuple[int, int], list[float]] = {}
    for first, second, value in rows:
        groups.setdefault((first, second), []).append(value)
    columns = np.array(rows, dtype=np.float64).reshape(-1, 3)
    found = medians(columns[:, 2], columns[:, 0].astype(int), columns[:, 1].astype(int))
    assert list(zip(*(key.tolist() for key in found.keys), strict=True)) == sorted(groups)
    assert found.values.tolist() == pytest.approx([median(groups[key]) for key in sorted(groups)])


def test_a_series_has_a_point_a_run_which_is_the_median_of_its_trials(store: Store) -> None:
    levels = {"native": noisy(1.0, 5), "container": noisy(2.0, 5, seed=2)}
    runs = add_nights(store, levels)
    found = series_of(store, alike(store.runs(), store.resolve(runs[-1].id)))
    assert [series.key.arm for series in found] == ["native", "container"]
    for series in found:
        assert [run.id for run in series.runs] == [run.id for run in runs]
        assert series.values.tolist() == pytest.approx(levels[series.key.arm])
        assert [trials.size for trials in series.trials] == [4] * 5


def test_a_trial_counts_once_however_many_iterations_it_has(run: RunBuilder) -> None:
    run.trial(1, "native", time=[1.0, 2.0, 9.0]).trial(2, "native", time=4.0).trial(3, "native", time=5.0)
    (series,) = series_of(run.store, [run.record])
    assert series.trials[0].tolist() == [2.0, 4.0, 5.0]
    assert series.values.tolist() == [4.0]


def test_the_order_in_which_parameters_were_written_makes_no_other_case(run: RunBuilder) -> None:
    run.trial(1, "native", time=1.0, params={"a": 1, "b": 2}).trial(2, "native", time=3.0, params={"b": 2, "a": 1})
    (series,) = series_of(run.store, [run.record])
    assert series.key.params == "a=1,b=2"
    assert series.values.tolist() == [2.0]


@pytest.mark.parametrize("differs", ["suite", "suite_hash", "image", "host_fingerprint", "status"])
def test_what_is_not_alike_is_not_joined(differs: str) -> None:
    newest = run_record(id="20260103-000000-0000", started="2026-01-03T00:00:00Z", status="complete")
    before = replace(newest, id="20260102-000000-0000", started="2026-01-02T00:00:00Z")
    other = replace(before, id="20260101-000000-0000", started="2026-01-01T00:00:00Z", **{differs: "partial"})
    assert alike([newest, before, other], newest) == [before, newest]
    joined = alike([newest, before, other], newest, ["suite_hash", "image", "host_fingerprint"])
    assert (joined == [other, before, newest]) == (differs not in {"suite", "status"})


def test_runs_after_the_last_one_are_not_looked_at(store: Store) -> None:
    runs = add_nights(store, {"native": noisy(1.0, 4)})
    assert [run.id for run in alike(store.runs(), store.resolve(runs[1].id))] == [runs[0].id, runs[1].id]


def test_emulated_and_executed_guests_are_two_series(store: Store) -> None:
    run = RunBuilder(store, run_record())
    run.trial(1, "vm", time=1.0, accel="kvm").trial(2, "vm", time=50.0, accel="tcg")
    assert {series.key.accel: series.values.tolist() for series in series_of(store, [run.record])} == {
        "kvm": [1.0],
        "tcg": [50.0],
    }


def test_parts_and_repeats_are_there_where_they_are_asked_for(run: RunBuilder) -> None:
    run.trial(1, "native", startup_time=1.0, workload="null", **{"startup.exec": 0.5})
    run.trial(1, "native", Sample("iops", 9.0, "iops", "higher", primary=True), startup_time=1.1, workload="fio")
    run.trial(1, "native", Sample("claim", 1.0, "check", "higher"), workload="probe")

    def metrics(wanted: Wanted) -> list[tuple[str, str]]:
        return [(series.key.workload, series.key.metric) for series in series_of(run.store, [run.record], wanted)]

    assert metrics(Wanted()) == [("null", "startup_time"), ("fio", "iops")]
    assert ("null", "startup.exec") in metrics(Wanted(parts=True))
    assert ("fio", "startup_time") in metrics(Wanted(parts=True))
    assert metrics(Wanted(Selection(metrics=("startup.*",)))) == [("null", "startup.exec")]
    assert metrics(Wanted(Selection(workloads=("fio",)))) == [("fio", "iops")]
