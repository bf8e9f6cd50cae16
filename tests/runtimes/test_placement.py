"""Placements on hosts of other shapes."""

from __future__ import annotations

import pytest
from host_trees import make_system
from hypothesis import given
from hypothesis import strategies as st

from runtimes.base import Limits
from runtimes.placement import make_placer
from runtimes.topology import Cpu, Topology, read_topology

APART = ()


def limits(cpus: float, cpuset: tuple[int, ...] = ()) -> Limits:
    return Limits(cpus, cpuset, 1 << 20)


@pytest.fixture
def place(tmp_path):
    """Places limits on a host, which is given as the cores, last-level caches and NUMA nodes that it has."""

    def placed(asked, cores, caches=(), nodes=(), usable=None):
        every = [cpu for core in cores for cpu in core]
        topology = read_topology(usable or every, make_system(tmp_path, cores, caches, nodes))
        return make_placer(topology, [asked]).place(asked)

    return placed


TWO_CORES = [(0,), (1,)]
FOUR_CORES = [(0, 4), (1, 5), (2, 6), (3, 7)]
SOCKETS = [(0, 1, 4, 5), (2, 3, 6, 7)]


def told(placement):
    return placement.instance, placement.peer, placement.harness, placement.shared


def test_one_cpu(place):
    shared = tuple(
        f"{pair} share CPU 0"
        for pair in ("instance and load generator", "instance and harness", "load generator and harness")
    )
    assert told(place(limits(1), [(0,)])) == ((0,), (0,), (0,), shared)


def test_two_cores(place):
    assert told(place(limits(1), TWO_CORES)) == ((1,), (0,), (0,), ("load generator and harness share CPU 0",))


def test_two_cores_of_which_an_instance_has_both(place):
    assert told(place(limits(2), TWO_CORES)) == (
        (0, 1),
        (0,),
        (0,),
        (
            "instance and load generator share CPU 0",
            "instance and harness share CPU 0",
            "load generator and harness share CPU 0",
        ),
    )


def test_two_threads_of_one_core(place):
    assert told(place(limits(1), [(0, 1)])) == (
        (1,),
        (0,),
        (0,),
        (
            "instance (CPU 1) and load generator (CPU 0) share a core",
            "instance (CPU 1) and harness (CPU 0) share a core",
            "load generator and harness share CPU 0",
        ),
    )


@pytest.mark.parametrize(
    ("cpus", "instance", "peer", "shared"),
    [
        (1, (7,), (1, 2, 5, 6), APART),
        (1.5, (3, 7), (1, 2, 5, 6), APART),
        (3, (3, 6, 7), (1, 5), APART),
        (4, (2, 3, 6, 7), (1, 5), APART),
        (6, (1, 2, 3, 5, 6, 7), (0, 4), ("load generator and harness share CPU 0",)),
        (
            7,
            (1, 2, 3, 4, 5, 6, 7),
            (0,),
            (
                "instance (CPU 4) and load generator (CPU 0) share a core",
                "instance (CPU 4) and harness (CPU 0) share a core",
                "load generator and harness share CPU 0",
            ),
        ),
    ],
)
def test_four_cores_of_two_threads(place, cpus, instance, peer, shared):
    assert told(place(limits(cpus), FOUR_CORES)) == (instance, peer, (0,), shared)


def test_an_instance_keeps_to_one_socket_as_far_as_it_fits(place):
    assert told(place(limits(4), FOUR_CORES, SOCKETS, SOCKETS)) == ((2, 3, 6, 7), (1, 5), (0,), APART)


def test_an_instance_larger_than_a_socket_is_told_of(place):
    assert told(place(limits(5), FOUR_CORES, SOCKETS, SOCKETS)) == (
        (2, 3, 5, 6, 7),
        (0, 4),
        (0,),
        (
            "load generator and harness share CPU 0",
            "the instance is spread over 2 last-level caches",
            "the instance is spread over 2 NUMA nodes",
        ),
    )


