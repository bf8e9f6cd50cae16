"""One block of the shipped suite ``guests`` for real: most ways to make a guest meet the runner here alone.

Of its workloads ``fio`` is run alone: eight trials take long enough, and ``quick`` has the others.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from leftovers import leftovers

from bench.suite import load_suite

pytestmark = [pytest.mark.host, pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(900)]

BENCH = Path(sys.executable).with_name("bench")
WORKLOAD = "fio"
HOST = ["define", "spawn", "connected", "resume"]
INSIDE = ["guest_initramfs", "guest_userspace", "ready"]


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """The value of each metric by arm, in the order of recording; nothing is left of the run."""
    store = tmp_path_factory.mktemp("guests") / "store"
    before = leftovers()
    run = [BENCH, "run", "guests", "--blocks", "1", "--workload", WORKLOAD, "--store", store]
    finished = subprocess.run(run, capture_output=True, text=True, timeout=840, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert leftovers() == before
    export = [BENCH, "export", "latest", "--format", "csv", "--store", store]
    exported = subprocess.run(export, capture_output=True, text=True, check=True).stdout
    found = defaultdict(dict)
    for row in csv.DictReader(io.StringIO(exported)):
        found[row["arm"]][row["metric"]] = float(row["value"])
    return found


def test_every_arm_carries_out_the_workload(values):
    assert set(values) == {arm.name for arm in load_suite("guests").arms}
    assert all(metrics["iops"] > 0 for metrics in values.values())


def test_every_guest_tells_where_its_start_went(values):
    for arm in {arm.name for arm in load_suite("guests").arms if arm.runtime == "vm"}:
        metrics = values[arm]
        phases = {name: value for name, value in metrics.items() if name.startswith("startup.")}
        begins = ["guest_restored"] if arm == "restored" else ["guest_firmware", "guest_kernel"]
        assert list(phases) == [f"startup.{phase}" for phase in (*HOST, *begins, *INSIDE)], arm
        assert sum(phases.values()) == pytest.approx(metrics["startup_time"])


def test_the_figures_are_those_of_what_the_arms_are(values):
    start = {arm: found["startup_time"] for arm, found in values.items()}
    assert start["container"] < start["restored"] < min(start["tuned"], start["stock"])
    userspace = {arm: found.get("startup.guest_userspace") for arm, found in values.items()}
    assert userspace["systemd"] > 3 * userspace["stock"]
    with_boot_loader = {arm for arm, found in values.items() if "image_size.boot_loader" in found}
    assert with_boot_loader == {"disk", "uefi"}
    assert values["restored"]["memory_footprint"] < values["tuned"]["memory_footprint"]
