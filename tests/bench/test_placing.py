"""What plan and report tell of where arms run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.cli.plan_table import plan_renderables
from bench.placing import alike, expected_placer, placement_data
from bench.plan import make_plan
from bench.suite import load_suite
from runtimes.placement import make_placer
from runtimes.topology import Cpu, Topology

SUITE = """
name: placed
baseline: native
limits: {cpus: 1, memory: 64M}
arms:
  native: {runtime: native}
  container: {runtime: container}
  stock: {runtime: vm}
  tuned: {runtime: vm, tuned: true}
  unpinned: {runtime: vm, tuned: true, pinning: false}
  large: {runtime: native, limits: {cpus: 3}}
workloads: ["null"]
sampling: {blocks: 1}
"""
STOCK = "QEMU's own threads are on the instance's CPUs, as part of what it costs"
TUNED = "each virtual processor keeps to one of the instance's CPUs, QEMU's other threads to any of them"


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE)
    return load_suite(str(path))


@pytest.fixture
def placement(suite):
    """Of two cores."""
    topology = Topology((Cpu(0, (0,), (0, 1), 0), Cpu(1, (1,), (0, 1), 0)))
    return placement_data(make_placer(topology, [arm.limits for arm in suite.arms]), suite.arms)


def test_arms_with_the_same_limits_have_the_same_cpus(placement):
    cpus = {arm: {party: placed[party] for party in placed if party != "notes"} for arm, placed in placement.items()}
    small = {"instance": [1], "load_generator": [0], "harness": [0]}
    assert [cpus[arm] for arm in ("native", "container", "stock", "tuned", "unpinned")] == [small] * 5
    assert cpus["large"]["instance"] == [0, 1]


def test_what_is_shared_and_where_qemu_runs_is_told_in_words(placement):
    shared = "load generator and harness share CPU 0"
    notes = {arm: placed["notes"] for arm, placed in placement.items()}
    assert notes["native"] == notes["container"] == [shared]
    assert notes["stock"] == notes["unpinned"] == [shared, STOCK]
    assert notes["tuned"] == [shared, TUNED]
    assert notes["large"][0] == "3 CPUs cannot be given out of CPUs 0-1"


def test_arms_that_are_placed_alike_are_told_of_together(placement):
    assert [names for names, _ in alike(placement)] == [
        ["native", "container"],
        ["stock", "unpinned"],
        ["tuned"],
        ["large"],
    ]


def test_the_plan_has_a_table_of_it(suite, placement):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(*plan_renderables(make_plan(suite), placement))
    text = console.export_text()
    row = next(line for line in text.splitlines() if line.startswith("native, container"))
    assert row.split()[2:5] == ["1", "0", "0"]
    assert "load generator and harness share CPU 0" in row


def test_on_this_host_every_arm_has_a_place(suite):
    placed = placement_data(expected_placer(suite.arms), suite.arms)
    assert list(placed) == [arm.name for arm in suite.arms]
    assert all(each["instance"] and each["load_generator"] and each["harness"] for each in placed.values())
