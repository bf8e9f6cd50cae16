from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from rich.cells import cell_len
from stored_runs import RunBuilder, run_record
from test_terminal import rendered, words

from results.errors import SelectionError
from results.records import Sample
from results.selection import Selection, View
from results.store import Store
from results.terminal.runs import runs_renderables

TEN = [1.0, 1.01, 0.99, 1.005, 0.995, 1.002, 0.998, 1.004, 0.996, 1.001]


def night(store: Store, factor: float, **changes: Any) -> RunBuilder:
    """A run in which ``vm`` is slower by a factor, and the container is not."""
    run = RunBuilder(store, run_record(**changes))
    for block, value in enumerate(TEN):
        for arm, slower in (("container", 1.0), ("vm", factor)):
            samples = [Sample("rate", 1000 / value / slower, "1/s", "higher", primary=True)]
            run.trial(block, arm, *samples, cpu_time=value * slower, params={"n": 4}, **{"startup.exec": 0.1})
    return run


def shown(*runs: RunBuilder, width: int = 100, view: View | None = None, colour: bool = False) -> str:
    records = [run.record for run in runs]
    return rendered(*runs_renderables(runs[0].store, records, view or View()), width=width, colour=colour)


@pytest.fixture
def two(store: Store) -> Sequence[RunBuilder]:
    return [night(store, 1.0), night(store, 1.3)]


@pytest.fixture
def four(store: Store) -> Sequence[RunBuilder]:
    return [night(store, factor) for factor in (1.0, 1.3, 0.7, 1.0)]


def test_a_row_says_all_of_two_runs(two: Sequence[RunBuilder]) -> None:
    text = words(shown(*two))
    assert "work n=4 run 1 run 2 2 / 1 95 % interval verdict n" in text
    assert (
        "cpu_time container 1.00 s 1.00 s 1.00× 0.994–1.01× same 10 vm 1.00 s 1.30 s 1.30× 1.29–1.31× worse 10" in text
    )
    assert text.index("rate") < text.index("cpu_time")
    for run in two:
        assert run.record.id in text


def test_numbers_of_trials_that_differ_are_both_told(store: Store) -> None:
    before, after = night(store, 1.0), night(store, 1.0)
    after.trial(20, "vm", time=1.0, params={"n": 4}, cpu_time=1.0)
    assert "same 11/10" in words(shown(before, after))


def test_runs_are_columns_with_a_sign_for_the_verdict(four: Sequence[RunBuilder]) -> None:
    text = words(shown(*four))
    assert "work n=4 run 1 2 / 1 3 / 1 4 / 1" in text
    assert "cpu_time container 1.00 s 1.00× = 1.00× = 1.00× = vm 1.00 s 1.30× ✗ 0.700× ✓ 1.00× =" in text
    assert "✓ better ✗ worse = same ? inconclusive" in text


def test_runs_that_do_not_fit_beside_each_other_go_below(store: Store) -> None:
    runs = [night(store, 1.0 + number / 10) for number in range(8)]
    text = shown(*runs, width=60)
    assert max(cell_len(line) for line in text.splitlines()) <= 60
    headings = [line for line in text.splitlines() if " / 1" in line and "run 1" in line]
    assert len(headings) > 1
    assert [number for line in headings for number in range(2, 9) if f"{number} / 1" in line] == list(range(2, 9))


def test_what_one_run_lacks_is_missing_in_its_column_alone(store: Store) -> None:
    first, second = night(store, 1.0), night(store, 1.0)
    third = RunBuilder(store, run_record()).blocks("vm", TEN, "cpu_time", params={"n": 4})
    text = words(shown(first, second, third))
    assert "container 1.00 s 1.00× = –" in text
    assert f"only {first.record.id} has trials of container in work n=4" in text


def test_unlike_runs_are_announced_once_and_not_at_every_row(store: Store) -> None:
    text = shown(night(store, 1.0), night(store, 1.3, host_fingerprint="beef", image="ffff"))
    assert "not alike" in text
    assert words(text.replace("│", "")).count("not the same host: beef, and f00d in") == 1
    assert "not the same image: ffff" in words(text.replace("│", ""))
    assert "worse *" not in text


def test_alike_runs_are_not_announced(two: Sequence[RunBuilder]) -> None:
    assert "not alike" not in shown(*two)


def test_that_runs_differ_by_more_than_is_seen_is_always_said(
    two: Sequence[RunBuilder], four: Sequence[RunBuilder]
) -> None:
    for runs in (two, four):
        assert "Two runs of the same differ by more than their trials show" in words(shown(*runs))


def test_emulated_on_one_side_is_said_instead_of_compared(store: Store) -> None:
    before = RunBuilder(store, run_record()).blocks("vm", TEN, accel="kvm").blocks("container", TEN)
    after = RunBuilder(store, run_record()).blocks("vm", TEN, accel="tcg").blocks("container", TEN)
    text = words(shown(before, after))
    assert "vm tcg 1.00 s 1.00 s – – inconclusive * 10" in text
    assert f"not compared: it ran under software emulation in {after.record.id} alone" in text
    assert "NOT A PERFORMANCE RESULT: vm ran" in words(shown(before, after).replace("│", ""))


def test_nothing_in_common_is_said(store: Store) -> None:
    one, other = (RunBuilder(store, run_record()).blocks("vm", TEN, workload=name) for name in ("a", "b"))
    assert "Nothing to compare: the runs have no workload and arm in common." in shown(one, other)


@pytest.mark.parametrize("order", ["ratio", "effect", "verdict", "workload", "metric", "arm"])
def test_a_list_has_every_row_once(two: Sequence[RunBuilder], four: Sequence[RunBuilder], order: str) -> None:
    for runs in (two, four):
        lines = shown(*runs, view=View(order=order), width=120).splitlines()
        rows = [line for line in lines if line.startswith("work")]
        assert sorted((line.split()[1], "vm" in line) for line in rows) == [
            (metric, of_vm) for metric in ("cpu_time", "rate") for of_vm in (False, True)
        ]


def test_a_list_by_effect_begins_with_the_largest(two: Sequence[RunBuilder]) -> None:
    lines = shown(*two, view=View(order="effect"), width=120).splitlines()
    verdicts = [word for line in lines if line.startswith("work") for word in line.split() if word in {"worse", "same"}]
    assert verdicts == ["worse", "worse", "same", "same"]


def test_only_what_is_selected_is_shown_and_it_says_the_same(two: Sequence[RunBuilder]) -> None:
    view = View(Selection(metrics=("cpu*",), arms=("vm",)))
    rows = [line.split() for line in shown(*two, view=view).splitlines() if line.startswith("  vm")]
    assert len(rows) == 1
    assert rows[0] in [line.split() for line in shown(*two).splitlines()]
    with pytest.raises(SelectionError, match="no arm here matches 'docker'"):
        shown(*two, view=View(Selection(arms=("docker",))))


def test_a_terminal_has_bars_and_a_pipe_has_not(two: Sequence[RunBuilder]) -> None:
    assert "●" in shown(*two, colour=True)
    assert "●" not in shown(*two)


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_no_line_is_wider_than_the_terminal(two: Sequence[RunBuilder], four: Sequence[RunBuilder], width: int) -> None:
    for runs in (two, four):
        for view in (View(), View(order="effect")):
            text = shown(*runs, width=width, view=view)
            assert max(cell_len(line) for line in text.splitlines()) <= width
            assert "…" not in text
