"""Watching a QEMU process, with other processes in its place."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from runtimes.vm.process import adopted_orphans, watched_emulator


@pytest.fixture
def directory(tmp_path):
    made = tmp_path / "vm"
    made.mkdir()
    return made


def stamp(process, pid, at=123):
    process.stamp_file.write_text(f"{pid} {at}\n")


def start(*argv):
    return os.posix_spawnp(argv[0], argv, os.environ)  # to be collected by the watch, and not by us


@pytest.mark.parametrize(
    ("argv", "end"), [(("true",), "exited with status 0"), (("sh", "-c", "kill -9 $$"), "was killed by SIGKILL")]
)
def test_the_end_is_noticed_collected_and_described(directory, argv, end):
    with watched_emulator(directory) as process:
        pid = start(*argv)
        stamp(process, pid)
        assert process.exited.wait(10)
        assert process.describe_end() == f"QEMU {end}"
        assert (process.pid, process.spawned_at) == (pid, 123)
        assert process.exited_at <= time.monotonic_ns()
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)


def test_who_has_said_only_who_it_is_can_be_killed(directory):
    """An emulator may hang before it is QEMU, and libvirt waits for as long as it lives."""
    with watched_emulator(directory) as process, process.stamp_file.open("wb", buffering=0) as said:
        said.write(f"{start('sleep', '100')} ".encode())
        process.kill()
        assert process.exited.wait(10)
        assert process.describe_end() == "QEMU was killed by SIGKILL"
        assert not process.spawned.is_set()


def test_the_channel_is_handed_over_once_connected(directory):
    with watched_emulator(directory) as process:
        assert process.take_channel(0.05) is None
        with socket.socket(socket.AF_UNIX) as emulated:
            before = time.monotonic_ns()
            emulated.connect(str(process.channel))
            taken = process.take_channel(10)
            assert before < process.connected_at < time.monotonic_ns()
            with taken:
                emulated.sendall(b"READY")
                assert taken.recv(5) == b"READY"


def test_a_process_that_somebody_else_collected_has_ended(directory):
    pid = start("true")
    os.waitpid(pid, 0)
    with watched_emulator(directory) as process:
        stamp(process, pid)
        assert process.exited.wait(10)


def test_a_late_kill_meets_nobody_else(directory):
    """When the watch has ended, the number of its descriptor may be another file's."""
    with watched_emulator(directory) as process:
        stamp(process, start("true"))
        assert process.exited.wait(10)
        number = process._pidfd
    with subprocess.Popen(["sleep", "100"]) as other:
        fd = os.pidfd_open(other.pid)
        try:
            if fd != number:
                os.dup2(fd, number)
            process.kill()
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(0.2)
        finally:
            for each in {fd, number}:
                os.close(each)
            other.kill()


def test_an_emulator_that_dies_before_its_stamp_is_survived(directory):
    with watched_emulator(directory) as process:
        os.close(os.open(process.stamp_file, os.O_WRONLY))
        with socket.socket(socket.AF_UNIX) as emulated:
            emulated.connect(str(process.channel))
            assert process.take_channel(10) is not None


def test_nothing_is_left_open(directory):
    def left():
        return len(list(Path("/proc/self/fd").iterdir())), threading.enumerate()

    before = left()
    with watched_emulator(directory) as process, socket.socket(socket.AF_UNIX) as emulated:
        emulated.connect(str(process.channel))
        stamp(process, start("true"))
        assert process.exited.wait(10)
    assert left() == before


def test_orphans_come_to_us_only_meanwhile():
    def orphan():
        """The pid of a process whose parent has ended, and that of its new parent; it is killed."""
        script = "sh -c 'echo $$; exec sleep 100' &"
        with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as middle:
            pid = int(middle.stdout.readline())
            middle.wait()
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            os.kill(pid, signal.SIGKILL)
            return pid, parent

    with adopted_orphans():
        pid, parent = orphan()
        assert parent == os.getpid()
        os.waitpid(pid, 0)
    _, parent = orphan()
    assert parent != os.getpid()
