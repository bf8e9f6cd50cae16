"""Scratch disks and loop devices."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from traces import loop_files

from runtimes import page_cache, storage
from runtimes.base import HostError
from runtimes.facilities import scratch_parent
from runtimes.storage import attach_loop, loop_devices_in, make_scratch, mounted, read_whole


def test_a_scratch_disk_is_whole_and_preallocated(tmp_path):
    path = tmp_path / "scratch"
    path.write_bytes(b"of an earlier trial")
    make_scratch(path, 16 << 20)
    status = path.stat()
    assert status.st_size == 16 << 20
    assert status.st_blocks * 512 >= 16 << 20
    # -n answers no to everything: it is clean already.
    subprocess.run(["e2fsck", "-f", "-n", str(path)], check=True, capture_output=True)


def test_a_scratch_disk_that_finds_no_room_leaves_nothing(tmp_path):
    with pytest.raises(HostError, match=r"scratch disk of \d+ bytes at"):
        make_scratch(tmp_path / "scratch", 1 << 60)
    with pytest.raises(HostError, match="mke2fs said"):
        make_scratch(tmp_path / "scratch", 4096)
    assert not list(tmp_path.iterdir())


def test_mke2fs_is_found_outside_of_the_path_and_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # as ordinary users' paths, it lacks /usr/sbin
    make_scratch(tmp_path / "scratch", 16 << 20)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(HostError, match=r"mke2fs is neither.*apt-get install e2fsprogs"):
        make_scratch(tmp_path / "other", 16 << 20)
    assert not (tmp_path / "other").exists()


@pytest.mark.host
def test_a_loop_device_is_attached_with_direct_io_and_detached(tmp_path):
    path = tmp_path / "scratch"
    make_scratch(path, 16 << 20)
    with attach_loop(path, read_only=False) as device, attach_loop(path, read_only=True) as second:
        block = Path("/sys/block", device.name)
        assert (block / "loop/dio").read_text().strip() == "1"
        assert (block / "loop/autoclear").read_text().strip() == "1"
        assert (block / "ro").read_text().strip() == "0"
        assert Path("/sys/block", second.name, "ro").read_text().strip() == "1"
        assert set(loop_devices_in(tmp_path)) == {device, second}
    assert str(path) not in loop_files()


@pytest.mark.host
def test_a_device_that_a_dying_mount_namespace_still_uses_is_waited_for(tmp_path):
    path = tmp_path / "disk"
    make_scratch(path, 16 << 20)
    with attach_loop(path, read_only=False) as device:
        script = f"mount {device} /mnt && echo mounted && sleep 0.3"
        holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline() == "mounted\n"
    assert str(path) not in set(loop_files())
    holder.communicate()
    assert holder.returncode == 0


@pytest.mark.host
def test_a_disk_without_direct_io_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "scratch"
    make_scratch(path, 16 << 20)
    real = storage.Path.read_text
    monkeypatch.setattr(
        storage.Path, "read_text", lambda file, *more: "0\n" if file.name == "dio" else real(file, *more)
    )
    told = rf"{path} cannot be used with direct I/O: /dev/loop\d+ does without it; set BENCH_SCRATCH"
    with pytest.raises(HostError, match=told), attach_loop(path, read_only=False):
        pass
    assert str(path) not in loop_files()
    with attach_loop(path, read_only=True):  # the image: it is read through the page cache anyway
        pass


@pytest.mark.host
def test_a_file_system_that_does_not_open_for_direct_io_is_told(tmp_path, monkeypatch):
    def refuse(path, flags, *_):
        raise OSError(errno.EINVAL, "Invalid argument", path)

    monkeypatch.setattr("runtimes.storage.os.open", refuse)
    told = "cannot be used with direct I/O: Invalid argument; set BENCH_SCRATCH"
    with pytest.raises(HostError, match=told), attach_loop(tmp_path / "scratch", read_only=False):
        pass


@pytest.mark.host
def test_blocks_are_as_large_as_the_sectors_of_the_disk_below(tmp_path):
    below, mount_point = tmp_path / "below", tmp_path / "mounted"
    make_scratch(below, 64 << 20)
    mount_point.mkdir()
    losetup = ["losetup", "--find", "--show", "--sector-size", "4096", str(below)]
    large_sectors = subprocess.run(losetup, check=True, capture_output=True, text=True).stdout.strip()
    try:
        with mounted(Path(large_sectors), mount_point, "ext4"):
            path = mount_point / "scratch"
            make_scratch(path, 8 << 20)
            with attach_loop(path, read_only=False) as device:
                block = Path("/sys/block", device.name)
                assert (block / "queue/logical_block_size").read_text().strip() == "4096"
                assert (block / "loop/dio").read_text().strip() == "1"
                inner = tmp_path / "inner"
                inner.mkdir()
                with mounted(device, inner, "ext4"):
                    assert (inner / "lost+found").is_dir()
    finally:
        subprocess.run(["losetup", "--detach", large_sectors], check=True)


@pytest.mark.host
def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(HostError, match="nothing"), attach_loop(tmp_path / "nothing", read_only=True):
        pass


@pytest.fixture
def directory_on_disk():
    """Where files have a page cache that can be dropped, which is not so where /tmp is in memory."""
    with tempfile.TemporaryDirectory(prefix="test-", dir=scratch_parent()) as directory:
        yield Path(directory)


def test_reading_whole_trees_passes_over_links_and_devices(directory_on_disk):
    file = directory_on_disk / "directory/file"
    file.parent.mkdir()
    file.write_bytes(bytes(3 << 20))
    forget(file)
    assert not is_cached(file)
    (directory_on_disk / "dangling").symlink_to("nowhere")
    os.mkfifo(directory_on_disk / "fifo")  # would block
    read_whole(directory_on_disk)
    assert is_cached(file)


def forget(file):
    """Have the kernel drop a file from its page cache."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def is_cached(file):
    """Whether all of a file can be read without waiting for its disk (RWF_NOWAIT of preadv2(2))."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        try:
            return os.preadv(opened.fileno(), [bytearray(size)], 0, os.RWF_NOWAIT) == size
        except BlockingIOError:
            return False


def cached_pages(path):
    said = subprocess.run(["fincore", "-n", "-o", "PAGES", path], check=True, capture_output=True, text=True)
    return int(said.stdout.split()[0])


def test_files_are_dropped_from_the_page_cache_and_read_into_it(tmp_path):
    (tmp_path / "below").mkdir()
    file = tmp_path / "below/file"
    file.write_bytes(os.urandom(1 << 20))
    (tmp_path / "below/link").symlink_to("/etc/hostname")
    subprocess.run(["sync", file], check=True)
    for path in (tmp_path, file):
        page_cache.read_into_cache(path)
        assert cached_pages(file) == 256
        assert page_cache.resident(path) == 1 << 20
        page_cache.drop_from_cache(path)
        assert cached_pages(file) == 0
        assert page_cache.resident(path) == 0
        with file.open("rb", buffering=0) as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no reading ahead
            opened.seek(8192)
            opened.read(1)
        assert page_cache.resident(path) == 4096
