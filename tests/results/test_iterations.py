from __future__ import annotations

import json

from stored_runs import RunBuilder

from results.iterations import iterations_of, to_json
from results.records import Sample
from results.report.build import build_document
from results.report.data import RunData
from results.stats.steady_state import SteadyState
from results.terminal.show import show_json

WARMING = [15.0, *[10.0, 10.1, 9.9, 10.0, 10.05] * 3]
STEADY = [10.0, 10.1, 9.9, 10.0, 10.05] * 3


def test_every_trial_of_an_arm_is_labelled(run: RunBuilder) -> None:
    run.trial(0, "vm", accel="tcg", time=WARMING).trial(0, "native", time=STEADY)
    run.trial(1, "native", time=WARMING).trial(1, "vm", time=WARMING).trial(2, "native", time=[1.0, 2.0])
    native, vm = iterations_of(run.frame)
    assert (native.workload, native.metric, native.arm, native.iterations) == ("work", "time", "native", 16)
    assert native.trials == (
        (2, SteadyState("steady", 0)),
        (3, SteadyState("warming", 1)),
        (5, SteadyState("too few iterations", None)),
    )
    assert native.counts == {"steady": 1, "warming": 1, "too few iterations": 1}
    assert native.begins == 0.5
    assert (vm.arm, vm.emulated, vm.begins) == ("vm", True, 1)


def test_a_run_with_one_iteration_a_trial_has_nothing_to_label(run: RunBuilder) -> None:
    run.blocks("native", [1.0] * 10)
    assert iterations_of(run.frame) == []
    assert show_json(run.store, run.record)["iterations"] == []


def test_an_empty_run_has_none(run: RunBuilder) -> None:
    assert iterations_of(run.frame) == []


def test_metrics_that_are_taken_once_or_have_no_direction_are_left_out(run: RunBuilder) -> None:
    neutral = [Sample("cpus_used", value, "CPUs", "neutral", number) for number, value in enumerate(WARMING)]
    run.trial(0, "native", *neutral, time=WARMING, startup_time=1.0)
    assert [one.metric for one in iterations_of(run.frame)] == ["time"]


def test_order_is_that_of_the_iterations_and_not_of_the_rows(run: RunBuilder) -> None:
    samples = [Sample("time", value, "s", "lower", number) for number, value in enumerate(WARMING)]
    run.trial(0, "native", *samples[::-1])
    assert iterations_of(run.frame)[0].trials[0][1] == SteadyState("warming", 1)


def test_the_labels_as_plain_data(run: RunBuilder) -> None:
    run.trial(0, "native", time=WARMING)
    (row,) = json.loads(json.dumps(to_json(iterations_of(run.frame))))
    assert row == {
        "workload": "work",
        "params": "",
        "metric": "time",
        "arm": "native",
        "iterations": 16,
        "begins": 1,
        "trials": [{"trial": 1, "label": "warming", "begins": 1}],
    }
    assert show_json(run.store, run.record)["iterations"] == [row]


def test_the_report_has_a_section_for_them_where_there_are_some(run: RunBuilder) -> None:
    run.trial(0, "native", time=WARMING).trial(0, "vm", time=STEADY)
    document = build_document(RunData.load(run.store, run.record), frozenset(), run.store.directory)
    (section,) = (section for section in document.sections if section.name == "iterations")
    (table,) = section.tables
    assert list(table.columns) == [
        "Workload", "Metric", "Arm", "Iterations", "Steady", "Warming", "Steady from iteration",
    ]  # fmt: skip
    assert table.rows == (("work", "time", "native", "16", "0", "1", "2"), ("work", "time", "vm", "15", "1", "0", "1"))


def test_the_report_has_none_without(run: RunBuilder) -> None:
    run.trial(0, "native", time=1.0)
    document = build_document(RunData.load(run.store, run.record), frozenset(), run.store.directory)
    assert "iterations" not in {section.name for section in document.sections}
