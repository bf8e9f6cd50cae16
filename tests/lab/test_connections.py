"""Guests by real daemons: libvirtd under systemd, by its socket and by ssh, and an ordinary user's session."""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conformance import output, shell
from user_scope import in_held_scope, left_in_held_scopes

from runtimes.base import InstanceError, Limits
from runtimes.vm.options import VmOptions
from runtimes.vm.probe import answer_file
from runtimes.vm.runtime import VmRuntime

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

USER, UID = "user", 1000
LIMITS = Limits(cpus=0.5, cpuset=(), memory=256 << 20, cpu_weight=200)
SUITE = """
name: session
baseline: container
limits: {cpus: 1, memory: 256M}
arms:
  container: {runtime: container, network: bridge}
  vm: {runtime: vm, accel: kvm, connect: session}
workloads: ['null']
sampling: {blocks: 1}
"""


def systemctl(*arguments):
    subprocess.run(["systemctl", *arguments], check=True)


def domains():
    listed = subprocess.run(
        ["virsh", "-c", "qemu:///system", "list", "--all", "--name"], capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


@pytest.fixture(scope="module", autouse=True)
def libvirtd():
    systemctl("start", "libvirtd.service")


@pytest.fixture(scope="module")
def system(facilities):
    with VmRuntime.open(facilities, VmOptions(accel="kvm", connect="system")) as opened:
        yield opened
    assert domains() == []


def test_the_systems_daemon_runs_guests_under_kvm(system, new_spec):
    with system.start(new_spec(LIMITS)) as instance:
        assert instance.facts["accel"] == "kvm"
        assert output(instance, "cat /sys/class/net/eth0/carrier") == "1"
        reading = instance.memory()
        assert reading.pss > reading.parts["anon"] * 0.5 > 16 << 20
        instance.stop()
        assert [name for name, _ in instance.timeline.phases("stop_requested", "stopped")][-1] == "stopped"


def test_its_limits_are_in_the_scope_that_libvirt_made(system, new_spec):
    with system.start(new_spec(LIMITS)) as instance:
        pid = instance._process.pid
        own = Path(f"/sys/fs/cgroup{Path(f'/proc/{pid}/cgroup').read_text().strip().partition('::')[2]}")
        scope = next(path for path in (own, *own.parents) if "bench" in path.name)
        assert scope.parent.name in {"machine.slice", "machine"}
        files = {name: [*scope.rglob(name)] for name in ("cpu.max", "cpu.weight")}
        assert any(file.read_text().split() == ["50000", "100000"] for file in files["cpu.max"])
        assert any(file.read_text().strip() == "200" for file in files["cpu.weight"])
        before, began = instance.usage(), time.monotonic()
        shell(instance, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
        after = instance.usage()
        assert (after.cpu_time - before.cpu_time) / (time.monotonic() - began) < 0.65
        assert after.throttled_time > before.throttled_time


def test_a_daemon_that_crashes_fails_the_trial_and_the_next_goes_on(system, new_spec):
    with pytest.raises(InstanceError, match="was lost: the daemon ended"), system.start(new_spec()) as instance:
        systemctl("kill", "--signal=KILL", "--kill-who=main", "libvirtd.service")
        shell(instance, "sleep 100", timeout=100)
    systemctl("start", "libvirtd.service")
    with system.start(new_spec()) as instance:
        assert output(instance, "echo alive") == "alive"


def test_a_killed_qemu_is_told_at_once(system, new_spec):
    with system.start(new_spec()) as instance:
        os.kill(instance._process.pid, signal.SIGKILL)
        assert instance._domain.stopped.wait(20)


@pytest.fixture
def own_key():
    """A key by which root may log in here by ssh."""
    place = Path("/root/.ssh")
    place.mkdir(mode=0o700, exist_ok=True)
    key = place / "bench-test"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    allowed = place / "authorized_keys"
    before = allowed.read_text() if allowed.exists() else ""
    allowed.write_text(before + key.with_suffix(".pub").read_text())
    yield key
    allowed.write_text(before)
    key.unlink()
    key.with_suffix(".pub").unlink()


def test_by_ssh_to_this_host(facilities, new_spec, own_key):
    systemctl("start", "ssh.service")
    uri = f"qemu+ssh://root@localhost/system?keyfile={own_key}&no_verify=1&no_tty=1"
    options = VmOptions(accel="kvm", connect=uri)
    with VmRuntime.open(facilities, options) as opened, opened.start(new_spec()) as instance:
        assert instance.facts["accel"] == "kvm"
        instance.stop()
    assert domains() == []


@pytest.fixture
def home(base_image):
    """The user's home with the base image, and what is known of KVM, in its cache; KVM is everybody's meanwhile."""
    home = Path("/home") / USER
    cache = home / ".cache/bench/images"
    cache.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-r", base_image.rootfs.parent, cache], check=True)
    # Where four guests run at once, a user's probe may not boot in the time that it gives.
    shutil.copy(answer_file(), cache.parent)
    (home / "session.yaml").write_text(SUITE)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", home], check=True)
    mode = Path("/dev/kvm").stat().st_mode
    Path("/dev/kvm").chmod(0o666)
    yield home
    Path("/dev/kvm").chmod(mode & 0o777)


def as_user(home, command):
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": f"/run/user/{UID}"}
    words = ["runuser", "-u", USER, "--", "env", "-i", *(f"{name}={value}" for name, value in kept.items())]
    return subprocess.run([*words, "sh", "-c", command], capture_output=True, text=True, check=False, cwd=home)


def test_a_user_has_guests_by_a_session(home):
    finished = as_user(home, in_held_scope("bench run session.yaml --quiet"))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert left_in_held_scopes(UID) == []
    exported = as_user(home, "bench export latest --format csv")
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    assert {(row["arm"], row["accel"]) for row in rows} == {("container", "none"), ("vm", "kvm")}
    assert "memory.pss" in {row["metric"] for row in rows if row["arm"] == "vm"}
    left = [*Path(f"/run/user/{UID}").glob("bench-*"), *Path("/tmp").glob("bench-*")]
    assert [path for path in left if path.stat().st_uid == UID] == []
