"""Slowdowns beside a neighbour."""

from __future__ import annotations

import pytest
from several_instances import DELAY, measure
from stored_runs import RunBuilder, run_record

from results.interference import slowdowns_of, to_json
from results.records import format_params, neighbour_of
from results.trials import choose_reference


@pytest.fixture
def run(store):
    return RunBuilder(store, run_record(arms=("native", "vm")))


def test_a_rate_that_falls_and_a_time_that_grows_are_both_slower(run):
    measure(run, "native", [100.0, 110, 90, 100, 120, 105, 99])
    measure(run, "native", [50.0, 55, 45, 50, 60, 52.5, 49.5], beside="cpu-burn")
    measure(run, "vm", [1.0, 1.1, 0.9, 1, 1.2, 1.3, 1], metric=DELAY)
    measure(run, "vm", [3.0, 3.3, 2.7, 3, 3.6, 3.9, 3], metric=DELAY, beside="cpu-burn")
    native, vm = slowdowns_of(run.frame)
    assert (native.arm, native.metric, native.neighbour, native.params) == ("native", "rate", "cpu-burn", "n=1")
    assert native.slowdown == pytest.approx(2)
    assert (native.alone, native.beside, native.n, native.verdict) == (100, 50, 7, "worse")
    assert (vm.slowdown, vm.verdict) == (pytest.approx(3), "worse")
    assert (native.ci_low, native.ci_high) == (pytest.approx(2), pytest.approx(2))


def test_it_is_paired_within_blocks_so_that_drift_cancels(run):
    drift = [100.0, 50, 400, 20, 70, 300, 10, 90]
    measure(run, "native", drift)
    measure(run, "native", [value / (1.5 + 0.01 * index) for index, value in enumerate(drift)], beside="fio")
    (one,) = slowdowns_of(run.frame)
    assert 1.49 < one.ci_low <= one.slowdown <= one.ci_high < 1.58
    assert one.verdict == "worse"


def test_one_that_makes_no_difference_is_the_same_and_few_blocks_decide_nothing(run):
    measure(run, "native", [100.0, 101, 99, 100, 102, 98, 100])
    measure(run, "native", [100.5, 100, 100, 99, 101, 99, 100], beside="idle")
    measure(run, "vm", [100.0, 100])
    measure(run, "vm", [10.0, 10], beside="idle")
    native, vm = slowdowns_of(run.frame)
    assert native.verdict == "same"
    assert (vm.slowdown, vm.ci_low, vm.verdict) == (pytest.approx(10), None, "inconclusive")
    assert "too few" in vm.warnings[0]


def test_each_arm_is_compared_with_itself_and_one_without_an_undisturbed_trial_is_left_out(run):
    measure(run, "native", [10.0] * 6)
    measure(run, "native", [5.0] * 6, beside="x")
    measure(run, "vm", [1.0] * 6, beside="x", accel="tcg")
    assert [one.arm for one in slowdowns_of(run.frame)] == ["native"]
    measure(run, "vm", [4.0] * 6, accel="tcg")
    native, vm = slowdowns_of(run.frame)
    assert (native.slowdown, vm.slowdown) == (pytest.approx(2), pytest.approx(4))
    assert (native.emulated, vm.emulated) == (False, True)


def test_only_what_is_measured_foremost_is_told_and_nothing_of_a_run_without_neighbours(run):
    measure(run, "native", [10.0] * 6)
    measure(run, "native", [5.0] * 6, metric=DELAY, primary=False)
    assert slowdowns_of(run.frame) == []
    measure(run, "native", [5.0] * 6, beside="x")
    measure(run, "native", [9.0] * 6, beside="x", metric=DELAY, primary=False)
    assert [one.metric for one in slowdowns_of(run.frame)] == ["rate"]
    (row,) = to_json(slowdowns_of(run.frame))
    assert row["neighbour"] == "x"
    assert row["warnings"] == []


def test_a_missing_block_takes_its_partner_with_it(run):
    measure(run, "native", [10.0] * 8)
    measure(run, "native", [5.0] * 6, beside="x")
    (one,) = slowdowns_of(run.frame, disturbed={2, 3, 40})
    assert one.n == 6
    assert one.warnings[:2] == ("2 trials without partner left out", "2 of 6 blocks disturbed")


@pytest.mark.parametrize("beside", ["cpu-burn", "fio(rw:write bs:4k)@vm+apart", 'odd(args:a=b,"c")'])
def test_a_neighbour_is_found_among_parameters(beside):
    params = {"a": 1, "z": "b,beside=nobody", "beside": beside}
    rest, found = neighbour_of(format_params(params))
    assert found == beside
    assert rest == format_params({"a": 1, "z": "b,beside=nobody"})
    assert neighbour_of(rest) == (rest, None)
    assert neighbour_of(format_params({"beside": beside})) == ("", beside)


def test_no_case_with_a_neighbour_stands_for_startup():
    cases = {("cpu", "beside=fio,n=1"): 2, ("cpu", "n=1"): 2, ("null", "beside=fio"): 2}
    assert choose_reference(cases) == ("cpu", "n=1")
