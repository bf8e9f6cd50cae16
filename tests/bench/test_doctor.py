"""What the doctor says of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.doctor import check_cgroups, check_connections, check_options
from runtimes.base import HostError
from runtimes.cgroup.hierarchy import Hierarchies

V1 = ("memory", "cpu", "cpuacct", "cpuset", "freezer", "pids", "blkio")


@pytest.fixture
def have(monkeypatch, tmp_path):
    """Let the host have these controllers, of one version."""

    def prepare(version, controllers):
        (tmp_path / "cgroup.controllers").write_text(" ".join(controllers))
        found = {
            1: Hierarchies(dict.fromkeys(controllers, Path("/x")), None, None),
            2: Hierarchies({}, tmp_path, tmp_path),
        }
        monkeypatch.setattr(Hierarchies, "of_this_thread", classmethod(lambda _: found[version]))

    return prepare


@pytest.mark.parametrize(
    ("version", "controllers", "status", "detail"),
    [
        (1, V1, "ok", "v1, with every controller that is used"),
        (1, V1[:-1], "warning", "v1, without blkio: no figures of it, and no limits by it"),
        (1, ("memory", *V1[2:]), "missing", "v1, without cpu"),
        (2, ("cpuset", "cpu", "io", "memory", "pids"), "ok", "v2, with every controller that is used"),
        (2, ("cpuset", "cpu", "memory"), "warning", "v2, without pids, io: no figures of it, and no limits by it"),
        (2, ("memory", "pids"), "missing", "v2, without cpu, cpuset"),
    ],
)
def test_missing_controllers_are_told_needed_ones_first(have, version, controllers, status, detail):
    have(version, controllers)
    check = check_cgroups()
    assert (check.status, check.detail) == (status, detail)
    assert bool(check.fix) == (status != "ok")


def test_no_control_groups_at_all(monkeypatch):
    monkeypatch.setattr(Hierarchies, "of_this_thread", classmethod(lambda _: Hierarchies({}, None, None)))
    assert check_cgroups().status == "missing"


def findings():
    return {check.name.removeprefix("connect: "): check for check in check_connections()}


@pytest.mark.host
def test_the_connections_of_root_are_tried():
    found = findings()
    assert found["embed"].status == "ok"
    assert found["embed"].detail.endswith("in the harness")
    assert found["system"].status == "ok" or found["system"].fix
    assert found["session"].detail.startswith("for ordinary users, by ")


def test_what_fails_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setattr("runtimes.rootless.is_unprivileged", lambda: True)

    def refuse():
        raise HostError("no daemon; apt-get install libvirt-daemon")

    monkeypatch.setattr("runtimes.vm.daemon.find_daemon", refuse)
    found = findings()
    assert {check.status for check in found.values()} == {"warning"}
    assert (found["session"].detail, found["session"].fix) == ("no daemon", "apt-get install libvirt-daemon")
    assert found["system"].fix == "run it as root, or with sudo"


def test_what_only_some_arms_need_is_told_by_their_option(monkeypatch):
    monkeypatch.setattr("bench.doctor._exists", lambda file: file not in {"mcopy", "/usr/lib/grub/i386-pc", "nft"})
    checks = {check.name: check for check in check_options()}
    assert (checks["firmware: ovmf"].status, checks["firmware: qboot"].status) == ("ok", "ok")
    assert checks["boot: disk"].status == "warning"
    assert checks["boot: disk"].fix == "apt-get install grub-pc-bin mtools"
    assert checks["network: nat"].fix == "apt-get install nftables"
