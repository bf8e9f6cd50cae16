"""Finding out which accelerator works, with stand-ins for QEMU, and for real."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runtimes.base import GuestKernel, HostError, Image, Limits
from runtimes.vm import probe
from runtimes.vm.options import VmOptions
from runtimes.vm.probe import Accelerator, probe_accelerator
from runtimes.vm.runtime import VmRuntime

KERNEL = GuestKernel("6.1.0", Path("/image/vmlinuz"), Path("/image/kernel"), Path("/image/initramfs"))
IMAGE = Image("id", Path("/image/rootfs"), {"image": KERNEL})
LIMITS = Limits(1, (), 512 << 20)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with a device that opens, in its first boot."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    device, boot_id = tmp_path / "kvm", tmp_path / "boot_id"
    device.touch()
    boot_id.write_text("first\n")
    monkeypatch.setattr(probe, "DEVICE", device)
    monkeypatch.setattr(probe, "_BOOT_ID", boot_id)
    return tmp_path


def make_qemu(host, script):
    """A stand-in for QEMU that counts how often it is started."""
    qemu = host / "qemu"
    qemu.write_text(f'#!/bin/sh\necho "$*" >>{host}/started\n{script}\n')
    qemu.chmod(0o755)
    return qemu


def starts(host):
    return (host / "started").read_text().splitlines() if (host / "started").exists() else []


def test_a_guest_that_reaches_userspace_proves_kvm(host):
    qemu = make_qemu(host, "echo 'bench-init: there is no virtio disk'")
    assert probe_accelerator(IMAGE, qemu=qemu).name == "kvm"
    (started,) = starts(host)
    assert "accel=kvm" in started
    assert "-kernel /image/kernel -initrd /image/initramfs" in started


def test_a_guest_that_hangs_is_given_up_on_in_time(host):
    qemu = make_qemu(host, "echo SeaBIOS; exec sleep 60")
    before = time.monotonic()
    found = probe_accelerator(IMAGE, qemu=qemu, limit=0.4)
    assert 0.4 + 0.8 <= time.monotonic() - before < 60
    assert found.name == "tcg"
    assert "no kernel booted under KVM within 0.8 s" in found.reason
    assert len(starts(host)) == 2
    assert probe_accelerator(IMAGE, qemu=qemu) == found
    assert len(starts(host)) == 2


def test_a_guest_that_is_slow_once_gets_another_chance(host):
    qemu = make_qemu(host, f"[ -e {host}/slow ] || {{ touch {host}/slow; exec sleep 60; }}; echo bench-init: no disk")
    assert probe_accelerator(IMAGE, qemu=qemu, limit=2).name == "kvm"
    assert len(starts(host)) == 2


def test_an_emulator_that_dies_is_quoted(host):
    found = probe_accelerator(IMAGE, qemu=make_qemu(host, "echo 'failed to set MSR' >&2; exit 1"))
    assert found.name == "tcg"
    assert "failed to set MSR" in found.reason
    assert len(starts(host)) == 1


@pytest.mark.parametrize("failure", ["echo 'Cannot allocate memory' >&2; exit 1", "kill -9 $$"])
def test_what_may_pass_is_not_remembered(host, failure):
    qemu = make_qemu(host, failure)
    assert probe_accelerator(IMAGE, qemu=qemu).name == "tcg"
    make_qemu(host, "echo bench-init: no disk")
    assert probe_accelerator(IMAGE, qemu=qemu).name == "kvm"


def test_a_guest_that_resets_is_no_proof(host):
    assert probe_accelerator(IMAGE, qemu=make_qemu(host, "exit 0")).name == "tcg"


def test_the_answer_is_remembered_within_a_boot_of_the_host(host):
    qemu = make_qemu(host, "echo bench-init: no disk")
    first = probe_accelerator(IMAGE, qemu=qemu)
    assert probe_accelerator(IMAGE, qemu=qemu) == first
    assert len(starts(host)) == 1
    (host / "boot_id").write_text("second\n")
    make_qemu(host, "exit 1")
    assert probe_accelerator(IMAGE, qemu=qemu).name == "tcg"
    assert len(starts(host)) == 2


def test_a_missing_device_is_told_and_not_remembered(host):
    qemu = make_qemu(host, "echo bench-init: no disk")
    (host / "kvm").unlink()
    found = probe_accelerator(IMAGE, qemu=qemu)
    assert found.name == "tcg"
    assert "does not open: No such file or directory" in found.reason
    (host / "kvm").touch()
    assert probe_accelerator(IMAGE, qemu=qemu).name == "kvm"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"question": 1, "answer": {}}', "\x00garbage"])
def test_a_damaged_answer_is_asked_for_anew(host, content):
    qemu = make_qemu(host, "echo bench-init: no disk")
    (host / "cache").mkdir()
    (host / "cache" / "accelerator.json").write_text(content)
    assert probe_accelerator(IMAGE, qemu=qemu).name == "kvm"


@pytest.mark.host
@pytest.mark.guest
def test_this_host(guest_image, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    found = probe_accelerator(guest_image)
    assert found.reason
    assert probe_accelerator(guest_image) == found


def test_a_device_that_does_not_open_is_told_before_an_image_is_built(host):
    VmRuntime.check(VmOptions(accel="kvm"), LIMITS)
    (host / "kvm").unlink()
    with pytest.raises(HostError, match=r"accel: kvm cannot be had.*No such file or directory; say accel: auto"):
        VmRuntime.check(VmOptions(accel="kvm"), LIMITS)
    VmRuntime.check(VmOptions(accel="auto"), LIMITS)
    VmRuntime.check(VmOptions(accel="tcg"), LIMITS)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"memory": 79 << 20}, "79 MiB cannot boot; its kernel needs 80 MiB"),
        ({"memory_swap": 1 << 20}, r"memory_swap cannot be enforced by the runtime vm.*`limits: {memory_swap: ~}`"),
        ({"pids": 100}, "pids cannot be enforced by the runtime vm"),
    ],
)
def test_limits_that_no_guest_can_have_are_told_before_anything_starts(host, limits, told):
    asked = {"cpus": 1, "cpuset": (), "memory": 512 << 20, **limits}
    with pytest.raises(HostError, match=told):
        VmRuntime.check(VmOptions(), Limits(**asked))


def test_a_missing_qemu_is_told_before_an_image_is_built(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="apt-get install qemu-system-x86"):
        VmRuntime.check(VmOptions(), LIMITS)


@pytest.mark.host
@pytest.mark.guest
def test_asking_for_kvm_where_there_is_none_is_refused(facilities, monkeypatch):
    monkeypatch.setattr(
        "runtimes.vm.requirements.probe_accelerator", lambda *_, **__: Accelerator("tcg", "nothing ever boots here")
    )
    monkeypatch.setattr("runtimes.vm.requirements.refused_device", lambda: None)
    with pytest.raises(HostError, match="nothing ever boots here"), VmRuntime.open(facilities, VmOptions(accel="kvm")):
        pass
