"""The quick suite's run in the lab, which the driver carries out before the tests: what it says of guests under KVM."""

from __future__ import annotations

import csv
import io
import subprocess

import pytest

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def rows():
    exported = subprocess.run(
        ["bench", "export", "quick-kvm", "--format", "csv"], capture_output=True, text=True, check=True
    )
    return list(csv.DictReader(io.StringIO(exported.stdout)))


def test_guests_are_stored_as_run_by_kvm(rows):
    assert {row["accel"] for row in rows if row["arm"] == "vm"} == {"kvm"}
    assert {row["accel"] for row in rows if row["arm"] != "vm"} == {""}


def test_every_workload_ran_in_every_arm(rows):
    arms = {arm: {row["workload"] for row in rows if row["arm"] == arm} for arm in ("native", "container", "vm")}
    assert arms["native"] == arms["container"] == arms["vm"]
    assert arms["vm"] >= {"null", "fio", "iperf3", "redis", "sysbench-cpu", "sysbench-memory"}
