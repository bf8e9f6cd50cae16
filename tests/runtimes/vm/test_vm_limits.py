"""A guest's limits of CPUs are those of QEMU's cgroup, read back from the kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conformance import output

from runtimes.base import Limits

pytestmark = [pytest.mark.host, pytest.mark.guest]


def cpuset_and_weight(facilities, name):
    """What the files of an instance's cgroup say, whichever version it is of; the weight as version 2 has it."""
    files = [file for top in facilities.cgroups.directories for file in (top / name).iterdir()]
    text = {file.name: file.read_text().strip() for file in files if file.name in {"cpuset.cpus", "cpu.shares", "cpu.weight"}}
    weight = int(text["cpu.weight"]) if "cpu.weight" in text else int(text["cpu.shares"]) * 100 / 1024
    return text["cpuset.cpus"], weight


def affinities(facilities, name):
    """The CPUs that QEMU's threads may run on, by what the threads are called."""
    found = {}
    for pid in {int(pid) for top in facilities.cgroups.directories for pid in (top / name / "cgroup.procs").read_text().split()}:
        if not Path(f"/proc/{pid}/cmdline").read_bytes():
            continue  # a worker of the kernel's
        for task in Path(f"/proc/{pid}/task").iterdir():
            found[(task / "comm").read_text().strip()] = os.sched_getaffinity(int(task.name))
    return found


@pytest.mark.parametrize("which", [min, max])
def test_a_cpuset_and_a_weight_hold_all_of_qemu(runtime, facilities, new_spec, which):
    """Of the CPUs, also the one that no instance gets unasked."""
    cpu = which(os.sched_getaffinity(0))
    spec = new_spec(scratch=False, limits=Limits(cpus=1, cpuset=(cpu,), memory=128 << 20, cpu_weight=250))
    with runtime.start(spec) as instance:
        assert cpuset_and_weight(facilities, spec.name) == (str(cpu), 250)
        threads = affinities(facilities, spec.name)
        assert {name.partition("/")[0] for name in threads} > {"CPU 0"}, "there are vCPUs and others"
        assert set(map(frozenset, threads.values())) == {frozenset({cpu})}
        assert instance.facts["vcpu_cpus"] == str(cpu)
        assert output(instance, "nproc") == "1"


def test_without_them_it_may_use_the_highest_cpu_and_weighs_what_all_do(runtime, facilities, new_spec):
    spec = new_spec(scratch=False)
    with runtime.start(spec):
        assert cpuset_and_weight(facilities, spec.name) == (str(max(os.sched_getaffinity(0))), 100)
