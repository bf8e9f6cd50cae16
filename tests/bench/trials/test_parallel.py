"""Instances that are started at once."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.trials.parallel import parallel_samples, start_at_once
from runtimes.base import Image, InstanceError, InstanceSpec, Limits, Timeline
from workloads.errors import InvalidInput

SUITE = """
name: several
baseline: one
limits: {cpus: 1, memory: 64M}
arms: {one: {runtime: fake}, two: {runtime: fake}}
workloads: [{workload: parallel-start, params: {instances: [2, 5]}}]
sampling: {blocks: 1}
"""


LIMITS = Limits(cpus=1, cpuset=(), memory=64 << 20)


class Slow:
    """A runtime whose instances take as long to start as their names say, and note how many there are at once."""

    def __init__(self, broken=None, broken_stop=None, preparation=0.0):
        self.preparation = preparation
        self.broken, self.broken_stop = broken, broken_stop
        self.alive = self.most = 0
        self.lock = threading.Lock()

    @contextmanager
    def start(self, spec):
        timeline = Timeline()
        time.sleep(self.preparation * float(spec.name))
        spec.prepared()
        timeline.stamp("requested")
        time.sleep(float(spec.name))
        if spec.name == self.broken:
            raise InstanceError("it did not come up")
        timeline.stamp("ready")
        with self.lock:
            self.alive += 1
            self.most = max(self.most, self.alive)
        try:
            usage = SimpleNamespace(cpu_time=0.5)

            def stop():
                timeline.stamp("stop_requested")
                if spec.name == self.broken_stop:
                    raise InstanceError("it did not stop")
                time.sleep(0.01)
                timeline.stamp("stopped")

            yield SimpleNamespace(timeline=timeline, usage=lambda: usage, facts={"accel": "none"}, stop=stop)
        finally:
            with self.lock:
                self.alive -= 1


def specs(*seconds):
    return [spec(each) for each in seconds]


def spec(seconds, start_timeout=60.0):
    return InstanceSpec(str(seconds), Image("none", Path()), LIMITS, None, Path(), start_timeout)


def test_all_start_at_once_and_the_last_one_counts():
    runtime = Slow()
    samples = {sample.metric: sample for sample in parallel_samples(start_at_once(runtime, specs(0.05, 0.2, 0.4)))}
    assert runtime.most == 3
    assert 0.4 <= samples["parallel_start_time"].value < 0.65
    assert 0.05 <= samples["parallel_start.first"].value <= samples["parallel_start.median"].value - 0.1
    assert 0.01 <= samples["parallel_stop_time"].value < 0.2
    assert samples["cpu_time"].value == 1.5
    assert {name for name, sample in samples.items() if sample.primary} == {"parallel_start_time", "parallel_stop_time"}


def test_what_a_runtime_does_before_its_clock_starts_is_not_on_this_one_either():
    runtime = Slow(preparation=5.0)
    (whole, *_) = parallel_samples(start_at_once(runtime, specs(0.0, 0.05, 0.1)))
    assert whole.metric == "parallel_start_time"
    # Nobody is asked for before all are prepared, the last of them after half a second.
    assert 0.1 <= whole.value < 0.4


@pytest.mark.parametrize("fault", ["broken", "broken_stop"])
def test_one_that_fails_sends_all_others_home_and_is_what_is_told(fault):
    runtime = Slow(**{fault: "0.1"})
    began = time.monotonic()
    with pytest.raises(InstanceError, match="it did not"):
        start_at_once(runtime, specs(0.0, 0.1, 0.3))
    assert runtime.alive == 0
    assert time.monotonic() - began < 5


def test_those_who_wait_for_one_that_takes_too_long_say_so(monkeypatch):
    monkeypatch.setattr("bench.trials.parallel._SPARE", 0.1)
    instances = [spec(each, start_timeout=0.1) for each in (0.0, 1.0)]
    with pytest.raises(InstanceError, match="not all instances were ready in time"):
        start_at_once(Slow(), instances)


def test_the_runner_stores_their_start_and_nothing_of_a_single_one(suite_run):
    suite_run.with_suite(SUITE).execute()
    assert {trial.error for trial in suite_run.trials()} == {None}
    frame = suite_run.frame()
    assert {"parallel_start_time", "parallel_stop_time", "cpu_time"} <= set(frame["metric"])
    assert not set(frame["metric"]) & {"startup_time", "shutdown_time", "memory_footprint"}
    assert sorted(frame["params"].unique()) == ["instances=2", "instances=5"]
    trial = suite_run.trials()[0]
    log = (suite_run.run_directory() / trial.log).read_text()
    assert f"{trial.params['instances']} instances, ready after" in log


def test_a_trial_in_which_one_never_starts_fails(suite_run):
    suite_run.with_suite(SUITE.replace("two: {runtime: fake}", "two: {runtime: fake, fail_start: true}"))
    assert suite_run.execute().failed == 2
    assert all("told not to start" in trial.error for trial in suite_run.trials() if trial.arm == "two")


@pytest.mark.parametrize("count", ["1", "1025"])
def test_one_instance_is_not_several(suite_run, count):
    with pytest.raises(InvalidInput, match="instances"):
        suite_run.with_suite(SUITE.replace("[2, 5]", count)).load()
