"""Instance after instance, and what each further one costs."""

from __future__ import annotations

import errno
import itertools
import json
import math

import pytest

from bench.trials import density
from bench.trials.density import (
    Level,
    Settled,
    SettleRule,
    Step,
    density_samples,
    is_want_of_memory,
    settle,
    step_sizes,
)
from runtimes.base import InstanceError
from workloads.errors import InvalidInput

SUITE = """
name: crowded
baseline: one
limits: {cpus: 1, memory: 64M}
arms: {one: {runtime: fake}, two: {runtime: fake}}
workloads: [{workload: density, params: {instances: 3}}]
sampling: {blocks: 1}
"""

SERVED = """
name: served
description: Instances that serve.
density: {instances: 2, reserve: 64M}
server:
  command: {shell: "echo at your service; exec sleep 100"}
  ready: {log: at your service}
"""

RULE = SettleRule(pause=1.0, share=0.01, least=100, cap=5.0)


class Host:
    """Readings one after the other, on a clock that stands still but for the pauses."""

    def __init__(self, *footprints):
        self.footprints = list(footprints)
        self.now = 0.0

    def read(self):
        return Level(self.footprints.pop(0) if len(self.footprints) > 1 else self.footprints[0], 1)

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    def settle(self):
        return settle(self.read, RULE, self.clock, self.sleep)


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Nobody waits a second for memory to settle."""
    monkeypatch.setattr(density, "SettleRule", lambda: SettleRule(pause=0.01))


@pytest.mark.parametrize(
    ("footprints", "seconds", "last"),
    [
        ((50_000, 50_000), 1, 50_000),
        ((50_000, 50_400), 1, 50_400),  # within 1 %
        ((10, 109), 1, 109),  # within the least
        ((10_000, 20_000, 40_000, 40_100), 3, 40_100),
        ((40_000, 30_000, 30_000), 2, 30_000),
    ],
)
def test_memory_has_settled_once_two_readings_hardly_differ(footprints, seconds, last):
    assert Host(*footprints).settle() == Settled(Level(last, 1), seconds, True)


def test_what_never_settles_is_read_at_the_cap_and_said_so():
    assert Host(*(2**power * 1000 for power in range(20))).settle() == Settled(Level(32_000, 1), 5, False)


@pytest.mark.parametrize("most", [2, 3, 8, 9, 10, 11, 64, 1000, 1024])
def test_steps_are_dense_at_first_then_grow_and_end_at_the_most(most):
    sizes = step_sizes(most)
    assert sizes[: min(most, 8)] == tuple(range(1, min(most, 8) + 1))
    assert sizes[-1] == most
    assert list(sizes) == sorted(set(sizes))
    assert all(after <= math.ceil(before * 1.25) for before, after in itertools.pairwise(sizes[7:]))
    assert len(sizes) <= 8 + math.log(max(most, 8) / 8, 1.25) + 1


def steps(footprints, drops=None, starts=None):
    count = len(footprints)
    return [
        Step(number + 1, Settled(Level(footprints[number], footprints[number] // 2), 1.0, number != 1), drop, start)
        for number, (drop, start) in enumerate(zip(drops or [0] * count, starts or [0.1] * count, strict=True))
    ]


def test_what_one_more_adds_is_the_slope_by_three_ways():
    taken = steps([900, 1000, 1100, 1200], drops=[5000, 5300, 5600, 5900])
    figures = {each.metric: each for each in density_samples(taken, [0.1] * 4) if not each.iteration}
    assert figures["marginal_memory"].value == 100
    assert figures["marginal_memory"].primary
    assert figures["marginal_memory.pss"].value == 50
    assert figures["marginal_memory.host_available"].value == 300
    assert (figures["instances_reached"].value, figures["unsettled_steps"].value) == (4, 1)
    assert "memory_knee" not in figures


def test_every_step_is_a_sample_beside_its_number_of_instances():
    made = [each for each in density_samples(steps([10, 20, 30]), [1.0] * 3) if each.metric.startswith("density.")]
    by_metric = {}
    for each in made:
        by_metric.setdefault(each.metric, []).append((each.iteration, each.value))
    assert by_metric["density.instances"] == [(0, 1), (1, 2), (2, 3)]
    assert by_metric["density.footprint"] == [(0, 10), (1, 20), (2, 30)]
    assert not any(each.primary for each in made)


def test_starts_that_grow_and_memory_that_leaves_its_line_are_told():
    starts = [1.0, 1.2, 1.1, 1, 1, 1, 2.2, 2.4]
    bent = [100 * count + 300 * max(0, count - 5) for count in range(1, 9)]
    figures = {each.metric: each.value for each in density_samples(steps(bent), starts) if not each.iteration}
    assert figures["start_time_growth"] == pytest.approx(2.3 / 1.1)
    assert figures["memory_knee"] == 5
    assert "start_time_knee" not in figures


def failure(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (failure(InstanceError("no QEMU"), OSError(errno.ENOMEM, "x")), True),
        (InstanceError("qemu: cannot set up guest memory 'ram': Cannot allocate memory"), True),
        (InstanceError("QEMU ended", details="mmap: Cannot allocate memory"), True),
        (InstanceError("QEMU ended", details="no such device"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_a_want_of_memory_is_told_from_other_failures(error, expected):
    assert is_want_of_memory(error) is expected


def test_the_runner_adds_instance_to_instance_and_stores_the_steps(suite_run):
    suite_run.with_suite(SUITE).execute()
    assert {trial.error for trial in suite_run.trials()} == {None}
    frame = suite_run.frame()
    assert sorted(frame[frame["metric"] == "density.instances"]["value"]) == [1, 1, 2, 2, 3, 3]
    assert set(frame[frame["metric"] == "instances_reached"]["value"]) == {3}
    assert not set(frame["metric"]) & {"startup_time", "memory_footprint"}
    trial = suite_run.trials()[0]
    assert trial.facts["density_end"] == "all 3 that were asked for"
    assert trial.facts["kernel"]
    directory = (suite_run.run_directory() / trial.log).parent
    assert sorted(path.name for path in directory.glob("instance-*")) == ["instance-1", "instance-2", "instance-3"]


def test_what_the_arms_see_is_asked_of_the_first_instance(suite_run):
    suite_run.with_suite(SUITE).execute()
    document = json.loads((suite_run.run_directory() / "host.json").read_text())
    assert document["observed"]
    assert {"cpus_usable", "memory_usable"} <= suite_run.trials()[0].facts.keys()


def test_a_host_without_memory_for_more_is_a_result(suite_run):
    text = SUITE.replace("two: {runtime: fake}", "two: {runtime: fake, room: 2}")
    assert suite_run.with_suite(text).execute().failed == 0
    (trial,) = (trial for trial in suite_run.trials() if trial.arm == "two")
    assert trial.facts["density_end"].startswith("instance 3 found no memory on the host: the fake did not start")
    frame = suite_run.frame()
    reached = frame[(frame["arm"] == "two") & (frame["metric"] == "instances_reached")]
    assert list(reached["value"]) == [2]


def test_no_slope_comes_of_one_instance(suite_run):
    suite_run.with_suite(SUITE.replace("two: {runtime: fake}", "two: {runtime: fake, room: 1}"))
    assert suite_run.execute().failed == 1
    (trial,) = (trial for trial in suite_run.trials() if trial.arm == "two")
    assert "1 instances, and a slope needs two: instance 2 found no memory" in trial.error


def test_the_reserve_of_the_host_is_not_touched(suite_run, monkeypatch):
    # Before the first instance, and then before each: the third would leave less than 512 MiB.
    left = iter([1000, 1000, 800, 800, 600, *[600] * 9])
    monkeypatch.setattr(density, "host_available", lambda: next(left) << 20)
    text = SUITE.replace("two: {runtime: fake}", "").replace("{instances: 3}", "{instances: 9}")
    suite_run.with_suite(text).execute()
    (trial,) = suite_run.trials()
    assert trial.facts["density_end"].startswith("the host has 600M of memory available, and one more instance")
    frame = suite_run.frame()
    assert list(frame[frame["metric"] == "density.host_available_drop"]["value"]) == [200 * 2**20, 400 * 2**20]


def test_a_start_that_fails_for_another_reason_fails_the_trial(suite_run):
    suite_run.with_suite(SUITE.replace("two: {runtime: fake}", "two: {runtime: fake, fail_start: true}"))
    assert suite_run.execute().failed == 1


def test_each_instance_has_the_server_of_the_workload(suite_run):
    suite_run.with_workload(SERVED, "served.yaml").with_suite(
        SUITE.replace("{workload: density, params: {instances: 3}}", "./served.yaml")
    )
    assert suite_run.execute().failed == 0
    log = (suite_run.run_directory() / suite_run.trials()[0].log).read_text()
    assert log.count("--- stdout\nat your service") == 2


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("instances: 2,", "instances: 1,", "from 2 to 1024"),
        ("instances: 2,", "", "instances"),
        ("reserve: 64M", "reserve: a lot", "reserve"),
        ("server:", "instances: 3\nserver:", "at once, or one after the other"),
        ("server:", "scratch: 1M\nserver:", "they run nothing"),
        ("server:", "client: peer\nserver:", "nobody asks anything"),
    ],
)
def test_a_density_that_cannot_be_is_refused(suite_run, old, new, complaint):
    suite_run.with_workload(SERVED.replace(old, new), "served.yaml").with_suite(
        SUITE.replace("{workload: density, params: {instances: 3}}", "./served.yaml")
    )
    with pytest.raises(InvalidInput, match=complaint):
        suite_run.load()
