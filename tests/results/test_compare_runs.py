from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_runs import RunBuilder, run_record

from results.compare_runs import Measured, RunComparison, compare_measured, compare_runs, measured, to_json, unshared
from results.noise import CpuSpin, NoiseReading
from results.records import Sample
from results.store import Store

TEN = [1.0, 1.01, 0.99, 1.005, 0.995, 1.002, 0.998, 1.004, 0.996, 1.001]


def scaled(factor: float, values: Sequence[float] = TEN) -> list[float]:
    return [factor * value for value in values]


def new_run(store: Store, **changes: Any) -> RunBuilder:
    return RunBuilder(store, run_record(**changes))


def compared(*runs: RunBuilder) -> list[RunComparison]:
    return compare_runs(runs[0].store, [run.record for run in runs])


def test_a_run_twice_as_slow_as_the_one_before(store: Store) -> None:
    before, after = new_run(store).blocks("vm", TEN), new_run(store).blocks("vm", scaled(2)[:8])
    (outcome,) = compared(before, after)
    assert (outcome.run, outcome.baseline_run) == (after.record.id, before.record.id)
    assert (outcome.arm, outcome.baseline, outcome.n, outcome.baseline_n) == ("vm", "vm", 8, 10)
    assert outcome.ratio == pytest.approx(2, rel=0.01)
    assert outcome.ci_low is not None and 1.95 < outcome.ci_low < 2
    assert (outcome.verdict, outcome.warnings) == ("worse", ())
    assert (outcome.median, outcome.baseline_median) == pytest.approx((2, 1), rel=0.01)


def test_each_run_is_held_against_the_first(store: Store) -> None:
    runs = [new_run(store).blocks("vm", scaled(factor)) for factor in (1.0, 2.0, 0.5, 1.0)]
    assert [(one.run, one.verdict) for one in compared(*runs)] == [
        (runs[1].record.id, "worse"),
        (runs[2].record.id, "better"),
        (runs[3].record.id, "same"),
    ]
    assert compared(runs[0]) == []


def test_a_further_run_changes_nothing_between_two(store: Store) -> None:
    chance = random.Random(4)
    runs = [
        new_run(store).blocks("vm", [chance.lognormvariate(0, 0.2) for _ in TEN]).blocks("native", TEN, "other")
        for _ in range(4)
    ]
    for later in runs[1:]:
        assert compared(runs[0], later) == [one for one in compared(*runs) if one.run == later.record.id]


def test_trials_are_not_paired_by_block(store: Store) -> None:
    before = new_run(store).blocks("vm", TEN)
    after = new_run(store)
    for block, value in zip(reversed(range(len(TEN))), TEN, strict=True):
        after.trial(block + 100, "vm", time=value)
    (outcome,) = compared(before, after)
    assert (outcome.n, outcome.ratio, outcome.p_value) == (10, 1.0, 1.0)


def test_iterations_of_a_trial_count_once_as_their_median(store: Store) -> None:
    before, after = new_run(store), new_run(store)
    for block, value in enumerate(TEN):
        before.trial(block, "vm", time=[value, value, 50 * value])
        after.trial(block, "vm", time=[3 * value])
    (outcome,) = compared(before, after)
    assert (outcome.n, outcome.baseline_n) == (10, 10)
    assert outcome.ratio == pytest.approx(3, rel=0.01)


@pytest.mark.parametrize("emulated", ["before", "after"])
def test_emulated_and_not_emulated_are_never_compared(store: Store, emulated: str) -> None:
    before = new_run(store).blocks("vm", TEN, accel="tcg" if emulated == "before" else "kvm").blocks("native", TEN)
    after = new_run(store).blocks("vm", TEN, accel="tcg" if emulated == "after" else "kvm").blocks("native", TEN)
    native, vm = sorted(compared(before, after), key=lambda one: one.arm)
    assert (vm.ratio, vm.ci_low, vm.p_value, vm.q_value, vm.verdict) == (None, None, None, None, "inconclusive")
    assert any("not compared" in warning and "software emulation" in warning for warning in vm.warnings)
    assert (native.verdict, native.warnings, native.accel) == ("same", (), "none")


def test_two_emulated_runs_are_compared_and_marked(store: Store) -> None:
    runs = [new_run(store).blocks("vm", TEN, accel="tcg") for _ in range(2)]
    (outcome,) = compared(*runs)
    assert (outcome.accel, outcome.verdict) == ("tcg", "same")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"host_fingerprint": "beef"}, "host"),
        ({"image": "ffff"}, "image"),
        ({"suite_hash": "abcd"}, "suite"),
        ({"version": "9.9"}, "version"),
    ],
)
def test_every_comparison_of_unlike_runs_says_so(store: Store, changes: dict[str, Any], named: str) -> None:
    before = new_run(store).blocks("vm", TEN).blocks("native", TEN)
    after = new_run(store, **changes).blocks("vm", TEN).blocks("native", TEN)
    for outcome in compared(before, after):
        (warning,) = outcome.warnings
        assert warning.startswith(f"not the same {named}")
        assert str(next(iter(changes.values()))) in warning and before.record.id in warning


