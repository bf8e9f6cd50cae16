"""A guest's limits of CPUs are those of QEMU's cgroup, read back from the kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conformance import output

from runtimes.base import Limits

pytestmark = [pytest.mark.host, pytest.mark.guest]


def cgroup_files(facilities, spec, *names):
    """The files of these names in an instance's cgroup, which version 1 has in some of its hierarchies each."""
    paths = [top / spec.name / name for top in facilities.cgroups.directories for name in names]
    return {path.name: path.read_text().strip() for path in paths if path.exists()}


def cpuset_and_weight(facilities, spec):
    """What an instance's cgroup was given, whichever version it is of; the weight as version 2 has it."""
    files = cgroup_files(facilities, spec, "cpuset.cpus", "cpu.weight", "cpu.shares")
    weight = int(files["cpu.weight"]) if "cpu.weight" in files else int(files["cpu.shares"]) * 100 / 1024
    return files["cpuset.cpus"], weight


def affinities(facilities, spec):
    """The CPUs that QEMU's threads may run on, by what the threads are called."""
    pids = map(int, cgroup_files(facilities, spec, "cgroup.procs")["cgroup.procs"].split())
    # Without a command line it is a worker of the kernel's.
    (qemu,) = (pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes())
    tasks = Path(f"/proc/{qemu}/task").iterdir()
    return {(task / "comm").read_text().strip(): os.sched_getaffinity(int(task.name)) for task in tasks}


@pytest.mark.parametrize("which", [min, max])
def test_a_cpuset_and_a_weight_hold_all_of_qemu(runtime, facilities, new_spec, which):
    """Of the CPUs, also the one that no instance gets unasked."""
    cpu = which(os.sched_getaffinity(0))
    spec = new_spec(scratch=False, limits=Limits(cpus=1, cpuset=(cpu,), memory=128 << 20, cpu_weight=250))
    with runtime.start(spec) as instance:
        assert cpuset_and_weight(facilities, spec) == (str(cpu), 250)
        threads = affinities(facilities, spec)
        assert {name.partition("/")[0] for name in threads} > {"CPU 0"}, "a vCPU, and others"
        assert set(map(frozenset, threads.values())) == {frozenset({cpu})}
        assert instance.facts["vcpu_cpus"] == str(cpu)
        assert output(instance, "nproc") == "1"


def test_without_them_it_may_use_the_highest_cpu_and_weighs_what_all_do(runtime, facilities, new_spec):
    spec = new_spec(scratch=False)
    with runtime.start(spec):
        assert cpuset_and_weight(facilities, spec) == (str(max(os.sched_getaffinity(0))), 100)
