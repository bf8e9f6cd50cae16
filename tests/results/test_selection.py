from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_runs import RunBuilder

from results.compare import Comparison, compare
from results.errors import SelectionError
from results.selection import (
    COMPARISON_ORDERS,
    SUMMARY_ORDERS,
    Selection,
    nearest,
    shown_of,
    sorted_comparisons,
    sorted_summaries,
    spread,
)
from results.summary import describe

VERDICTS = ("same", "better", "worse", "inconclusive")


def comparison(**changes: Any) -> Comparison:
    plain = Comparison(
        workload="fio",
        params="bs=4k,rw=read",
        metric="iops",
        unit="iops",
        better="higher",
        arm="vm",
        baseline="native",
        n=10,
        ratio=1.0,
        ci_low=0.9,
        ci_high=1.1,
        p_value=1.0,
        verdict="same",
        warnings=(),
        median=1.0,
        baseline_median=1.0,
        accel="kvm",
        primary=True,
    )
    return replace(plain, **changes)


NAMES = st.sampled_from(["a", "ab", "b", "b2", "b10", "c"])
ROWS = st.lists(
    st.builds(
        comparison,
        workload=NAMES,
        params=st.sampled_from(["", "n=2", "n=16"]),
        metric=NAMES,
        arm=NAMES,
        ratio=st.none() | st.floats(1e-6, 1e6),
        verdict=st.sampled_from(VERDICTS),
    ),
    max_size=12,
)
PATTERNS = st.lists(st.sampled_from(["a", "a*", "?", "b[0-9]*", "[!a]*", "nothing"]), max_size=2).map(tuple)


@given(ROWS, st.sampled_from(COMPARISON_ORDERS))
def test_sorting_shows_every_row_once_and_again_the_same(rows: list[Comparison], order: str) -> None:
    ordered = sorted_comparisons(rows, order)
    assert sorted(map(id, ordered)) == sorted(map(id, rows))
    assert list(map(id, sorted_comparisons(ordered, order))) == list(map(id, ordered))


@given(ROWS)
def test_ratios_fall_and_effects_shrink_and_what_has_none_is_last(rows: list[Comparison]) -> None:
    ratios = [row.ratio for row in sorted_comparisons(rows, "ratio")]
    told = [ratio for ratio in ratios if ratio is not None]
    assert ratios == sorted(told, reverse=True) + [None] * (len(rows) - len(told))
    effects = [row.ratio and abs(math.log(row.ratio)) for row in sorted_comparisons(rows, "effect")]
    told = [effect for effect in effects if effect is not None]
    assert effects == sorted(told, reverse=True) + [None] * (len(rows) - len(told))


@given(ROWS)
def test_verdicts_come_in_blocks_with_the_bad_news_first(rows: list[Comparison]) -> None:
    places = [
        ("worse", "better", "inconclusive", "same").index(row.verdict) for row in sorted_comparisons(rows, "verdict")
    ]
    assert places == sorted(places)


def test_names_are_sorted_as_people_do_and_arms_as_they_came() -> None:
    rows = [comparison(params=f"iodepth={depth}", arm=arm) for depth in (16, 2) for arm in ("vm", "container")]
    assert [row.params for row in sorted_comparisons(rows, "workload")] == ["iodepth=2"] * 2 + ["iodepth=16"] * 2
    assert [row.arm for row in sorted_comparisons(rows, "arm")] == ["vm", "vm", "container", "container"]


@given(ROWS, PATTERNS, PATTERNS, PATTERNS)
def test_a_selection_keeps_exactly_what_matches_one_of_each_kind(
    rows: list[Comparison], workloads: tuple[str, ...], metrics: tuple[str, ...], arms: tuple[str, ...]
) -> None:
    selection = Selection(workloads, metrics, arms)
    alone = [
        Selection(workloads=(workload,), metrics=(metric,), arms=(arm,))
        for workload in workloads or ("*",)
        for metric in metrics or ("*",)
        for arm in arms or ("*",)
    ]
    assert selection.of(rows) == [row for row in rows if any(one.keeps(row) for one in alone)]
    assert selection.of(selection.of(rows)) == selection.of(rows)