def test_another_runtime_under_the_same_name_is_told(store: Store) -> None:
    before = new_run(store).blocks("vm", TEN, runtime="vm", accel="kvm")
    after = new_run(store).blocks("vm", TEN, runtime="docker")
    (outcome,) = compared(before, after)
    assert outcome.warnings == (
        f"not the same runtime: docker, and vm in {before.record.id}",
        f"not the same accelerator: none, and kvm in {before.record.id}",
    )


def test_other_processors_or_memory_are_told_of_the_arm_that_has_them(store: Store) -> None:
    facts = {"cpus_usable": "2", "memory_usable": str(2 << 30)}
    before = new_run(store).blocks("vm", TEN, facts=facts).blocks("native", TEN, facts=facts)
    after = new_run(store).blocks("vm", TEN, facts=facts | {"cpus_usable": "1"}).blocks("native", TEN, facts=facts)
    assert {one.arm: one.warnings for one in compared(before, after)} == {
        "native": (),
        "vm": (f"not the same CPUs: vm can use 1, it in {before.record.id} 2",),
    }


def test_disturbed_blocks_of_either_run_are_told(store: Store) -> None:
    before, after = new_run(store).blocks("vm", TEN), new_run(store).blocks("vm", TEN)
    spin = CpuSpin(cpu=1, chunks=100, median=1e-4, p99=1e-4, longest=1e-4, gaps=0, lost=0.0)
    for block, outside in ((0, None), (1, 0.5)):
        seconds = None if outside is None else 10.0
        taken = NoiseReading(block, "2026-11-24T11:45:02Z", seconds, 0.2, (spin,), 0.0, 0.5, outside, 2, None)
        store.add_noise(before.record.id, taken)
    (outcome,) = compared(before, after)
    assert outcome.warnings == (f"{before.record.id}: 1 of 10 blocks disturbed",)


def test_what_only_one_run_has_is_told_and_not_compared(store: Store) -> None:
    before = new_run(store).blocks("vm", TEN).blocks("native", TEN).blocks("vm", TEN, workload="old")
    after = new_run(store).blocks("vm", TEN).blocks("vm", TEN, workload="new", params={"a": 1})
    assert [(one.workload, one.arm) for one in compared(before, after)] == [("work", "vm")]
    assert unshared([measured(store, run.record) for run in (before, after)]) == [
        f"only {before.record.id} has trials of native in work",
        f"only {before.record.id} has trials of vm in old",
        f"only {after.record.id} has trials of vm in new a=1",
    ]


def test_another_unit_or_direction_is_another_metric(store: Store) -> None:
    before, after = new_run(store), new_run(store)
    for block, value in enumerate(TEN):
        before.trial(block, "vm", Sample("rate", value, "1/s", "higher"), Sample("load", value, "s", "lower"))
        after.trial(block, "vm", Sample("rate", value, "iops", "higher"), Sample("load", value, "s", "higher"))
    assert compared(before, after) == []


def test_a_run_without_trials_compares_to_nothing(store: Store) -> None:
    full, empty = new_run(store).blocks("vm", TEN), new_run(store)
    assert compared(full, empty) == compared(empty, full) == []
    assert unshared([measured(store, run.record) for run in (full, empty)]) == [
        f"only {full.record.id} has trials of vm in work"
    ]


def test_parts_are_controlled_apart_from_results(store: Store) -> None:
    before, after = (
        new_run(store).blocks("vm", scaled(factor), "time").blocks("vm", scaled(factor), "startup.exec")
        for factor in (1.0, 1.2)
    )
    assert {one.metric: one.family for one in compared(before, after)} == {"time": "results", "startup.exec": "parts"}


def test_json_has_the_contract_of_comparisons_and_the_runs(store: Store) -> None:
    before, after = new_run(store).blocks("vm", TEN), new_run(store).blocks("vm", scaled(2))
    (row,) = to_json(compared(before, after))
    assert {
        "workload",
        "params",
        "metric",
        "unit",
        "better",
        "arm",
        "baseline",
        "n",
        "ratio",
        "ci_low",
        "ci_high",
    } < set(row)
    assert (row["run"], row["baseline_run"], row["baseline_n"]) == (after.record.id, before.record.id, 10)
    assert row["warnings"] == []


@given(st.lists(st.floats(0.5, 2), min_size=4, max_size=12), st.lists(st.floats(0.5, 2), min_size=4, max_size=12))
def test_exchanging_the_runs_inverts_the_ratio_and_the_verdict(ours: list[float], theirs: list[float]) -> None:
    from results.trials import ArmTrials, Case

    def run(name: str, values: list[float]) -> Measured:
        arms = {"vm": ArmTrials("vm", "kvm", tuple(enumerate(values)))}
        case = Case("work", "", "time", "s", "lower", True, arms, frozenset(arms))
        return Measured(run_record(id=name), (case,), frozenset())

    (forth,) = compare_measured([run("b", theirs), run("a", ours)])
    (back,) = compare_measured([run("a", ours), run("b", theirs)])
    assert forth.ratio is not None and back.ratio is not None
    assert forth.ratio * back.ratio == pytest.approx(1)
    opposite = {"better": "worse", "worse": "better"}
    assert back.verdict == opposite.get(forth.verdict, forth.verdict)
    assert forth.p_value == pytest.approx(back.p_value)