def test_an_instance_is_under_one_cache_of_a_node_that_has_several(place):
    cores = [(cpu,) for cpu in range(8)]
    caches = [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert place(limits(3), cores, caches).instance == (5, 6, 7)
    assert place(limits(4), cores, caches).instance == (4, 5, 6, 7)


def test_caches_of_different_size(place):
    cores, caches = [(cpu,) for cpu in range(6)], [(0, 1, 2, 3), (4, 5)]
    assert place(limits(2), cores, caches).instance == (4, 5)
    # Three fit beside the harness under the larger cache only.
    assert place(limits(3), cores, caches).instance == (1, 2, 3)


def test_a_core_of_which_others_have_a_thread_is_taken_last(place):
    assert place(limits(2), FOUR_CORES, usable=(0, 1, 2, 3, 5, 6)).instance == (2, 6)
    assert place(limits(1), FOUR_CORES, usable=(0, 1, 3, 5)).instance == (5,)


def test_a_cpuset_is_never_left_and_the_harness_keeps_off_it(place):
    placement = place(limits(2, (0, 1)), FOUR_CORES)
    assert (placement.instance, placement.harness, placement.shared) == ((0, 1), (2,), APART)
    assert placement.peer == (3, 7)


def test_a_cpuset_larger_than_the_limit_is_taken_from_by_the_same_rules(place):
    assert place(limits(2, (1, 2, 5)), FOUR_CORES).instance == (1, 5)


def test_a_cpuset_on_every_core_leaves_the_harness_a_thread(place):
    placement = place(limits(4, (0, 1, 2, 3)), FOUR_CORES)
    assert (placement.instance, placement.harness) == ((0, 1, 2, 3), (4,))
    assert placement.peer == (4, 5, 6, 7)


def test_the_harness_keeps_off_the_cpusets_of_all_arms():
    topology = Topology(tuple(Cpu(number, (number,), (0, 1, 2), 0) for number in range(3)))
    placer = make_placer(topology, [limits(1, (0,)), limits(1, (1,)), limits(1)])
    assert placer.harness == (2,)
    assert placer.place(limits(1)).instance == (1,)


@st.composite
def hosts(draw):
    threads = draw(st.sampled_from([1, 2]))
    count = draw(st.integers(1, 8))
    cores = [tuple(core + count * thread for thread in range(threads)) for core in range(count)]
    per_cache = draw(st.integers(1, count))
    caches = [sum(cores[start : start + per_cache], ()) for start in range(0, count, per_cache)]
    every = [
        Cpu(cpu, core, next(tuple(sorted(cache)) for cache in caches if cpu in cache), 0)
        for core in cores
        for cpu in core
    ]
    usable = draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
    return Topology(tuple(sorted(usable, key=lambda cpu: cpu.number)))


@given(hosts(), st.data())
def test_whatever_the_host_an_instance_has_as_many_cpus_as_its_limit(topology, data):
    count = data.draw(st.integers(1, len(topology.numbers)))
    cpuset = tuple(data.draw(st.lists(st.sampled_from(topology.numbers), min_size=count, unique=True)))
    for asked in (limits(count), limits(count, cpuset)):
        placement = make_placer(topology, [asked]).place(asked)
        assert len(placement.instance) == count
        assert set(placement.instance) <= set(asked.cpuset or topology.numbers)
        assert set(placement.peer) | set(placement.harness) <= set(topology.numbers)
        assert placement.peer
        if count < len(topology.numbers):
            assert not set(placement.instance) & set(placement.peer)
            assert not set(placement.instance) & set(placement.harness)
        told_of_instance = any(text.startswith("instance") for text in placement.shared)
        cores = {cpu for number in placement.instance for cpu in topology.threads(number)}
        assert told_of_instance == bool(cores & {*placement.peer, *placement.harness})
