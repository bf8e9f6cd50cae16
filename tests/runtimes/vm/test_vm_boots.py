"""Ways to boot a guest, each read back from inside it.

All arms of the suite `guests` are booted in tests/bench/test_guests_suite.py: here is what it has not. Each firmware is
there with either kind of devices, and so is each machine and each way to boot.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conformance import output
from start_phases import assert_phases

from runtimes.base import HostError, InstanceError, Limits
from runtimes.vm.options import VmOptions
from runtimes.vm.root_disk import open_root_disk, prune_disks
from runtimes.vm.runtime import VmRuntime

pytestmark = [pytest.mark.host, pytest.mark.guest, pytest.mark.slow]

VIRTIO = {"disks": "vd", "bus": "virtio", "nic": "virtio_net", "kernel": "image"}
SATA = {"disks": "sd", "bus": "ata", "nic": "e1000", "kernel": "generic"}
MEMORY = 512 << 20
"""GRUB under OVMF cannot load Debian's kernel for any machine into a guest with half as much."""

WAYS = {
    "generic kernel, tuned": ({"kernel": "generic", "tuned": True}, VIRTIO | {"kernel": "generic"}),
    "OVMF": ({"firmware": "ovmf"}, VIRTIO | {"efi": True}),
    "emulated, pc": ({"devices": "emulated", "machine": "pc"}, SATA),
    "disk, pc": ({"boot": "disk", "machine": "pc"}, VIRTIO),
    "disk, tuned": ({"boot": "disk", "tuned": True}, VIRTIO),
    "disk, emulated, pc": ({"boot": "disk", "devices": "emulated", "machine": "pc"}, SATA),
    "disk, emulated, OVMF": ({"boot": "disk", "devices": "emulated", "firmware": "ovmf"}, SATA | {"efi": True}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_guest_is_what_was_asked_for(facilities, new_spec, way):
    asked, expected = WAYS[way]
    options = VmOptions(accel="tcg", **asked)
    spec = new_spec(limits=Limits(cpus=1, cpuset=(), memory=MEMORY))
    with VmRuntime.open(facilities, options) as runtime, runtime.start(spec) as instance:
        kernel = facilities.image.kernels[expected["kernel"]]
        assert output(instance, "uname -r") == kernel.release == instance.facts["kernel"]
        assert output(instance, "test -d /sys/firmware/efi && echo efi || echo bios") == (
            "efi" if expected.get("efi") else "bios"
        )
        assert (instance.facts["firmware"] == "ovmf") == expected.get("efi", False)
        partitioned = options.boot == "disk"
        scratch = output(instance, "sed -n 's, /scratch .*,,p' /proc/mounts").removeprefix("/dev/")
        disks = output(instance, f"cd /sys/block; ls -d {expected['disks']}*").split()
        (root,) = set(disks) - {scratch}
        for disk in disks:
            assert f"/{expected['bus']}" in output(instance, f"readlink -f /sys/block/{disk}")
        assert bool(output(instance, f"ls -d /sys/block/{root}/{root}4 || true")) == partitioned
        driver = output(instance, "readlink /sys/class/net/eth0/device/driver")
        assert driver.rpartition("/")[2] == expected["nic"]
        assert instance.facts["machine"].startswith("pc-q35-" if options.machine == "q35" else "pc-i440fx-")
        assert output(instance, "hostname") == spec.name
        assert f"{instance.address}/16" in output(instance, "ip addr show eth0")
        assert ("BOOT_IMAGE=" in output(instance, "cat /proc/cmdline")) == partitioned
        assert ("cryptomgr.notests" in output(instance, "cat /proc/cmdline")) == options.tuned
        _check_parts(runtime, facilities, partitioned=partitioned)
        assert_phases(instance)
        argv = (spec.directory / "qemu-argv").read_text().splitlines()
        if "-kernel" in argv:  # that of a tuned guest is entered unpacked
            assert argv[argv.index("-kernel") + 1] == str(kernel.elf if options.tuned else kernel.bzimage)
        assert ("-kernel" in argv) != partitioned
        instance.stop()


def _check_parts(runtime, facilities, *, partitioned):
    parts = runtime.image_parts(facilities.image)
    assert parts["userland"] == facilities.image.rootfs.stat().st_size
    assert ("boot_loader" in parts) == partitioned
    assert all(size > 0 for size in parts.values())


def test_a_guest_whose_boot_loader_fails_ends_and_says_so(facilities, new_spec):
    options = VmOptions(accel="tcg", boot="disk", firmware="ovmf", kernel="generic")
    spec = new_spec(limits=Limits(cpus=1, cpuset=(), memory=MEMORY // 2))
    with (
        VmRuntime.open(facilities, options) as runtime,
        pytest.raises(InstanceError, match=r"(?s)GRUB could not start the kernel"),
        runtime.start(spec),
    ):
        pass


def test_two_guests_share_a_disk_and_know_who_they_are(facilities, new_spec):
    with VmRuntime.open(facilities, VmOptions(accel="tcg", boot="disk")) as runtime:
        specs = new_spec(), new_spec()
        with runtime.start(specs[0]) as one, runtime.start(specs[1]) as other:
            assert [output(each, "hostname") for each in (one, other)] == [spec.name for spec in specs]
            assert one.address != other.address


def test_an_emulated_interface_reaches_the_bridge(facilities, new_spec):
    with (
        VmRuntime.open(facilities, VmOptions(accel="tcg", devices="emulated")) as runtime,
        runtime.start(new_spec()) as instance,
    ):
        assert "1 packets received" in output(instance, f"ping -c 1 -W 20 {facilities.network.gateway}")


def test_a_kernel_that_the_image_lacks_is_named(facilities):
    with (
        pytest.raises(HostError, match="has no kernel '/nonexistent/vmlinuz'"),
        VmRuntime.open(facilities, VmOptions(accel="tcg", kernel="/nonexistent/vmlinuz")),
    ):
        pass


@pytest.mark.timeout(120)
def test_arms_that_boot_the_same_disk_are_open_at_once(facilities, tmp_path, monkeypatch):
    """It has loaders for either firmware, so that arms with either have the same; neither waits for the other."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    kernel = facilities.image.kernels["image"]
    arms = [VmOptions(boot="disk", firmware=firmware) for firmware in ("seabios", "ovmf")]
    with open_root_disk(facilities, arms[0], kernel) as one, open_root_disk(facilities, arms[1], kernel) as other:
        assert one == other


@pytest.mark.timeout(120)
def test_who_waited_for_a_disk_to_be_made_shares_it(facilities, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    kernel = facilities.image.kernels["image"]
    all_have_it = threading.Barrier(3, timeout=100)

    def use(_):
        with open_root_disk(facilities, VmOptions(boot="disk"), kernel) as disk:
            all_have_it.wait()
            return disk

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(use, range(3)))) == 1
    assert len(list((tmp_path / "cache" / "disks").iterdir())) == 1


def test_a_disk_in_use_is_not_pruned(facilities, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    kernel = facilities.image.kernels["image"]
    with open_root_disk(facilities, VmOptions(boot="disk"), kernel) as disk:
        assert list((tmp_path / "cache" / "disks").iterdir()) == [disk]
        assert prune_disks(0) == []
        assert disk.exists()
    with open_root_disk(facilities, VmOptions(boot="disk"), kernel) as again:
        assert again == disk
    assert prune_disks(1) == []
    (tmp_path / "cache" / "disks" / f".{disk.stem}-1").write_text("half")
    assert prune_disks(0) == [disk.stem]
    assert list((tmp_path / "cache" / "disks").iterdir()) == []
