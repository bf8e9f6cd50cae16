from __future__ import annotations

import json

import pytest
from stored_runs import RunBuilder

from results.records import Sample
from results.summary import describe, to_json


def test_figures_are_over_trials_each_the_median_of_its_iterations(run: RunBuilder) -> None:
    for block, value in enumerate([4.0, 1.0, 2.0, 3.0, 50.0]):
        run.trial(block, "vm", time=[value, value, 1000.0], accel="kvm")
    (summary,) = describe(run.frame)
    assert (summary.arm, summary.runtime, summary.accel, summary.n) == ("vm", "vm", "kvm", 5)
    assert (summary.minimum, summary.median, summary.maximum) == (1, 3, 50)
    assert (summary.quartile_low, summary.quartile_high) == (2, 4)


def test_one_trial_is_its_own_summary(run: RunBuilder) -> None:
    run.trial(0, "vm", time=2.5)
    (summary,) = describe(run.frame)
    figures = (summary.minimum, summary.quartile_low, summary.median, summary.quartile_high, summary.maximum)
    assert figures == (2.5,) * 5


def test_one_emulated_trial_marks_the_arm(run: RunBuilder) -> None:
    run.trial(0, "vm", time=1.0, accel="kvm").trial(1, "vm", time=1.0, accel="tcg").trial(
        2, "vm", time=1.0, accel="kvm"
    )
    (summary,) = describe(run.frame)
    assert summary.accel == "tcg"


def test_summaries_come_by_case_metric_and_arm_of_the_suite(run: RunBuilder) -> None:
    run.trial(0, "vm", startup=1.0, iops=1.0).trial(0, "native", startup=1.0).trial(0, "vm", iops=1.0, workload="other")
    assert [(one.workload, one.metric, one.arm) for one in describe(run.frame)] == [
        ("work", "startup", "native"),
        ("work", "startup", "vm"),
        ("work", "iops", "vm"),
        ("other", "iops", "vm"),
    ]


def test_json_holds_the_run_its_failures_and_its_figures(run: RunBuilder) -> None:
    run.trial(0, "vm", Sample("iops", 5.0, "1/s", "higher", primary=True)).trial(0, "native", status="failed")
    trials = run.store.trials(run.record.id)
    shown = json.loads(json.dumps(to_json(run.store.resolve("latest"), trials, describe(run.frame)), allow_nan=False))
    assert (shown["run"]["id"], shown["run"]["status"], shown["trials"]) == (run.record.id, "running", 2)
    assert [(trial["arm"], trial["error"]) for trial in shown["failed"]] == [("native", "exited with status 1")]
    assert [(one["metric"], one["median"], one["primary"]) for one in shown["summaries"]] == [("iops", 5.0, True)]


def test_an_empty_run_has_no_summary(run: RunBuilder) -> None:
    run.trial(0, "vm", status="failed")
    assert describe(run.frame) == []


def test_quartiles_interpolate(run: RunBuilder) -> None:
    run.blocks("vm", [1.0, 2.0, 3.0, 4.0])
    (summary,) = describe(run.frame)
    assert (summary.quartile_low, summary.quartile_high) == pytest.approx((1.75, 3.25))
