"""Limits and accounting that every runtime must get right: what was asked for is what is given, and it is told."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from runtimes.agent.client import Command
from runtimes.base import IoLimits

BUSY = "while :; do :; done"
MIB = 1 << 20


def run(instance, script):
    return instance.agent.run(Command(("sh", "-c", script), timeout=60.0))


def written_directly(name, mebibytes, block="64k"):
    """A command that writes a file to the scratch disk, past the page cache."""
    blocks = mebibytes * MIB // {"64k": 65536, "4k": 4096}[block]
    return f"dd if=/dev/zero of=/scratch/{name} bs={block} count={blocks} oflag=direct 2>&1"


def timed(instance, script):
    began = time.monotonic()
    completed = run(instance, script)
    assert completed.ok, completed
    return time.monotonic() - began


def cpus_used(*instances):
    """CPUs in use by each in the same time: whole periods of the quota, of which each gives as much as the others."""
    before, began = [instance.usage().cpu_time for instance in instances], time.monotonic()
    time.sleep(3)
    after, ended = [instance.usage().cpu_time for instance in instances], time.monotonic()
    return [(late - early) / (ended - began) for early, late in zip(before, after, strict=True)]


class LimitsConformance:
    """Tests that all runtimes inherit."""

    shares_kernel = True

    cpus = 0.25
    """The quota that is looked at."""

    def test_a_cpu_quota_is_met(self, runtime, new_spec):
        spec = new_spec(scratch=False)
        with runtime.start(replace(spec, limits=replace(spec.limits, cpus=self.cpus))) as instance:
            run(instance, f"({BUSY}) >/dev/null 2>&1 &")
            # The first periods give up to a tenth more, as the kernel only charges at its ticks.
            timed(instance, "sleep 0.5")
            # Others on the host make it less, and where a period begins just after the first look and another just
            # before the last, it is one in thirty more: what it gets in one of three times counts.
            quota = pytest.approx(self.cpus, rel=0.03)
            found = cpus_used(instance)
            while len(found) < 3 and found[-1] != quota:
                found += cpus_used(instance)
            assert found[-1] == quota, found
            assert instance.usage().throttled_time > 0

    def test_cpu_time_is_split(self, runtime, new_spec):
        with runtime.start(new_spec(scratch=False)) as instance:
            before = instance.usage()
            run(instance, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
            usage = instance.usage()
            assert usage.cpu_user > before.cpu_user
            assert usage.cpu_user + usage.cpu_system == pytest.approx(usage.cpu_time, rel=0.01)
            assert usage.throttled_time == 0

    def test_cpus_are_shared_by_weight(self, runtime, new_spec):
        if not self.shares_kernel:
            pytest.skip("a guest's own work drowns it where it is emulated")
        light, heavy = new_spec(scratch=False), new_spec(scratch=False)
        cpu = (max(os.sched_getaffinity(0)),)
        with (
            runtime.start(replace(light, limits=replace(light.limits, cpuset=cpu, cpu_weight=100))) as one,
            runtime.start(replace(heavy, limits=replace(heavy.limits, cpuset=cpu, cpu_weight=300))) as other,
        ):
            for instance in (one, other):
                run(instance, f"({BUSY}) >/dev/null 2>&1 &")
            less, more = cpus_used(one, other)
            assert more / less == pytest.approx(3, rel=0.1)

    def test_a_limit_of_processes_is_met(self, runtime, new_spec):
        if not self.shares_kernel:
            pytest.skip("processes of a guest are its own kernel's")
        spec = new_spec(scratch=False)
        with runtime.start(replace(spec, limits=replace(spec.limits, pids=10))) as instance:
            assert instance.usage().pids_limit_hits == 0
            assert not run(instance, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; wait").ok
            usage = instance.usage()
            assert usage.pids_limit_hits >= 1
            assert usage.pids_peak in (None, 10)

    @pytest.mark.parametrize(
        ("limits", "script", "seconds"),
        [
            (IoLimits(write_bytes=4 * MIB), written_directly("a", 8), 2),
            (IoLimits(write_ops=64), written_directly("a", 8), 2),
            (IoLimits(read_bytes=4 * MIB), "dd if=/scratch/a of=/dev/null bs=64k iflag=direct 2>&1", 2),
            (IoLimits(read_ops=64), "dd if=/scratch/a of=/dev/null bs=64k iflag=direct 2>&1", 2),
        ],
    )
    def test_io_to_the_scratch_disk_is_limited(self, runtime, new_spec, limits, script, seconds):
        if not self.shares_kernel:
            pytest.skip("a guest's disk is limited by QEMU")
        spec = new_spec()
        with runtime.start(replace(spec, limits=replace(spec.limits, io=limits))) as instance:
            if "if=/scratch" in script:
                assert timed(instance, written_directly("a", 8)) < seconds / 2, "what is not limited must not be slow"
            # Never faster; a host that is busy otherwise may make it slower.
            assert 0.9 * seconds < timed(instance, script) < 1.5 * seconds

    def test_io_is_what_reached_the_disk(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            before = instance.usage().io
            assert before is not None
            timed(instance, written_directly("a", 4))
            timed(instance, "dd if=/scratch/a of=/dev/null bs=64k iflag=direct 2>&1")
            after = instance.usage().io
            assert 4 * MIB <= after.write_bytes - before.write_bytes < 5 * MIB
            assert 4 * MIB <= after.read_bytes - before.read_bytes < 5 * MIB
            assert after.write_ops - before.write_ops >= 64
            assert after.read_ops - before.read_ops >= 64
