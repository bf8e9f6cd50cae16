"""The root disk of emulated devices, which is a copy of the image's file."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runtimes.base import HostError
from runtimes.vm.options import VmOptions
from runtimes.vm.root_disk import open_root_disk

EMULATED = VmOptions(devices="emulated")


@pytest.fixture
def facilities(tmp_path):
    """Those with a root file system of a few bytes."""
    (tmp_path / "rootfs").write_bytes(b"files")
    (tmp_path / "scratch").mkdir()
    return SimpleNamespace(image=SimpleNamespace(rootfs=tmp_path / "rootfs"), scratch_directory=tmp_path / "scratch")


def test_it_lasts_as_long_as_the_arm(facilities):
    with open_root_disk(facilities, EMULATED, None) as disk:
        assert disk.read_bytes() == b"files"
    assert not disk.exists()


def test_a_file_that_cannot_be_copied_is_told(facilities):
    facilities.image.rootfs.unlink()
    with (
        pytest.raises(HostError, match=r"cannot copy the image to .*: No such file"),
        open_root_disk(facilities, EMULATED, None),
    ):
        pytest.fail("there is none")
    assert list(facilities.scratch_directory.iterdir()) == []


def test_what_fails_while_it_is_there_is_not_taken_for_it(facilities):
    with pytest.raises(OSError, match="something else"), open_root_disk(facilities, EMULATED, None):
        raise OSError("something else")
    assert list(facilities.scratch_directory.iterdir()) == []