@given(ROWS, PATTERNS)
def test_a_pattern_that_matches_nothing_is_an_error_and_no_other(
    rows: list[Comparison], metrics: tuple[str, ...]
) -> None:
    selection = Selection(metrics=metrics)
    useless = [pattern for pattern in metrics if not Selection(metrics=(pattern,)).of(rows)]
    if rows and useless:
        with pytest.raises(SelectionError, match="no metric here matches"):
            selection.checked(rows)
    else:
        assert selection.checked(rows) == selection.of(rows)


@pytest.mark.parametrize("pattern", ["fio", "f*", "fio bs=4k rw=read", "fio*rw=read", "*bs=4k*"])
def test_a_workload_is_named_with_or_without_parameters(pattern: str) -> None:
    assert Selection(workloads=(pattern,)).keeps(comparison())
    assert not Selection(workloads=(pattern,)).keeps(comparison(workload="redis", params="bs=8k,rw=read"))


def test_capitals_count() -> None:
    assert not Selection(arms=("VM",)).keeps(comparison())


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(metrics=("iopps",)), "no metric here matches 'iopps'; did you mean 'iops'?"),
        (Selection(workloads=("foi",)), "no workload here matches 'foi'; did you mean 'fio'?"),
        (Selection(arms=("docker",)), "no arm here matches 'docker'; there are vm"),
        (Selection(arms=("vm", "lxc*")), "no arm here matches 'lxc*'; there are vm"),
    ],
)
def test_who_asks_for_what_is_not_there_is_told_what_is(selection: Selection, said: str) -> None:
    with pytest.raises(SelectionError) as error:
        selection.checked([comparison()])
    assert str(error.value) == said


def test_what_exists_but_not_together_is_an_error_too() -> None:
    rows = [comparison(), comparison(workload="redis", metric="requests")]
    with pytest.raises(SelectionError, match="nothing here is of workload redis and metric iops at once"):
        Selection(workloads=("redis",), metrics=("iops",)).checked(rows)


def test_many_names_are_not_all_told() -> None:
    assert nearest("x", [f"name{number}" for number in range(10)]).endswith("name7 and 2 more")


def test_who_asks_for_a_metric_gets_its_parts_and_repeats(run: RunBuilder) -> None:
    for workload in ("null", "fio"):
        for arm in ("native", "vm"):
            run.trial(0, arm, workload=workload, startup_time=1.0, **{"startup.exec": 0.5})
    rows = compare(run.frame, "native")
    assert [(row.workload, row.metric) for row in shown_of(rows)] == [("null", "startup_time")]
    asked = shown_of(rows, Selection(metrics=("startup*",)))
    assert {(row.workload, row.metric) for row in asked} == {
        (workload, metric) for workload in ("null", "fio") for metric in ("startup_time", "startup.exec")
    }


def test_what_stands_for_instances_does_not_depend_on_what_is_selected(run: RunBuilder) -> None:
    for workload in ("null", "fio"):
        for arm in ("native", "vm"):
            run.trial(0, arm, workload=workload, startup_time=1.0, iops=1.0)
    asked = shown_of(compare(run.frame, "native"), Selection(workloads=("fio",)))
    assert [row.metric for row in asked] == ["iops"]


def test_summaries_are_sorted_by_relative_spread(run: RunBuilder) -> None:
    run.blocks("native", [100.0, 101.0, 99.0, 100.0], "calm").blocks("native", [1.0, 2.0, 1.5, 0.5], "wild")
    run.blocks("native", [0.0, 0.0, 0.0, 5.0], "zero").blocks("native", [7.0] * 4, "still")
    rows = describe(run.frame)
    assert [row.metric for row in sorted_summaries(rows, "spread")] == ["zero", "wild", "calm", "still"]
    assert spread(next(row for row in rows if row.metric == "zero")) == math.inf
    for order in SUMMARY_ORDERS:
        assert len(sorted_summaries(rows, order)) == len(rows)


def test_a_frame_is_cut_to_what_is_selected(run: RunBuilder) -> None:
    for workload in ("null", "fio"):
        for arm in ("native", "vm"):
            run.trial(0, arm, workload=workload, a=1.0, b=2.0)
    cut = Selection(workloads=("fio",), arms=("vm",)).of_frame(run.frame)
    assert set(zip(cut["workload"], cut["arm"], cut["metric"], strict=True)) == {("fio", "vm", "a"), ("fio", "vm", "b")}
    assert list(cut["arm"].cat.categories) == list(run.record.arms)
