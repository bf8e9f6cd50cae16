"""What the suites and the doctor came to in the lab. The driver runs them before these tests, with KVM asked for."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from leftovers import leftovers

from results.checks import checks_of
from results.limits import limits_of
from results.store import Store

pytestmark = pytest.mark.lab

SHARED_KERNEL = {"has_its_own_kernel"}
"""What no container can claim."""

TOO_MUCH = 25.0
"""Percent above a limit that nothing explains but its absence. To reach a limit, an emulated host may be too slow."""

TOO_LITTLE = -50.0
"""Percent below a limit of CPU time or memory that no busy host explains."""

IO_LIMITS = ("io.read_bytes", "io.write_bytes", "io.read_ops", "io.write_ops")


def stored(suite):
    """The samples of a shipped suite's run."""
    with Store(Path(os.environ["BENCH_STORE"])).open(create=False) as store:
        (run,) = [run for run in store.runs() if run.suite == f"{suite}-kvm"]
        return store.frame(run.id)


@pytest.fixture(scope="module")
def rows():
    """The quick suite's rows as the driver had them exported."""
    with (Path(os.environ["BENCH_STORE"]).parent / "quick.csv").open() as file:
        return list(csv.DictReader(file))


def test_doctor_says_that_kvm_works():
    told = (Path(os.environ["BENCH_STORE"]).parent / "doctor.log").read_text()
    checks = {check["name"]: check for check in json.loads(told)}
    assert checks["KVM"]["status"] == "ok", checks["KVM"]
    assert "a guest booted under KVM" in checks["KVM"]["detail"]
    assert checks["cgroups"]["status"] == "ok", checks["cgroups"]
    assert [check for check in checks.values() if check["status"] == "missing"] == []


def test_guests_are_exported_as_run_by_kvm(rows):
    assert {row["accel"] for row in rows if row["arm"] == "vm"} == {"kvm"}
    assert "kvm" not in {row["accel"] for row in rows if row["arm"] != "vm"}


def test_every_workload_ran_in_every_arm(rows):
    arms = {arm: {row["workload"] for row in rows if row["arm"] == arm} for arm in ("native", "container", "vm")}
    assert arms["native"] == arms["container"] == arms["vm"]
    assert arms["vm"] >= {"null", "fio", "iperf3", "redis", "sysbench-cpu", "sysbench-memory"}


def test_containers_and_guests_are_isolated():
    (checks,) = checks_of(stored("isolation"))
    broken = {
        arm: {claim for claim, tally in checks.of_arm(arm).items() if not tally.holds}
        for arm in ("container", "container-userns", "vm")
    }
    assert broken["vm"] == set()
    assert broken["container"] <= SHARED_KERNEL | {"root_inside_is_not_root_outside"}
    assert broken["container-userns"] <= SHARED_KERNEL


def test_no_limit_is_exceeded_and_none_gives_nothing():
    given = limits_of(stored("limits"))
    assert {(limit.arm, limit.limit) for limit in given} == {
        (arm, limit)
        for arm in ("container-50", "vm-50")
        for limit in ("cpus", "memory", *IO_LIMITS, "net.ingress", "net.egress")
    }
    assert [limit for limit in given if limit.error > TOO_MUCH] == []
    assert [limit for limit in given if limit.limit in ("cpus", "memory") and limit.error < TOO_LITTLE] == []
    assert [limit for limit in given if limit.given <= 0] == []


def test_guests_tell_their_start_by_their_own_clock(rows):
    def trials(metric):
        return {row["trial"] for row in rows if row["arm"] == "vm" and row["metric"] == metric}

    for phase in ("guest_firmware", "guest_kernel", "guest_initramfs"):
        assert trials(f"startup.{phase}") == trials("startup_time") != set()


def test_the_benchmark_of_a_start_ran_by_kvm():
    told = json.loads((Path(os.environ["BENCH_STORE"]).parent / "vm-start.json").read_text())
    assert told["accel"] == "kvm"
    assert told["n"] > 0
    assert told["n"] > 0
    assert told["absent"] == {}
    seconds = ("stock_s", "tuned_s", "restore_s", "plain_s", "plain_quiet_s", "best_s")
    ratios = ("ratio_best", "ratio_plain", "ratio_plain_quiet", "ratio_restore")
    assert [key for key in (*seconds, *ratios) if not told[key] > 0] == []
    assert isinstance(told["libvirt_ms"], float)
    for arm in ("stock", "tuned", "restore"):
        assert sum(told["phases_ms"][arm].values()) > 0


def test_nothing_of_the_runs_is_left():
    assert {kind: found for kind, found in leftovers().items() if found} == {}
