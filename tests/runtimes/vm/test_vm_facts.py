"""Reading back from QEMU, without a guest."""

from __future__ import annotations

import pytest

from runtimes.base import InstanceError
from runtimes.vm.facts import asynchronous_io, cache_mode, share


@pytest.mark.parametrize(
    ("flags", "mode"),
    [
        ((True, False, True), "none"),
        ((True, False, False), "directsync"),
        ((False, False, True), "writeback"),
        ((False, False, False), "writethrough"),
        ((False, True, True), "unsafe"),
    ],
)
def test_cache_modes_as_the_manual_of_qemu_has_them(flags, mode):
    direct, no_flush, writeback = flags
    assert cache_mode({"direct": direct, "no-flush": no_flush, "writeback": writeback}) == mode


ARGUMENTS = [
    "qemu",
    "-blockdev",
    '{"driver":"file","filename":"/disk","aio":"native","node-name":"libvirt-1-storage"}',
    "-blockdev",
    '{"driver":"file","filename":"/root","node-name":"libvirt-2-storage"}',
]


def test_the_block_device_of_a_file():
    assert asynchronous_io(ARGUMENTS, "/disk") == "native"
    assert asynchronous_io(ARGUMENTS, "/root") == "threads"
    with pytest.raises(InstanceError, match="no block device for /other"):
        asynchronous_io(ARGUMENTS, "/other")


@pytest.mark.parametrize(("part", "told"), [(0, "0 %"), (4, "0 %"), (44, "40 %"), (100, "100 %")])
def test_shares_are_told_to_the_next_ten(part, told):
    assert share(part, 100) == told
    assert share(0, 0) == "0 %"
