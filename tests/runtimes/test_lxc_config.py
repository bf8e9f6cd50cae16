"""What LXC is told, as text."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from runtimes.base import IoLimits, Limits
from runtimes.engine import lxc_config
from runtimes.engine.lxc_config import Groups, Wanted, make_config
from runtimes.network import Place

GROUPS = Groups(1, relative=True, container="container", monitor="monitor", pivot="pivot")
PLACE = Place("bench-bridge", "bench-v7", "10.213.0.7", 16, "02:00:0a:d5:00:07", None, "10.213.0.7")
LIMITS = Limits(
    cpus=1.5,
    cpuset=(),
    memory=1 << 30,
    cpu_weight=50,
    memory_swap=1 << 20,
    pids=99,
    io=IoLimits(read_bytes=7, write_ops=8),
)
WANTED = Wanted(
    hostname="bench-one",
    root="overlayfs:/lower:/upper",
    groups=GROUPS,
    limits=LIMITS,
    cpus=(2, 3, 4),
    swap=True,
    network="bridge",
    place=PLACE,
    scratch="/dev/loop9 scratch ext4 rw 0 0",
    limited_disk=Path("/dev/loop9"),
    seccomp=True,
)


@pytest.fixture(autouse=True)
def _disk(monkeypatch):
    monkeypatch.setattr(lxc_config, "number_of", lambda device: {"/dev/loop9": "7:9"}[str(device)])


def settings(wanted, prefix=""):
    lines = [line.split(" = ", 1) for line in make_config(wanted).splitlines()]
    return [(key.removeprefix(prefix), value) for key, value in lines if key.startswith(prefix)]


def test_limits_by_version_1():
    found = settings(WANTED, "lxc.cgroup.")
    assert ("relative", "1") in found
    assert not settings(WANTED, "lxc.cgroup2.")
    assert {
        ("cpuset.cpus", "2-4"),
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_quota_us", "150000"),
        ("cpu.shares", "512"),
        ("memory.limit_in_bytes", str(1 << 30)),
        ("memory.memsw.limit_in_bytes", str((1 << 30) + (1 << 20))),
        ("pids.max", "99"),
        ("blkio.throttle.read_bps_device", "7:9 7"),
        ("blkio.throttle.write_iops_device", "7:9 8"),
    } <= set(found)
    devices = [value for key, value in found if key.startswith("devices.")]
    assert devices[:3] == ["a", "c *:* m", "b *:* m"]
    assert "c 1:3 rwm" in devices


def test_limits_by_version_2():
    groups = Groups(2, relative=False, container="r/i/container", monitor="r/i/monitor", pivot="r/i/pivot")
    wanted = dataclasses.replace(WANTED, groups=groups)
    assert settings(wanted, "lxc.cgroup.") == [
        ("relative", "0"),
        ("dir.container", "r/i/container"),
        ("dir.monitor", "r/i/monitor"),
        ("dir.monitor.pivot", "r/i/pivot"),
    ]
    limits = [(key, value) for key, value in settings(wanted, "lxc.cgroup2.") if not key.startswith("devices.")]
    assert limits == [
        ("cpuset.cpus", "2-4"),
        ("cpu.max", "150000 100000"),
        ("cpu.weight", "50"),
        ("memory.max", str(1 << 30)),
        ("memory.swap.max", str(1 << 20)),
        ("pids.max", "99"),
        ("io.max", "7:9 rbps=7 wiops=8"),
    ]


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_not_limited_is_not_mentioned(version):
    groups = dataclasses.replace(GROUPS, version=version)
    plain = Limits(cpus=2, cpuset=(), memory=1 << 30)
    text = make_config(dataclasses.replace(WANTED, groups=groups, limits=plain, swap=False))
    for word in ("cfs", "cpu.max", "shares", "weight", "memsw", "swap", "pids", "blkio", "io.max"):
        assert word not in text


def test_networks():
    assert ("ipv4.address", "10.213.0.7/16 10.213.255.255") in settings(WANTED, "lxc.net.0.")
    assert "gateway" not in make_config(WANTED)
    behind = dataclasses.replace(WANTED, place=dataclasses.replace(PLACE, gateway="10.213.0.1"))
    assert ("ipv4.gateway", "10.213.0.1") in settings(behind, "lxc.net.0.")
    for network, kind in (("host", "none"), ("none", "empty")):
        without = dataclasses.replace(WANTED, network=network, place=None)
        assert settings(without, "lxc.net.0.") == [("type", kind)]


def test_what_is_optional():
    text = make_config(WANTED)
    assert "lxc.mount.entry = /dev/loop9 scratch ext4 rw 0 0\n" in text
    assert "lxc.seccomp.profile = /usr/share/lxc/config/common.seccomp\n" in text
    assert "idmap" not in text
    other = make_config(dataclasses.replace(WANTED, scratch=None, seccomp=False, owners=(1000, 10)))
    assert "/dev/loop9 scratch" not in other
    assert "seccomp.profile" not in other
    assert "lxc.idmap = u 0 1000 10\nlxc.idmap = g 0 1000 10\n" in other
