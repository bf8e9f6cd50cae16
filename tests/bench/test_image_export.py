"""Where exports are written: nowhere that something else is, and whole or not at all."""

from __future__ import annotations

import pytest
from fake_runs import FAKE_IMAGE

from bench.image_export import check_destinations, export_image
from workloads.errors import InvalidInput


def test_what_is_there_is_replaced_only_when_that_is_asked_for(tmp_path):
    file, layout = tmp_path / "root.tar", tmp_path / "layout"
    targets = {"tar": file, "oci": layout}
    check_destinations(targets, force=False)
    file.touch()
    with pytest.raises(InvalidInput, match=r"--tar: .*root.tar is there already; add --force"):
        check_destinations(targets, force=False)
    layout.mkdir()
    with pytest.raises(InvalidInput, match=r"--oci: .*layout is a directory, and none that 'bench image export --oci'"):
        check_destinations(targets, force=True)
    (layout / "oci-layout").touch()
    check_destinations(targets, force=True)
    with pytest.raises(InvalidInput, match=r"--qcow2: .* is a directory"):
        check_destinations({"qcow2": layout}, force=True)


def test_a_destination_must_be_possible_and_its_own(tmp_path):
    with pytest.raises(InvalidInput, match=r"--tar: there is no directory .*/nowhere"):
        check_destinations({"tar": tmp_path / "nowhere/root.tar"}, force=False)
    with pytest.raises(InvalidInput, match="a destination of its own"):
        check_destinations({"tar": tmp_path / "a", "oci": tmp_path / "a"}, force=False)


def test_what_failed_leaves_what_was_there(tmp_path, monkeypatch):
    def write(rootfs, bzimage, initramfs, work, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    class Kernel:
        bzimage = initramfs = tmp_path / "kernel"

    (tmp_path / "kernel").touch()
    (tmp_path / "disk").write_bytes(b"before")
    monkeypatch.setattr("bench.images.our_programs", lambda: None)
    monkeypatch.setattr("workloads.image.make_kernel", lambda *_: Kernel)
    monkeypatch.setattr("runtimes.vm.exported_disk.write_exported_disk", write)
    with pytest.raises(InvalidInput, match=r"--qcow2: .*disk cannot be written: No space left on device"):
        export_image(FAKE_IMAGE, {"qcow2": tmp_path / "disk"}, lambda _: None)
    assert (tmp_path / "disk").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "kernel"]
