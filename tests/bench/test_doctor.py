"""What the doctor says of control groups, connections, and KVM."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.doctor import Check, check_cgroups, check_connections, check_kvm, check_options
from runtimes.base import GuestKernel, HostError, Image
from runtimes.cgroup.hierarchy import Hierarchies
from runtimes.vm import probe

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


@pytest.fixture
def kvm(monkeypatch, tmp_path):
    """A host with a /dev/kvm that opens, an image, and a stand-in for QEMU, which the caller gives what it does."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(probe, "DEVICE", tmp_path / "kvm")
    monkeypatch.setitem(probe.probe_accelerator.__kwdefaults__, "limit", 0.2)
    kernel = GuestKernel("6.1.0", tmp_path / "vmlinuz", None, tmp_path / "initramfs")
    monkeypatch.setattr("bench.images.newest_image", lambda: Image("id", tmp_path / "rootfs", {"image": kernel}))
    (tmp_path / "kvm").touch()

    def does(script):
        qemu = tmp_path / "qemu-system-x86_64"
        qemu.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n{script}\n")
        qemu.chmod(0o755)

    does("echo 'bench-init: there is no disk'")
    return does


def test_kvm_works_if_a_kernel_boots(kvm):
    assert check_kvm() == Check("KVM", "ok", "a guest booted under KVM")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo SeaBIOS; exec sleep 60", "no kernel booted under KVM within 0.4 s"),
        ("echo 'failed to set MSR 0x480' >&2; exit 1", "before a kernel had booted under KVM: failed to set MSR 0x480"),
    ],
)
def test_why_kvm_does_not_work_although_its_device_opens(kvm, tmp_path, script, why):
    kvm(script)
    check = check_kvm()
    assert (check.name, check.status) == ("KVM", "warning")
    assert check.detail.startswith(f"{tmp_path}/kvm opens, but ")
    assert why in check.detail
    assert "guests run in software emulation" in check.detail
    assert check.fix == "use a host whose KVM runs guests"


def test_a_host_without_kvm_is_told_how_to_have_it(kvm, tmp_path):
    (tmp_path / "kvm").unlink()
    check = check_kvm()
    assert check.status == "warning"
    assert check.detail.startswith(f"there is no {tmp_path}/kvm; guests run in software emulation")
    assert "modprobe kvm" in check.fix
    assert not (tmp_path / "started").exists()


def test_a_device_that_does_not_open_is_told_with_or_without_an_image(kvm, tmp_path, monkeypatch):
    (tmp_path / "kvm").unlink()
    (tmp_path / "kvm").mkdir()  # which nobody opens for writing, root included
    monkeypatch.setattr("bench.images.newest_image", lambda: None)
    check = check_kvm()
    assert check.status == "warning"
    assert check.detail.startswith(f"{tmp_path}/kvm does not open: Is a directory; guests run in software emulation")


def test_without_an_image_nothing_is_known_of_kvm(kvm, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.images.newest_image", lambda: None)
    check = check_kvm()
    assert check.status == "warning"
    assert check.detail == f"{tmp_path}/kvm opens; whether it runs guests is not known without an image"
    assert check.fix.startswith("bench image build")
    assert not (tmp_path / "started").exists()
