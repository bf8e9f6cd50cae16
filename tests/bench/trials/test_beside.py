"""A measurement beside a neighbour."""

from __future__ import annotations

import re
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from bench.neighbours import neighbour_limits
from bench.trials import beside
from bench.trials.beside import coverage
from results.interference import slowdowns_of
from runtimes.agent.client import AgentGone
from runtimes.base import HostError, Limits
from runtimes.placement import make_placer
from runtimes.topology import Cpu, Topology

SUITE = """
name: disturbed
baseline: one
limits: {cpus: 1, memory: 64M}
arms: {one: {runtime: fake}, two: {runtime: fake}}
workloads: [{workload: ./victim.yaml, beside: [./busy.yaml]}]
sampling: {blocks: 1}
"""

VICTIM = """
name: victim
description: Counts for a moment.
run: {shell: "sleep 0.3; echo score: 42"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""

BUSY = """
name: busy
description: Rounds that take a while.
prepare: [[echo, prepared]]
run: {shell: "%s"}
parser: regex
metrics: {rounds: {unit: rounds, better: higher, primary: true, pattern: 'round (\\d+)'}}
"""


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """A neighbour is under way at once, and may rest between its rounds, which are short here."""
    monkeypatch.setattr(beside, "UNDER_WAY", 0.1)
    monkeypatch.setattr(beside, "LEAST_COVERAGE", 0.5)


@pytest.fixture
def run(suite_run):
    def carry_out(busy="sleep 0.15; echo round 1", suite=SUITE, victim=VICTIM):
        suite_run.with_workload(BUSY % busy, "busy.yaml").with_workload(victim, "victim.yaml")
        return suite_run.with_suite(suite).execute()

    return carry_out


def trials(suite_run, arm=None):
    found = [trial for trial in suite_run.trials() if "beside" in trial.params]
    return [trial for trial in found if arm in (None, trial.arm)]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 20)], 1.0),
        ([(0, 12), (12, 30)], 1.0),
        ([(0, 11), (15, 19)], 0.5),
        ([(0, 5), (25, 30)], 0.0),
        ([], 0.0),
    ],
)
def test_how_much_of_a_measurement_is_covered(spans, expected):
    assert coverage(spans, (10, 20)) == pytest.approx(expected)


def test_the_case_is_measured_alone_and_beside_the_neighbour(suite_run, run):
    assert run().failed == 0
    assert {(trial.arm, trial.params.get("beside")) for trial in suite_run.trials()} == {
        (arm, whom) for arm in ("one", "two") for whom in (None, "busy")
    }


def test_the_neighbour_runs_again_and_again_during_all_of_the_measurement(suite_run, run):
    run()
    frame = suite_run.frame()
    assert (frame[frame["metric"] == "beside.coverage"]["value"] >= beside.LEAST_COVERAGE).all()
    assert (frame[frame["metric"] == "beside.rounds"]["value"] >= 2).all()
    assert (frame[frame["metric"] == "beside.cpus_used"]["value"] > 0).all()
    trial = trials(suite_run)[0]
    assert trial.facts["beside"] == f"busy in {trial.arm}"
    assert trial.facts["own_cpus"] == trial.facts["beside_cpus"]
    log = suite_run.run_directory() / trial.log
    assert "beside busy, on CPU" in log.read_text()
    told = (log.parent / "neighbour" / "log.txt").read_text()
    assert told.index("prepared") < told.index("round 1")
    assert "killed by signal" in told
    assert {one.neighbour for one in slowdowns_of(frame)} == {"busy"}


def test_a_neighbour_may_be_of_another_arm(suite_run, run):
    run(suite=SUITE.replace("[./busy.yaml]", "[{workload: ./busy.yaml, arm: two}]"))
    (trial,) = trials(suite_run, "one")
    assert trial.params["beside"] == "busy@two"
    assert trial.facts["beside"] == "busy@two in two"


@pytest.mark.parametrize(
    ("busy", "reason"),
    [
        ("exit 3", "the neighbour busy: .*exit status 3"),
        ("sleep 0.2; exit 3", "the neighbour busy: .*exit status 3"),
        ("sleep 0.15; echo nothing", "the neighbour busy: .*rounds"),
    ],
)
def test_a_neighbour_that_fails_fails_the_trial_and_not_the_one_alone(suite_run, run, busy, reason):
    assert run(busy).failed == 2
    for trial in trials(suite_run):
        assert trial.status == "failed"
        assert re.search(reason, trial.error)
    assert {trial.status for trial in suite_run.trials() if "beside" not in trial.params} == {"ok"}


def test_one_that_was_not_seen_to_run_fails_the_trial(suite_run, run, monkeypatch):
    monkeypatch.setattr(beside, "coverage", lambda spans, window: 0.42)
    assert run().failed == 2
    assert "ran during 42 % of the measurement" in trials(suite_run)[0].error


def test_one_that_does_not_start_fails_the_trial(suite_run, run):
    text = SUITE.replace("two: {runtime: fake}", "two: {runtime: fake, fail_start: true}")
    run(suite=text.replace("[./busy.yaml]", "[{workload: ./busy.yaml, arm: two}]"))
    (trial,) = trials(suite_run, "one")
    assert trial.error == "the neighbour busy@two: the fake was told not to start"


def test_nothing_of_the_neighbour_is_left_if_the_measurement_fails(suite_run, run):
    busy = "sleep 1000.125; echo round 1"
    assert run(busy, victim=VICTIM.replace("sleep 0.3", "exit 7")).failed == 4
    assert "exit status 7" in trials(suite_run)[0].error
    assert not [process for process in psutil.Process().children(recursive=True) if "1000.125" in process.cmdline()]


class Hung:
    """The agent of an instance that hangs, and the command that it was to end."""

    def __init__(self):
        self._closed = threading.Event()

    def kill(self):
        """It does nothing any more."""

    def wait(self, _timeout):
        self._closed.wait()
        raise AgentGone("the stream was closed")

    def close(self):
        self._closed.set()


def test_a_neighbour_that_hangs_is_not_waited_for(monkeypatch):
    hung = Hung()
    monkeypatch.setattr(beside, "EXIT_GRACE", 0.1)
    monkeypatch.setattr(beside, "spawn", lambda *_: hung)
    instance = SimpleNamespace(usage=lambda: SimpleNamespace(cpu_time=0.0))
    warm = SimpleNamespace(client=hung, argv=("busy",), timeout=1000.0)
    began = time.monotonic()
    with beside._Rounds(None, instance, warm, None) as rounds:
        rounds.end()
    assert time.monotonic() - began < 10
    assert rounds.spans == []


def placer(*cores):
    numbers = [cpu for core in cores for cpu in core]
    cpus = tuple(Cpu(cpu, core, tuple(numbers), 0) for core in cores for cpu in core)
    return make_placer(Topology(tuple(sorted(cpus, key=lambda cpu: cpu.number))))


def limits(cpus, cpuset=()):
    return Limits(cpus=cpus, cpuset=cpuset, memory=1)


FOUR = placer((0,), (1,), (2,), (3,))


@pytest.mark.parametrize(
    ("measured", "own", "expected"),
    [
        (limits(1), limits(1), (3,)),
        (limits(2), limits(1), (3,)),
        (limits(1), limits(2), (2, 3)),
        (limits(1), limits(0.5), (3,)),
        (limits(1, cpuset=(1, 2)), limits(1), (2,)),
        (limits(1), limits(2, cpuset=(0, 3)), (0, 3)),
    ],
)
def test_a_neighbour_that_shares_has_cpus_of_the_measured_instance(measured, own, expected):
    found = neighbour_limits("shared", own, measured, FOUR)
    assert FOUR.place(found).instance == expected
    assert (found.cpus, found.memory) == (own.cpus, own.memory)


def test_no_neighbour_leaves_the_cpuset_of_its_arm():
    with pytest.raises(HostError, match="cpuset, CPU 1, does not have all of CPU 3"):
        neighbour_limits("shared", limits(1, cpuset=(1,)), limits(1), FOUR)
    assert FOUR.place(neighbour_limits("apart", limits(1, cpuset=(1,)), limits(1), FOUR)).instance == (1,)
    with pytest.raises(HostError, match="apart"):
        neighbour_limits("apart", limits(1, cpuset=(3,)), limits(1), FOUR)


def test_one_that_is_apart_has_no_core_of_the_instance_and_the_harness():
    assert FOUR.place(neighbour_limits("apart", limits(1), limits(1), FOUR)).instance == (2,)
    assert FOUR.place(neighbour_limits("apart", limits(2), limits(1), FOUR)).instance == (1, 2)
    threads = placer((0, 3), (1, 4), (2, 5))
    assert threads.place(limits(1)).instance == (5,)
    assert neighbour_limits("apart", limits(2), limits(1), threads).cpuset == (1, 4)


@pytest.mark.parametrize("host", [placer((0,)), placer((0,), (1,)), placer((0, 2), (1, 3))])
def test_no_neighbour_is_apart_on_a_host_that_is_too_small(host):
    with pytest.raises(HostError, match=r"0 are left; say 'cpus: shared', or use a larger host"):
        neighbour_limits("apart", limits(1), limits(1), host)
