"""Kernels beside an image's own: where they are looked for, what stands for them, and what is said where one won't do.

Debian's is booted in the tests of the runtime ``vm``; here, kernels are small files, and nothing is fetched.
"""

from __future__ import annotations

import os
import struct
from types import SimpleNamespace

import pytest
from test_image_initramfs import DEPENDENCIES, module
from test_image_kernel import bzimage, elf

from workloads.image import ImageError, Programs, hold_kernels, list_kernels, prune_kernels
from workloads.image.cache import ImageCache
from workloads.image.flavours import ensure_kernel
from workloads.image.kernel import kernel_release, unpack_if_pvh

RELEASE = "6.9.1-test"


def told(image: bytes, release: str = RELEASE) -> bytes:
    """A bzImage whose header tells a release."""
    head = bytearray(image)
    struct.pack_into("<H", head, 0x20E, 0x300)
    text = f"{release} (builder@host) #1 SMP\0".encode()
    head[0x500 : 0x500 + len(text)] = text
    return bytes(head)


@pytest.fixture
def ensure(cache, tmp_path):
    programs = Programs(agent=tmp_path, agent_digest="a", init=tmp_path / "init", init_digest="i")

    def call(name):
        return ensure_kernel(str(name), programs, cache, lambda message: None)

    return call


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("workloads.image.flavours._BOOT", tmp_path / "boot")
    monkeypatch.setattr("workloads.image.flavours._MODULES", tmp_path / "modules")
    monkeypatch.setattr("workloads.image.flavours.debian_release", lambda: "bookworm")
    monkeypatch.setattr("workloads.image.flavours.open_packages", lambda *_: pytest.fail("something is fetched"))
    (tmp_path / "init").write_bytes(b"our init")
    (tmp_path / "modules" / RELEASE).mkdir(parents=True)
    (tmp_path / "modules" / RELEASE / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    for name, depends in (DEPENDENCIES | {"ahci": ""}).items():
        path = tmp_path / "modules" / RELEASE / "kernel" / f"{name}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(module(depends))
    (tmp_path / "boot").mkdir()
    return ImageCache(tmp_path / "cache")


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "bzImage"
    path.write_bytes(told(bzimage(elf())))
    return path


def test_the_release_is_read_from_the_header_or_the_banner():
    assert kernel_release(told(bzimage(elf()))) == RELEASE
    assert kernel_release(elf() + b"Linux version 6.9.1-test (builder@host)\n") == RELEASE


@pytest.mark.parametrize(
    ("image", "said"),
    [(bzimage(elf()), "no kernel_version"), (elf(), "'Linux version'"), (b"#!/bin/sh\n" * 99, "not a bzImage")],
)
def test_a_kernel_that_does_not_tell_its_release_is_refused(image, said):
    with pytest.raises(ImageError, match=said):
        kernel_release(image)


def test_a_kernel_is_unpacked_only_if_it_can_be_entered_so():
    assert unpack_if_pvh(bzimage(elf())) == elf()
    assert unpack_if_pvh(elf()) == elf()
    assert unpack_if_pvh(bzimage(elf(None))) is None
    assert unpack_if_pvh(bzimage(b"BZh91AY")) is None


def test_a_file_is_made_ready_once_and_then_found(ensure, kernel, monkeypatch):
    built = ensure(kernel)
    assert built.manifest.release == RELEASE
    assert built.bzimage.read_bytes() == kernel.read_bytes()
    assert built.kernel.read_bytes() == elf()
    assert b"our init" in built.initramfs.read_bytes()
    assert str(kernel) in built.manifest.source
    monkeypatch.setattr("workloads.image.flavours.write_guest", lambda *_: pytest.fail("it is built again"))
    assert ensure(kernel) == built
    assert list_kernels() == [built]


def test_what_it_is_made_from_stands_for_it(ensure, kernel, tmp_path):
    first = ensure(kernel)
    (tmp_path / "modules" / RELEASE / "kernel" / "ahci.ko").write_bytes(module("") + b"mended")
    second = ensure(kernel)
    kernel.write_bytes(told(bzimage(elf(0x100))))
    third = ensure(kernel)
    assert len({built.id for built in (first, second, third)}) == 3


def test_one_without_pvh_entry_is_not_unpacked(ensure, kernel):
    kernel.write_bytes(told(bzimage(elf(None))))
    assert ensure(kernel).kernel is None


def test_an_unpacked_one_needs_the_entry(ensure, kernel):
    banner = f"Linux version {RELEASE} (builder@host)\n".encode()
    kernel.write_bytes(elf() + banner)
    assert ensure(kernel).kernel.read_bytes() == elf() + banner
    kernel.write_bytes(elf(None) + banner)
    with pytest.raises(ImageError, match="PVH"):
        ensure(kernel)


def test_the_hosts_own_is_that_of_its_release(ensure, kernel, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=RELEASE))
    (tmp_path / "boot" / f"vmlinuz-{RELEASE}").write_bytes(kernel.read_bytes())
    assert ensure("host").manifest.release == RELEASE


def test_a_host_without_its_kernel_in_boot_is_told_what_else_there_is(ensure):
    with pytest.raises(ImageError, match=rf"kernel: host: cannot read .*vmlinuz-{os.uname().release}.*kernel: generic"):
        ensure("host")


def test_missing_modules_are_named(ensure, kernel, tmp_path):
    kernel.write_bytes(told(bzimage(elf()), "5.0-other"))
    with pytest.raises(ImageError, match=r"is Linux 5\.0-other, and there is no .*modules/5\.0-other"):
        ensure(kernel)
    kernel.write_bytes(told(bzimage(elf())))
    (tmp_path / "modules" / RELEASE / "kernel" / "overlay.ko").unlink()
    with pytest.raises(ImageError, match="has no module overlay, which guests need, neither built in nor as a file"):
        ensure(kernel)


def test_those_that_are_held_or_kept_are_not_pruned(ensure, kernel):
    built = ensure(kernel)
    with hold_kernels([built]):
        assert prune_kernels() == []
    assert prune_kernels({built.id}) == []
    assert prune_kernels() == [built.id]
    with pytest.raises(ImageError, match="no longer"), hold_kernels([built]):
        pass
