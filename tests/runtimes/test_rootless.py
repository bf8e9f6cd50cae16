"""What an ordinary user's runs need of the host, on directory trees that stand for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtimes import rootless
from runtimes.cgroup.hierarchy import Hierarchies
from runtimes.rootless import require_cgroups
from runtimes.user_namespace import NotGrantedError

ROOT = Path(__file__).parents[2]
V1 = ("memory", "cpu", "cpuacct", "cpuset", "freezer", "pids", "blkio")
USER = 1234


class Host:
    """A host with cgroups in a directory, of which the user may write to some."""

    def __init__(self, directory, monkeypatch):
        self.top = directory / "cgroup"
        self.writable = set()
        self._monkeypatch = monkeypatch
        monkeypatch.setattr("runtimes.user_namespace.host_id", lambda: USER)
        monkeypatch.setattr("os.access", lambda path, _: Path(path) in self.writable and Path(path).exists())
        self.have_systemd(False)

    def have_systemd(self, there):
        self._monkeypatch.setattr(rootless, "_SYSTEMD", self.top if there else self.top / "nowhere")

    def make(self, path, controllers="cpu cpuset io memory pids", *, delegated=False):
        directory = self.top / path
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.controllers").write_text(controllers)
        for name in ("cgroup.procs", "cgroup.subtree_control"):
            (directory / name).touch()
        if delegated:
            self.writable |= {directory, directory / "cgroup.procs", directory / "cgroup.subtree_control"}
        return directory

    def be_in(self, *, v1=None, v2=None):
        found = Hierarchies(v1 or {}, v2, self.top if v2 else None)
        self._monkeypatch.setattr(Hierarchies, "of_this_thread", lambda: found)


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def refusal():
    with pytest.raises(NotGrantedError) as told:
        require_cgroups()
    return told.value


def test_version_1_names_the_directories_and_the_command(host):
    directories = {name: host.top / name for name in V1}
    for directory in directories.values():
        directory.mkdir(parents=True)
    host.be_in(v1=directories)
    host.writable = {directories["memory"], directories["cpu"]}
    told = refusal()
    assert str(directories["cpuset"]) in told.what
    assert str(directories["memory"]) not in told.what
    assert str(directories["pids"]) not in told.what  # not every run needs it,
    assert str(directories["pids"]) in told.grant  # but it is granted with the others
    host.writable = set(directories.values())
    require_cgroups()


def follow(grant):
    """Do as told, in a shell as the user's; returns its pid."""
    command = grant.partition(": ")[2].replace("sudo ", "").replace(f"chown {USER}", f"chown {os.geteuid()}")
    shell = subprocess.run(["sh", "-euc", f"{command}\necho $$"], capture_output=True, text=True, check=True)
    return shell.stdout.strip()


def test_the_command_for_version_1_makes_cgroups_and_moves_the_shell_there(host):
    directories = {name: host.top / name for name in V1}
    for directory in directories.values():
        directory.mkdir(parents=True)
    (directories["cpuset"] / "cpuset.cpus").write_text("0-3\n")
    (directories["cpuset"] / "cpuset.mems").write_text("0\n")
    host.be_in(v1=directories)
    shell = follow(refusal().grant)
    for directory in directories.values():
        assert (directory / f"bench-user-{USER}/cgroup.procs").read_text().strip() == shell
    assert (directories["cpuset"] / f"bench-user-{USER}/cpuset.cpus").read_text() == "0-3\n"
    assert not (directories["cpu"] / f"bench-user-{USER}/cpuset.cpus").exists()


def test_a_delegated_cgroup_with_the_controllers_is_enough(host):
    host.make("user")
    scope = host.make("user/scope", delegated=True)
    host.be_in(v2=scope)
    require_cgroups()


def test_one_further_up_is_enough(host):
    host.make("", "cpu cpuset io memory pids")
    host.make("bench-user", delegated=True)
    shell = host.make("bench-user/shell", "")
    host.be_in(v2=shell)
    require_cgroups()


def test_under_systemd_a_scope_is_told(host):
    host.have_systemd(True)
    host.make(f"user.slice/user-{USER}.slice/user@{USER}.service")
    host.be_in(v2=host.make("session"))
    told = refusal()
    assert told.what == f"user {USER} may not make cgroups in {host.top}/session"
    assert told.grant == "start with: systemd-run --user --scope -p Delegate=yes bench …"


@pytest.mark.parametrize("in_scope", [True, False])
def test_under_systemd_a_controller_that_users_do_not_get_is_told(host, in_scope):
    host.have_systemd(True)
    manager = f"user.slice/user-{USER}.slice/user@{USER}.service"
    host.make(manager, "memory pids")
    place = host.make(f"{manager}/scope", "memory pids", delegated=True) if in_scope else host.make("session")
    host.be_in(v2=place)
    told = refusal()
    assert told.what == f"systemd gives user {USER} no cgroup controller cpu, cpuset"
    assert "Delegate=cpu cpuset io memory pids" in told.grant
    assert "systemctl daemon-reload" in told.grant
    assert told.grant.endswith("systemd-run --user --scope -p Delegate=yes bench …")


def test_the_drop_in_is_what_systemd_reads(host, tmp_path, monkeypatch):
    drop_in = tmp_path / "user@.service.d/delegate.conf"
    monkeypatch.setattr(rootless, "_DELEGATION", drop_in)
    host.have_systemd(True)
    host.make(f"user.slice/user-{USER}.slice/user@{USER}.service", "memory")
    host.be_in(v2=host.make("session"))
    command = refusal().grant.partition(", log out")[0].replace("sudo ", "").replace("systemctl daemon-reload", ":")
    subprocess.run(["sh", "-euc", command], check=True)
    assert drop_in.read_text() == "[Service]\nDelegate=cpu cpuset io memory pids\n"


def test_without_systemd_the_command_makes_a_cgroup_that_can_hand_down(host):
    host.make("", "cpu cpuset memory pids")
    host.be_in(v2=host.make("session"))
    own = host.make(f"bench-user-{USER}")
    host.make(f"bench-user-{USER}/shell")  # the kernel makes the files that the command gives away
    shell = follow(refusal().grant)
    assert (host.top / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids\n"
    assert (own / "shell/cgroup.procs").read_text().strip() == shell


NESTED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from runtimes import user_namespace
from runtimes.rootless import check_user_namespace, is_unprivileged
user_namespace.enter()
assert is_unprivileged()
check_user_namespace()
print("fine")
Path("/proc/sys/user/max_user_namespaces").write_text("0")  # of this namespace alone
check_user_namespace()
"""


@pytest.mark.host
def test_a_user_namespace_is_really_tried_out():
    done = subprocess.run(
        [sys.executable, "-c", NESTED, str(ROOT)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "fine\n", done.stderr
    told = done.stderr.strip().splitlines()[-1]
    assert told.startswith("runtimes.user_namespace.NotGrantedError: the kernel gives user 0 no user namespace"), told
    assert told.endswith("sudo sysctl -w user.max_user_namespaces=10000")
