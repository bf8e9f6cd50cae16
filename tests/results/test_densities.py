"""Densities: what the trials of an arm come to."""

from __future__ import annotations

import pytest
from several_instances import fill
from stored_runs import RunBuilder, run_record

from results.compare import compare
from results.density import densities_of, estimate, to_json
from results.summary import describe

MIB = 2.0**20


@pytest.fixture
def run(store):
    return RunBuilder(store, run_record(arms=("native", "vm")))


def test_the_trials_of_an_arm_come_to_one_density(run):
    for block in range(1, 7):
        fill(run, "native", block, MIB)
        fill(run, "vm", block, (200 + block) * MIB, knee=3 if block > 2 else None, unsettled=block == 1, accel="tcg")
    native, vm = densities_of(run.frame)
    assert (native.arm, native.params, native.emulated, vm.emulated) == ("native", "instances=4", False, True)
    assert native.marginal["marginal_memory"].value == MIB
    figure = vm.marginal["marginal_memory"]
    assert (figure.value, figure.low, figure.high, figure.n) == (203.5 * MIB, 201 * MIB, 206 * MIB, 6)
    assert vm.marginal["marginal_memory.pss"].value == figure.value / 2
    assert (vm.growth, vm.reached, vm.unsettled) == (1.5, (4, 4), 1)
    assert (vm.memory_knee.at, vm.memory_knee.found, vm.memory_knee.trials) == (3, 4, 6)
    assert (native.memory_knee.at, native.start_time_knee.found) == (None, 0)
    assert [len(steps.instances) for steps in vm.steps] == [4] * 6
    assert vm.steps[0].footprint == tuple(count * 201 * MIB for count in (1, 2, 3, 4))
    assert to_json([vm])[0]["memory_knee"] == {"at": 3, "found": 4, "trials": 6}


def test_few_trials_have_an_estimate_and_no_interval(run):
    fill(run, "native", 1, MIB)
    (one,) = densities_of(run.frame)
    assert (one.marginal["marginal_memory"].value, one.marginal["marginal_memory"].low) == (MIB, None)
    assert estimate([1.0, 2.0, 9.0]).value == pytest.approx(3.5)


def test_a_run_without_one_has_none(run):
    run.trial(1, "native", time=1.0)
    assert densities_of(run.frame) == []


def test_arms_are_compared_by_the_slope_and_never_by_a_step(run):
    for block in range(1, 8):
        fill(run, "native", block, MIB)
        fill(run, "vm", block, 200 * MIB)
    compared = {one.metric: one for one in compare(run.frame, "native")}
    assert compared["marginal_memory"].ratio == pytest.approx(200)
    assert compared["marginal_memory"].verdict == "worse"
    assert not [metric for metric in compared if metric.startswith("density.")]
    assert not [one for one in describe(run.frame) if one.metric.startswith("density.")]
    assert "density.footprint" in set(run.frame["metric"])
