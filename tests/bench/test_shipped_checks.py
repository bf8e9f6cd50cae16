"""The suites that look at what is rather than at how fast: isolation and limits, by the command that a user types."""

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
from workloads.loader import load_workload

pytestmark = [pytest.mark.host, pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(900)]

BENCH = Path(sys.executable).with_name("bench")

SHARED_KERNEL = {"has_its_own_kernel"}
"""What no container can claim."""

ALSO_ON_THE_BARE_HOST = {
    # Of a process in a chroot the kernel takes no user namespace, and nobody has left it a directory.
    "cannot_gain_capabilities_by_a_user_namespace",
    "cannot_leave_its_root_by_a_kept_descriptor",
    # What a kernel was built or booted without, and what is forbidden to the harness itself, cannot be reached.
    "cannot_give_orders_by_sysrq",
    "cannot_open_host_disks",
    "cannot_read_the_memory_of_the_host",
    "cannot_load_kernel_modules",
    "cannot_load_another_kernel",
    "cannot_use_io_ports",
    "cannot_run_in_real_time",
    "cannot_use_bpf",
    "cannot_watch_the_whole_host_with_perf",
    "cannot_reach_host_keyrings",
    "cannot_hold_up_the_kernel_by_page_faults",
    "cannot_have_a_program_run_by_the_cgroup_release_agent",
}
"""Claims that may hold on the bare host too, for reasons that are no isolation."""


LIMITED_ARM = "container-150"
"""The baseline, which is always run. The others are left out for the time they take; the lab has a container and a
guest with other limits, and what holds of each limit is tested where the runtimes are."""


def rows_of(suite, store, *options):
    before = leftovers()
    command = [BENCH, "run", suite, "--store", store, *options]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=840, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    exported = subprocess.run(
        [BENCH, "export", "latest", "--format", "csv", "--store", store], capture_output=True, text=True, check=True
    )
    assert leftovers() == before
    return list(csv.DictReader(io.StringIO(exported.stdout)))


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """The claims that are broken, by arm; every claim was checked in each."""
    found = defaultdict(set)
    checked = defaultdict(set)
    for row in rows_of("isolation", tmp_path_factory.mktemp("isolation") / "store"):
        if row["unit"] == "check":
            checked[row["arm"]].add(row["metric"])
            assert float(row["value"]) in {0, 1}
            if float(row["value"]) == 0:
                found[row["arm"]].add(row["metric"])
    claims = set(load_workload("isolation").metrics)
    assert dict(checked) == dict.fromkeys((arm.name for arm in load_suite("isolation").arms), claims)
    return found


def test_the_probes_reach_the_host_where_nothing_is_between(broken):
    assert set(load_workload("isolation").metrics) - broken["native"] <= ALSO_ON_THE_BARE_HOST
    assert len(broken["native"]) > 25


def test_a_guest_reaches_nothing_of_the_host(broken):
    assert broken["vm"] == set()


def test_a_container_shares_the_kernel_and_the_numbers_of_users_and_nothing_else(broken):
    assert broken["container"] == SHARED_KERNEL | {"root_inside_is_not_root_outside"}


def test_with_a_user_namespace_a_container_shares_the_kernel_alone(broken):
    assert broken["container-userns"] == SHARED_KERNEL


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """Error in percent by limit."""
    rows = rows_of("limits", tmp_path_factory.mktemp("limits") / "store", "--arm", LIMITED_ARM)
    assert {row["arm"] for row in rows} == {LIMITED_ARM}
    return {
        row["metric"].removeprefix("limit.").removesuffix(".error"): float(row["value"])
        for row in rows
        if row["metric"].startswith("limit.") and row["metric"].endswith(".error")
    }


def test_every_limit_is_measured(errors):
    assert set(errors) == {limit for use in load_suite("limits").uses for limit in use.limit}
    assert len(errors) == 8


def test_a_cpu_quota_is_met_within_3_percent(errors):
    assert abs(errors["cpus"]) < 3


def test_io_and_bandwidth_are_not_exceeded_and_reached_as_far_as_the_hosts_disk_allows(errors):
    found = {limit: error for limit, error in errors.items() if limit.startswith(("io.", "net."))}
    assert set(found) >= {"io.read_bytes", "io.write_bytes", "net.ingress", "net.egress"}
    # A disk that others use as well may give a fifth less than a limit leaves of it.
    assert {limit: error for limit, error in found.items() if not -40 < error < 10} == {}


def test_a_container_gets_its_memory(errors):
    assert -5 < errors["memory"] <= 0
