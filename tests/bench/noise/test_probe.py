"""The probe on this host, and what it makes of counters."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace

import pytest

from bench.noise import spin
from bench.noise.counters import Counters
from bench.noise.probe import NoiseProbe, since
from bench.noise.spin import rounds_of, spin_on, summarise
from results.noise import NoiseReading
from runtimes.topology import Cpu, Topology, read_topology

BEFORE = Counters(
    at=10.0, busy=100.0, kernel={(7, 1): 5.0}, stolen=1.0, interrupts=1000, waited={"cpu": 2.0}, throttled=3
)
READING = NoiseReading(1, "now", None, 0.0, (), None, None, None, 4, None)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(spin, "CHUNKS", 200)


def test_what_has_been_between_two_readings():
    now = Counters(
        at=20.0, busy=118.0, kernel={(7, 1): 6.0}, stolen=2.0, interrupts=6000, waited={"cpu": 4.5}, throttled=5
    )
    read = since(READING, BEFORE, now, own=12.0, measured=2)
    assert (read.seconds, read.steal, read.own, read.outside) == (10.0, 0.05, 1.2, 0.5)
    assert (read.interrupts, read.pressure, read.throttled) == (500.0, {"cpu": 0.25}, 2)


def test_a_kernel_thread_that_has_ended_and_ticks_that_do_not_add_up_are_no_load():
    now = replace(BEFORE, at=20.0, busy=110.0, kernel={}, throttled=None)
    read = since(READING, BEFORE, now, own=12.0, measured=1)
    assert (read.outside, read.throttled) == (0.0, None)


def test_the_end_of_one_kernel_thread_does_not_hide_the_work_of_another():
    before = replace(BEFORE, kernel={(7, 1): 5.0, (8, 1): 900.0})
    now = replace(BEFORE, at=20.0, busy=110.0, kernel={(7, 1): 12.0, (8, 2): 3.0})
    assert since(READING, before, now, own=0.0, measured=1).outside == 0.0


def test_chunks_in_figures():
    quiet = summarise(3, [100_000] * 200)
    assert (quiet.cpu, quiet.chunks, quiet.median, quiet.p99, quiet.gaps, quiet.lost) == (3, 200, 1e-4, 1e-4, 0, 0)
    held_up = summarise(3, [100_000] * 196 + [149_000, 151_000, 4_100_000, 8_100_000])
    assert (held_up.median, held_up.gaps, held_up.longest) == (1e-4, 3, 8.1e-3)
    assert held_up.p99 == 4.1e-3
    assert held_up.lost == pytest.approx(1 - 20_000_000 / 32_100_000)


def test_threads_of_one_core_are_probed_one_after_the_other():
    topology = Topology(tuple(Cpu(number, (number % 2, number % 2 + 2), (0,), 0) for number in range(4)))
    assert rounds_of(topology, {1, 2, 3}) == [(1, 2), (3,)]
    assert rounds_of(topology, {0}) == [(0,)]


def test_the_same_work_takes_the_same_time_again(short):
    cpu = max(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    (one,), (other,) = spin_on([(cpu,)]), spin_on([(cpu,)])
    assert os.sched_getaffinity(0) == before
    assert one.cpu == cpu
    assert one.chunks == other.chunks == 200
    # Hypervisors move CPUs about; a chunk whose work the compiler left out would take nothing.
    assert 1e-5 < one.median == pytest.approx(other.median, rel=0.5)


def test_a_process_on_the_same_cpu_is_seen_as_gaps(monkeypatch):
    monkeypatch.setattr(spin, "CHUNKS", 1500)
    cpu = max(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"]
    with subprocess.Popen(command) as other:
        try:
            time.sleep(0.1)
            (disturbed,) = spin_on([(cpu,)])
        finally:
            other.kill()
    assert disturbed.gaps > 3
    assert disturbed.lost > 0.2
    assert disturbed.longest > 10 * disturbed.median


def test_a_cpu_that_we_may_not_run_on_is_left_out(short):
    assert spin_on([(8191,)]) == ()


def test_readings_one_after_the_other(short):
    cpu = max(os.sched_getaffinity(0))
    probe = NoiseProbe(read_topology(os.sched_getaffinity(0)), frozenset({cpu}), lambda: 0.0)
    first = probe.take(0)
    sum(range(5_000_000))
    second = probe.take(1)
    assert (first.block, first.seconds, first.outside) == (0, None, None)
    assert [each.cpu for each in first.spins] == [cpu]
    assert second.seconds is not None
    assert 0 < second.seconds < 30
    assert second.own is not None
    assert second.own > 0.1  # our own work is not taken for others'
    assert second.cpus == os.cpu_count()
    assert 0 < second.cost < 10
