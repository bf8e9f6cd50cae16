"""Many starts one after the other, and a hundred containers at once."""

from __future__ import annotations

import os
import statistics
from contextlib import ExitStack
from pathlib import Path

import pytest
from conformance import agent_on_host, output
from traces import count, host_traces, idle_descriptors, runs

from runtimes.container.options import ContainerOptions
from runtimes.container.runtime import ContainerRuntime

pytestmark = pytest.mark.host


@pytest.fixture
def runtime(facilities, request):
    with ContainerRuntime.open(facilities, ContainerOptions(network=request.param)) as opened:
        yield opened


def resident(pid):
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def start_and_stop(runtime, spec):
    """Seconds from request to READY."""
    with runtime.start(spec) as instance:
        instance.stop()
        return instance.timeline.seconds("requested", "ready")


@pytest.mark.parametrize(("runtime", "starts"), [("none", 1000), ("bridge", 400)], indirect=["runtime"])
def test_many_starts_leave_the_launcher_as_it_was(facilities, new_spec, runtime, starts):
    """Those with a network take ten times as long, so there are fewer: what leaks, leaks in each."""
    spec = new_spec(scratch=False)
    launcher = facilities.launcher.pid
    proc = Path(f"/proc/{launcher}")
    first = [start_and_stop(runtime, spec) for _ in range(100)]
    before = host_traces(facilities), idle_descriptors(launcher), count(proc / "task")
    memory = resident(launcher)
    for _ in range(starts - 200):
        start_and_stop(runtime, spec)
    last = [start_and_stop(runtime, spec) for _ in range(100)]
    assert facilities.launcher.pid == launcher
    # The launcher learns of a process's end as we do, and may close what it has of the last one only after us.
    assert (host_traces(facilities), idle_descriptors(launcher), count(proc / "task")) == before
    assert resident(launcher) - memory < 1 << 20
    # A leak that slows starts down does so with every one; whatever else the machine does is far from doubling it.
    assert statistics.median(last) < 2 * statistics.median(first)


@pytest.mark.parametrize("runtime", ["none", "bridge"], indirect=True)
def test_a_hundred_run_at_once(facilities, new_spec, runtime):
    start_and_stop(runtime, new_spec(scratch=False))
    before = host_traces(facilities)
    with ExitStack() as stack:
        specs = [new_spec(scratch=False) for _ in range(100)]
        instances = [stack.enter_context(runtime.start(spec)) for spec in specs]
        pids = [agent_on_host(facilities, spec) for spec in specs]
        assert len(set(pids)) == 100
        assert [output(instance, "hostname") for instance in instances] == [spec.name for spec in specs]
        addresses = {instance.address for instance in instances}
        assert addresses == {None} or len(addresses) == 100
        for instance in instances:
            instance.stop()
    assert not any(map(runs, pids))
    assert host_traces(facilities) == before
