"""Finding the cgroup that somebody else made for a process, in trees that look like the kernel's."""

from __future__ import annotations

import os
import secrets

import pytest

from runtimes.base import HostError
from runtimes.cgroup import adopt_cgroup, open_cgroups
from runtimes.cgroup.hierarchy import Hierarchies

NAME = "bench-ab12-3"
SCOPE = r"machine-qemu\x2d7\x2dbench\x2dab12\x2d3.scope"


@pytest.fixture
def have(monkeypatch):
    def prepare(v1=None, v2=None):
        monkeypatch.setattr(Hierarchies, "parse", classmethod(lambda *_: Hierarchies(v1 or {}, v2, v2)))

    return prepare


def test_a_scope_of_systemd_is_taken_as_a_whole(have, tmp_path):
    scope = tmp_path / "machine.slice" / SCOPE
    emulator = scope / "libvirt" / "emulator"
    emulator.mkdir(parents=True)
    (scope / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (scope / "memory.current").write_text("4096\n")
    (scope / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n")
    (emulator / "cgroup.procs").write_text("42\n")
    for empty in (scope, scope / "libvirt"):
        (empty / "cgroup.procs").touch()
    have(v2=emulator)
    found = adopt_cgroup(os.getpid(), NAME)
    assert found.current() == 4096
    assert found.cpu().total == 1.5
    assert found.pids() == [42]


def test_what_a_quota_below_the_scope_held_up_counts(have, tmp_path):
    scope = tmp_path / SCOPE
    emulator = scope / "libvirt" / "emulator"
    emulator.mkdir(parents=True)
    (scope / "cgroup.controllers").write_text("cpu memory\n")
    (scope / "cpu.stat").write_text("usage_usec 4000000\nuser_usec 4000000\nsystem_usec 0\n")
    (scope / "libvirt" / "cpu.stat").write_text("usage_usec 3000000\nnr_periods 9\nthrottled_usec 2000000\n")
    (emulator / "cpu.stat").write_text("usage_usec 1000000\nthrottled_usec 500000\n")
    have(v2=emulator)
    cpu = adopt_cgroup(os.getpid(), NAME).cpu()
    assert (cpu.total, cpu.throttled) == (4.0, 2.5)


def test_so_it_does_on_version_1(have, tmp_path):
    made = tmp_path / f"qemu-7-{NAME}.libvirt-qemu"
    emulator = made / "emulator"
    emulator.mkdir(parents=True)
    for name in ("cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys"):
        (made / name).write_text("1000000000\n")
    (made / "cpu.stat").write_text("throttled_time 0\n")
    (emulator / "cpu.stat").write_text("throttled_time 750000000\n")
    have(v1=dict.fromkeys(("memory", "cpu", "cpuacct"), emulator))
    assert adopt_cgroup(os.getpid(), NAME).cpu().throttled == 0.75


def test_a_scope_without_memory_is_refused(have, tmp_path):
    scope = tmp_path / SCOPE
    scope.mkdir()
    (scope / "cgroup.controllers").write_text("cpu\n")
    have(v2=scope)
    with pytest.raises(HostError, match="was made without the controller memory"):
        adopt_cgroup(os.getpid(), NAME)


def test_another_cgroup_is_nobodys(have, tmp_path):
    have(v2=tmp_path)
    assert adopt_cgroup(os.getpid(), NAME) is None
    have(v1={"memory": tmp_path, "cpu": tmp_path})
    assert adopt_cgroup(os.getpid(), NAME) is None


def test_without_cpuacct_the_unified_hierarchy_tells_the_time(have, tmp_path):
    made = {name: tmp_path / name / "machine" / f"qemu-7-{NAME}.libvirt-qemu" for name in ("memory", "cpu", "unified")}
    for directory in made.values():
        (directory / "emulator").mkdir(parents=True)
    (made["cpu"] / "cpu.stat").write_text("nr_periods 1\nthrottled_time 2000000000\n")
    (made["unified"] / "cpu.stat").write_text("usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n")
    have(
        v1={"memory": made["memory"], "cpu": made["cpu"] / "emulator", "cpuacct": tmp_path},
        v2=made["unified"] / "emulator",
    )
    cpu = adopt_cgroup(os.getpid(), NAME).cpu()
    assert (cpu.total, cpu.user, cpu.system, cpu.throttled) == (3.0, 2.0, 1.0, 2.0)


@pytest.mark.host
def test_a_process_that_has_ended_is_told():
    pid = os.posix_spawnp("true", ["true"], os.environ)
    os.waitpid(pid, 0)
    with pytest.raises(HostError, match="has ended before its cgroup was known"):
        adopt_cgroup(pid, NAME)


@pytest.mark.host
def test_a_real_one_is_found_from_within():
    with open_cgroups(f"bench-{secrets.token_hex(4)}") as cgroups:
        made = cgroups.new(f"bench-{secrets.token_hex(4)}", None)
        pid = os.posix_spawnp("sleep", ["sleep", "100"], os.environ)
        try:
            for file in made.procs_files:
                file.write_text(str(pid))
            found = adopt_cgroup(pid, made.name)
            assert found.pids() == [pid]
            assert found.cpu().total == pytest.approx(made.cpu().total, abs=0.01)
        finally:
            made.kill()
            os.waitpid(pid, 0)
            made.remove()
