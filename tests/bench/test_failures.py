"""Trials that fail on real arms: one line each wherever they are shown, the run goes on, and nothing is left."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from leftovers import leftovers

pytestmark = [pytest.mark.host, pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(600)]

BENCH = Path(sys.executable).with_name("bench")

SUITE = """
name: failing
baseline: container
limits: {cpus: 1, memory: 256M}
arms:
  container: {runtime: container}
  vm: {runtime: vm, accel: tcg}
  hasty: {runtime: vm, accel: tcg, timeouts: {start: 900ms}}
workloads: [./crash.yaml, ./fill.yaml]
sampling: {blocks: 1, seed: 1}
"""

PACKAGES = "packages: [fio, iperf3, redis-server, redis-tools, sysbench]"

CRASH = f"""
name: crash
description: Has the kernel panic where it is the instance's own.
{PACKAGES}
run:
  shell: |
    own=$(cat /proc/sys/kernel/random/boot_id)
    if [ -e /dev/vda ] && [ "$host_boot_id" ] && [ "$own" ] && [ "$own" != "$host_boot_id" ]; then
      echo c > /proc/sysrq-trigger
      sleep 60
    fi
    echo score: 1
parser: regex
metrics: {{score: {{unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}}}
"""

FILL = f"""
name: fill
description: Writes more than there is room for.
{PACKAGES}
scratch: 16M
run: [dd, if=/dev/zero, "of={{scratch}}/file", bs=1M, count=64]
parser: regex
metrics: {{score: {{unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}}}
"""


@pytest.fixture(autouse=True)
def before():
    """What the host had of ours; it has the same afterwards."""
    found = leftovers()
    yield
    assert leftovers() == found


def bench(*arguments, store, check):
    command = [BENCH, *arguments, "--store", store]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert finished.returncode == check, finished.stdout + finished.stderr
    return finished.stdout


def test_each_failure_is_one_line_and_the_run_goes_on(tmp_path):
    (tmp_path / "crash.yaml").write_text(CRASH)
    (tmp_path / "fill.yaml").write_text(FILL)
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE)
    store = tmp_path / "store"
    lines = bench("run", suite, store=store, check=1).splitlines()
    ended = [line for line in lines if line[9:10] == "[" and " in " in line]
    assert len(ended) == 6
    outcomes = {line.split("block 1: ")[1].split(":")[0]: line for line in ended}
    assert ": ok" in outcomes["crash in container"]
    assert "the guest ended: Kernel panic - not syncing: sysrq triggered crash" in outcomes["crash in vm"]
    assert "within 0.9 s" in outcomes["crash in hasty"]
    assert "No space left on device" in outcomes["fill in container"]
    assert "No space left on device" in outcomes["fill in vm"]
    shown = " ".join(bench("show", "latest", store=store, check=0).split())
    assert "Kernel panic - not syncing" in shown
    assert "Call Trace" not in shown
    logs = "".join(path.read_text() for path in store.glob("runs/*/trials/*/log.txt"))
    assert "on its console:\n" in logs
    rows = csv.DictReader(io.StringIO(bench("export", "latest", "--format", "csv", store=store, check=0)))
    assert {(row["workload"], row["arm"]) for row in rows} == {("crash", "container")}
