"""The daemon of a user's own that a run starts: that it ends, whatever has become of it."""

from __future__ import annotations

import sys
import time

import psutil
import pytest

from runtimes.base import HostError
from runtimes.vm import daemon

PATIENCE = 1.0

STUBBORN = f"""\
#!{sys.executable}
import os, signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(os.environ["PIDS"], "w") as file:
    print(os.getpid(), file=file)
if os.environ.get("READY"):
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""
"""A daemon that does not end when it is asked to."""


@pytest.fixture
def stubborn(tmp_path, monkeypatch):
    program = tmp_path / "virtqemud"
    program.write_text(STUBBORN)
    program.chmod(0o755)
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    monkeypatch.setattr(daemon, "find_daemon", lambda: program)
    monkeypatch.setattr(daemon, "_END_PATIENCE", PATIENCE)
    monkeypatch.setattr(daemon, "_session_directory", lambda: tmp_path / "bench-libvirtd")
    return program


def has_ended(directory):
    return not psutil.pid_exists(int((directory / "pids").read_text()))


def test_one_that_does_not_get_ready_is_ended_by_force(stubborn, tmp_path, monkeypatch):
    monkeypatch.setattr(daemon, "_START_PATIENCE", PATIENCE)
    began = time.monotonic()
    with pytest.raises(HostError, match="is not ready after 1 s"), daemon.session_daemon():
        pytest.fail("it said that it is ready")
    assert time.monotonic() - began < 30
    assert has_ended(tmp_path)
    assert not (tmp_path / "bench-libvirtd").exists()


def test_one_that_cannot_be_reached_is_told_and_ended(stubborn, tmp_path, monkeypatch):
    monkeypatch.setenv("READY", "yes")
    told = "libvirt cannot connect to qemu.unix:///session.*start again"
    with pytest.raises(HostError, match=told), daemon.session_daemon():
        pytest.fail("there is nobody at its socket")
    assert has_ended(tmp_path)
    assert not (tmp_path / "bench-libvirtd").exists()


def test_a_connection_to_it_is_closed_when_it_has_ended(stubborn, tmp_path, monkeypatch):
    """One that hangs would not answer, for which libvirt waits without a limit."""

    class Held:
        def close(self):
            ended.append(has_ended(tmp_path))

    ended = []
    monkeypatch.setenv("READY", "yes")
    monkeypatch.setattr(daemon, "_hold", Held)
    with daemon.session_daemon():
        assert not has_ended(tmp_path)
    assert ended == [True]
