"""Topologies are read from trees that stand for the sysfs of other hosts."""

from __future__ import annotations

import os

import pytest
from host_trees import make_system
from hypothesis import given
from hypothesis import strategies as st

from runtimes.topology import Cpu, format_cpus, parse_cpus, read_topology


@given(st.lists(st.integers(0, 500), unique=True).map(sorted))
def test_lists_of_cpus_read_back_as_written(listed):
    assert parse_cpus(format_cpus(listed)) == tuple(listed)


def test_lists_of_cpus():
    assert parse_cpus("0-2,5,7-8\n") == (0, 1, 2, 5, 7, 8)
    assert parse_cpus("\n") == ()
    assert format_cpus((8, 0, 1, 2, 5, 7)) == "0-2,5,7-8"
    assert format_cpus(()) == ""


def test_threads_of_a_core_share_all_its_caches(tmp_path):
    read = read_topology((0, 1), make_system(tmp_path, [(0, 1)]))
    assert read.cpus == (Cpu(0, (0, 1), (0, 1), 0), Cpu(1, (0, 1), (0, 1), 0))
    assert read.threads(1) == (0, 1)


def test_two_sockets(tmp_path):
    low, high = (0, 1, 4, 5), (2, 3, 6, 7)
    system = make_system(tmp_path, [(0, 4), (1, 5), (2, 6), (3, 7)], [low, high], [low, high])
    read = read_topology(range(8), system)
    assert [cpu.node for cpu in read.cpus] == [0, 0, 1, 1, 0, 0, 1, 1]
    assert read.by_number[6] == Cpu(6, (2, 6), high, 1)


def test_caches_that_are_smaller_than_a_node(tmp_path):
    system = make_system(tmp_path, [(cpu,) for cpu in range(8)], [(0, 1, 2, 3), (4, 5, 6, 7)])
    read = read_topology(range(8), system)
    assert {cpu.node for cpu in read.cpus} == {0}
    assert {cpu.cache for cpu in read.cpus} == {(0, 1, 2, 3), (4, 5, 6, 7)}


def test_cpus_that_we_may_not_use_are_known_as_siblings_only(tmp_path):
    read = read_topology((1, 3), make_system(tmp_path, [(0, 1), (2, 3)]))
    assert read.numbers == (1, 3)
    assert read.by_number[3].core == (2, 3)
    assert read.threads(3) == (3,)


@pytest.mark.parametrize("damage", ["absent", "nonsense"])
def test_what_sysfs_does_not_tell_is_not_shared(tmp_path, damage):
    if damage == "nonsense":
        make_system(tmp_path, [(0, 1)])
        for name in ("cpu/cpu0/topology/thread_siblings_list", "cpu/cpu0/cache/index3/shared_cpu_list"):
            (tmp_path / name).write_text("x-y\n")
    first = read_topology((0, 1), tmp_path).cpus[0]
    assert first == Cpu(0, (0,), (0, 1), 0)


def test_this_host():
    read = read_topology(os.sched_getaffinity(0))
    assert set(read.numbers) == os.sched_getaffinity(0)
    assert all(cpu.number in cpu.core and set(cpu.core) <= set(cpu.cache) for cpu in read.cpus)
