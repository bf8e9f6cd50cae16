"""Trials with more than one instance, for real: a density, and a workload beside neighbours."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from leftovers import leftovers
from whole_catalogue import PACKAGES

from results.records import neighbour_of

pytestmark = [pytest.mark.host, pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(900)]

BENCH = Path(sys.executable).with_name("bench")

SUITE = """
name: several
baseline: native
limits: {cpus: 1, memory: 96M}
timeouts: {start: 5m}
arms:
  native: {runtime: native}
  container: {runtime: container, network: bridge}
  vm: {runtime: vm, accel: tcg}
workloads: [%s]
sampling: {blocks: 1, seed: 1}
"""

VICTIM = """
name: counting
description: Counts for three seconds.
packages: [%s]
run: [sysbench, cpu, --time=3, --events=0, run]
parser: regex
metrics: {rate: {unit: events/s, better: higher, primary: true, pattern: 'events per second:\\s+([0-9.]+)'}}
"""


def rows_of(directory, workloads, *arms):
    (directory / "suite.yaml").write_text(SUITE % workloads)
    (directory / "counting.yaml").write_text(VICTIM % ", ".join(PACKAGES))
    before = leftovers()
    chosen = [word for arm in arms for word in ("--arm", arm)]
    command = [BENCH, "run", directory / "suite.yaml", "--store", directory / "store", "-q", *chosen]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert leftovers() == before
    exported = subprocess.run(
        [BENCH, "export", "latest", "--format", "csv", "--store", directory / "store"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return list(csv.DictReader(io.StringIO(exported.stdout)))


def values(rows, metric, arm, beside=None):
    found = (row for row in rows if row["metric"] == metric and row["arm"] == arm)
    return [float(row["value"]) for row in found if neighbour_of(row["params"])[1] == beside]


def test_a_further_guest_costs_what_a_guest_holds_and_a_further_container_hardly_anything(tmp_path):
    rows = rows_of(tmp_path, "{workload: density, params: {instances: 2}}", "container", "vm")
    each = {arm: values(rows, "marginal_memory", arm)[0] for arm in ("native", "container", "vm")}
    assert 30 * 2**10 < each["native"] < 2 * 2**20
    assert 30 * 2**10 < each["container"] < 4 * 2**20
    assert 60 * 2**20 < each["vm"] < 400 * 2**20
    for arm in each:
        assert values(rows, "instances_reached", arm) == [2]
        first, second = values(rows, "density.footprint", arm)
        assert first < second


def test_who_shares_a_cpu_with_a_busy_neighbour_gets_a_part_of_it(tmp_path):
    disk = "{workload: fio, params: {size: 16M}}"
    beside = f"[cpu-burn, {{workload: cpu-burn, arm: container}}, {disk}]"
    rows = rows_of(tmp_path, f"{{workload: ./counting.yaml, beside: {beside}}}", "container")
    for arm in ("native", "container"):
        (alone,) = values(rows, "rate", arm)
        for neighbour in ("cpu-burn", "cpu-burn@container"):
            (shared,) = values(rows, "rate", arm, neighbour)
            assert shared < 0.85 * alone
            assert values(rows, "beside.coverage", arm, neighbour)[0] > 0.9
            assert values(rows, "beside.cpus_used", arm, neighbour)[0] > 0.02
        assert values(rows, "beside.cpus_used", arm, "fio(size:16M)")[0] > 0
