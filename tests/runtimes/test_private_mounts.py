"""Mount namespaces in which an engine finds the run's directories in place of the host's."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from traces import count

from runtimes.base import HostError
from runtimes.engine.private_mounts import private_mounts


@pytest.mark.host
class TestPrivateMounts:
    def test_what_is_written_inside_is_in_our_directory(self, facilities, tmp_path):
        threads = threading.active_count()
        with private_mounts(facilities.launcher, {"/var/lib": tmp_path}) as mounts:
            mounts.call(lambda: Path("/var/lib/mark").write_text("x"))
            mounts.call(lambda: Path("/dev/shm/bench-mark").write_text("x"))
            assert (tmp_path / "mark").read_text() == "x"
            assert not Path("/var/lib/mark").exists()
            assert not Path("/dev/shm/bench-mark").exists()
            assert os.fstat(mounts.fd).st_ino != Path("/proc/thread-self/ns/mnt").stat().st_ino
        assert threading.active_count() == threads

    def test_what_goes_wrong_inside_is_told(self, facilities, tmp_path):
        with private_mounts(facilities.launcher, {}) as mounts, pytest.raises(FileNotFoundError):
            mounts.call((tmp_path / "none").read_text)

    def test_a_place_that_is_missing_is_named(self, facilities, tmp_path):
        before = count("/proc/self/fd")
        with pytest.raises(HostError, match="/nowhere"), private_mounts(facilities.launcher, {"/nowhere": tmp_path}):
            pass
        assert count("/proc/self/fd") == before
