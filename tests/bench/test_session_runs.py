"""Guests of an ordinary user, by a libvirt daemon of the user's own."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from ordinary_user import USER, build_image, grant, new_user

pytestmark = [
    pytest.mark.host,
    pytest.mark.guest,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which("libvirtd", path=f"{os.environ['PATH']}:/usr/sbin") is None, reason="needs libvirt-daemon"
    ),
]

SUITE = """
name: small
baseline: container
limits: {cpus: 0.5, memory: 256M}
arms:
  container: {runtime: container, network: bridge}
  vm: {runtime: vm, accel: tcg}
workloads: ['null', {workload: sysbench-cpu, params: {runtime: %d}}]
sampling: {blocks: 1, seed: 3}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The suite's image, in root's cache."""
    return build_image(SUITE % 1, tmp_path_factory.mktemp("suite"))


@pytest.fixture
def make_user(image):
    """Makes a user with the image and the suite, and sees to it that nothing of the user's stays."""
    with new_user(image, SUITE) as make:
        yield functools.partial(make, taps=True)


@pytest.mark.parametrize("lent", [True, False])
def test_an_ordinary_user_has_guests_by_a_session(make_user, lent):
    user = make_user(lent=lent)
    options = ("--workload", "sysbench-cpu", "--connect", "session", "--format", "json")
    finished = user.bench("run", "home/suite.yaml", *options, grant=grant())
    assert finished.returncode == 0, finished.stdout + finished.stderr
    report = json.loads(finished.stdout)
    assert report["failed"] == 0
    seen = {(row["workload"], row["metric"], row["arm"]) for row in report["comparisons"]}
    assert ("sysbench-cpu", "events_per_second", "vm") in seen
    assert ("sysbench-cpu", "memory.pss", "vm") in seen
    assert user.leftovers() == []
    logs = [path.with_name("qemu.log").read_text() for path in (user.home / "store").rglob("domain.xml")]
    assert len(logs) == 1
    assert all("terminating on signal" in log for log in logs)


def test_a_user_who_may_not_open_taps_is_told_what_grants_it(make_user):
    if os.stat("/dev/net/tun").st_mode & 0o006 == 0o006:  # noqa: PTH116
        pytest.skip("taps are everybody's here")
    user = make_user(lent=False, taps=False)
    finished = user.bench("run", "home/suite.yaml", "--connect", "session", grant=grant())
    assert finished.returncode == 2
    assert f"user {USER} may not open /dev/net/tun" in finished.stderr
    assert "sudo modprobe tun && sudo chmod 0666 /dev/net/tun" in finished.stderr


def test_guests_by_other_connections_are_refused_with_the_one_that_serves(make_user):
    user = make_user(lent=False)
    for connect in ("embed", "system"):
        finished = user.bench("run", "home/suite.yaml", "--connect", connect, grant=grant())
        assert finished.returncode == 2
        assert "arm vm: guests need root" in finished.stderr
        assert "--connect session" in finished.stderr


def test_a_run_that_is_killed_leaves_no_guest(make_user):
    user = make_user(lent=False)
    # With this seed the guest comes before the baseline's minute.
    only = ("--arm", "vm", "--workload", "sysbench-cpu", "--seed", "2", "--connect", "session")
    command = user.command("run", "home/long.yaml", *only, "-v", grant=grant())
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=user.home.parent) as process:
        try:
            assert process.stdout is not None
            assert any("begins" in line and "sysbench-cpu" in line and " vm" in line for line in process.stdout)
            deadline = time.monotonic() + 60
            while not any("guest=bench-" in line for line in user.processes()) and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while user.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert user.processes() == []
    cleaned = user.bench("clean")
    assert cleaned.returncode == 0, cleaned.stderr
    assert user.leftovers() == []
