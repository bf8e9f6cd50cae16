"""Suites run by an ordinary user, with and without ids lent by the host, and what is told where something lacks."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ordinary_user import USER, build_image, grant, new_user
from waiting import running

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(900)]

SUITE = """
name: small
baseline: native
limits: {cpus: 1, memory: 256M}
arms:
  native: {runtime: native}
  bare: {runtime: bare}
  container: {runtime: container}
  vm: {runtime: vm}
workloads: ['null', {workload: sysbench-cpu, params: {runtime: %d}}, fio]
sampling: {blocks: 1, seed: 3}
"""
LEFT_OUT = ("--arm", "bare", "--arm", "container", "--workload", "null", "--workload", "sysbench-cpu")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image that the suite's part for users needs, in root's cache."""
    return build_image((SUITE % 1).replace(", fio]", "]"), tmp_path_factory.mktemp("suite"))


@pytest.fixture
def make_user(image):
    """Makes a user with the image and the suite, and sees to it that nothing of the user's stays."""
    with new_user(image, SUITE) as make:
        yield make


@pytest.mark.parametrize("lent", [True, False])
def test_an_ordinary_user_runs_what_needs_no_root(make_user, lent):
    user = make_user(lent=lent)
    finished = user.bench("run", "home/suite.yaml", *LEFT_OUT, "--format", "json", grant=grant())
    assert finished.returncode == 0, finished.stdout + finished.stderr
    report = json.loads(finished.stdout)
    assert report["failed"] == 0
    seen = {(row["workload"], row["metric"], row["arm"]) for row in report["comparisons"]}
    assert ("sysbench-cpu", "events_per_second", "container") in seen
    assert ("null", "startup_time", "container") in seen
    assert user.leftovers() == []
    assert {path.stat().st_uid for path in (user.home / "store").rglob("*")} == {USER}
    # What the next run finds unpacked, and pruning the image removes, whoever the files in it belong to.
    assert len(list(user.home.glob(".cache/bench/images/*/root-*"))) == 1
    pruned = user.bench("image", "prune", "--keep", "0")
    assert pruned.returncode == 0, pruned.stderr
    assert list(user.home.glob(".cache/bench/images/*")) == []


def test_all_that_needs_root_is_told_at_once_with_a_command_without_it(make_user):
    user = make_user(lent=False)
    finished = user.bench("run", "home/suite.yaml", grant=grant())
    assert finished.returncode == 2
    assert f"user {USER} cannot run all of home/suite.yaml" in finished.stderr
    assert "arm vm: guests need root" in finished.stderr
    assert "workload fio: its scratch disk" in finished.stderr
    assert finished.stderr.endswith(f"leave these out: bench run home/suite.yaml {' '.join(LEFT_OUT)}\n")
    assert not (user.home / "store").exists()


def test_without_cgroups_the_user_is_told_what_grants_them(make_user):
    user = make_user(lent=False)
    finished = user.bench("run", "home/suite.yaml", *LEFT_OUT)
    assert finished.returncode == 2
    assert f"user {USER} may not make cgroups in" in finished.stderr
    if not Path("/run/systemd/system").is_dir():
        assert finished.stderr.strip().endswith(grant())
    assert not (user.home / "store").exists()


def test_the_doctor_says_the_same(make_user):
    user = make_user(lent=False)
    finished = user.bench("doctor", "--format", "json")
    checks = {check["name"]: check for check in json.loads(finished.stdout)}
    assert finished.returncode == 1
    assert f"running as user {USER}" in checks["root"]["detail"]
    assert checks["own cgroups"]["status"] == "missing"
    assert checks["own cgroups"]["fix"]
    assert checks["user namespaces"]["status"] == "ok"
    assert checks["subordinate ids"]["status"] == "warning"
    assert "/etc/subuid" in checks["subordinate ids"]["fix"]
    granted = user.bench("doctor", "--format", "json", grant=grant())
    checks = {check["name"]: check for check in json.loads(granted.stdout)}
    assert checks["own cgroups"]["status"] == "ok"


def test_an_image_that_the_user_cannot_build_is_told(make_user):
    user = make_user(lent=False)
    finished = user.bench("run", "home/suite.yaml", "--arm", "container", "--workload", "redis", grant=grant())
    assert finished.returncode == 2  # there is no such workload in the suite
    (user.home / "redis.yaml").write_text((SUITE % 1).replace("fio]", "redis]"))
    finished = user.bench("run", "home/redis.yaml", "--arm", "container", grant=grant())
    assert finished.returncode == 2
    assert "is not in the cache, and this user cannot build it: user tester has no subordinate ids" in finished.stderr


def test_a_run_that_is_killed_leaves_no_process_and_the_rest_is_cleared(make_user):
    user = make_user(lent=True)
    command = user.command("run", "home/long.yaml", *LEFT_OUT, "-v", grant=grant())
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=user.home.parent) as process:
        try:
            assert process.stdout is not None
            assert any("begins block 1: sysbench-cpu" in line for line in process.stdout)
        finally:
            process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while user.processes() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert user.processes() == []
    assert user.cgroups() != []
    cleaned = user.bench("clean")
    assert cleaned.returncode == 0, cleaned.stderr
    assert "removed cgroup" in cleaned.stdout
    assert user.leftovers() == []


def test_a_signal_ends_a_run_in_order(make_user):
    user = make_user(lent=False)
    command = user.command("run", "home/long.yaml", *LEFT_OUT, "-v", grant=grant())
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=user.home.parent) as process:
        assert process.stdout is not None
        assert any("begins block 1: sysbench-cpu" in line for line in process.stdout)
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert user.leftovers() == []


@pytest.mark.parametrize("lent", [True, False])
def test_an_ordinary_user_tries_a_workload_out(make_user, lent):
    user = make_user(lent=lent)
    finished = user.bench("workload", "check", "sysbench-cpu", "--param", "runtime=1", grant=grant())
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "events per second:" in finished.stdout
    assert "✓ ok  sysbench-cpu threads=1 max_prime=10000 runtime=1" in finished.stdout
    assert user.leftovers() == []
    refused = user.bench("workload", "check", "fio", grant=grant())
    assert refused.returncode == 2
    assert "workload fio: its scratch disk" in refused.stderr
