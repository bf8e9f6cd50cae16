"""The launcher's own process: it starts what the harness asks for, and sees to its end.

The protocol
------------
The runner starts the launcher once a run, and anew if it has died, and talks to it over a SOCK_SEQPACKET socket pair.
One packet is one message.

A *request* is a JSON object, a NUL, and the steps that the new process takes (:mod:`runtimes.launcher.steps`), the last
of which executes a program. File descriptors are passed along (SCM_RIGHTS); the steps refer to them by their order. The
keys of the object:

``flags``         CLONE_NEW… flags of clone3(2)
``into_cgroup``   true: the last descriptor is the cgroup's directory (version 2), and the process is started in it
``owners``        a mapping of users and groups (user_namespaces(7)), or null: a user namespace with it is made, whose
                  descriptor comes after those passed along
``clocks``        offsets of a time namespace to start in, seconds by clock (time_namespaces(7)), or null
``procs_files``   the files that list the processes in its cgroups

There is one *reply* to each request, in order. After a success it is ``{"pid": …, "stamps": {phase: nanoseconds, …}}``
with a pidfd of the process passed along; stamps are CLOCK_MONOTONIC, one at the end of each phase. If a step failed it
is ``{"failed": number, "errno": …}``, and if there was no process ``{"error": message}``; nothing is then left of it.

The process shares the launcher's memory until it has executed its program, and the launcher waits for that: so a reply
means that the program runs, and the launcher's size is of no matter.

When the runner's end of the socket closes, whether in order or because the runner died, the launcher kills all
processes that still live together with everything in their cgroups, and ends. Should the launcher itself be killed, the
kernel kills what it has started.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtimes import syscalls
from runtimes.launcher.executor import Executor

_LARGEST_REQUEST = 1 << 17
_MOST_DESCRIPTORS = 8


def main(fd: int, library: str) -> None:
    """Serve requests from the socket ``fd`` until its other end is closed; ``library`` is the executor's path."""
    # The groups of whoever started the harness are no instance's; a user namespace may not allow to leave them.
    with contextlib.suppress(PermissionError):
        os.setgroups([])
    with socket.socket(fileno=fd) as runner:
        runner.set_inheritable(False)
        _Launcher(runner, Executor(library)).serve()


class _Launcher:
    def __init__(self, runner: socket.socket, executor: Executor) -> None:
        self._runner = runner
        self._executor = executor
        self._children: dict[int, list[str]] = {}  # by pidfd: cgroup.procs files
        self._poll = select.poll()
        self._poll.register(runner, select.POLLIN)

    def serve(self) -> None:
        while True:
            for fd, _ in self._poll.poll():
                if fd != self._runner.fileno():
                    self._reap(fd)
                elif not self._serve_request():
                    self._kill_all()
                    return

    def _serve_request(self) -> bool:
        """Serve one request; False at the end of the stream."""
        try:
            packet, fds, _, _ = socket.recv_fds(
                self._runner, _LARGEST_REQUEST, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return False
        if not packet:
            return False
        header, _, segments = packet.partition(b"\0")
        pidfd = -1
        try:
            reply, pidfd = self._launch(json.loads(header), segments, fds)
        finally:
            # Before the reply: the agent's stream must end with the child.
            for fd in fds:
                os.close(fd)
        try:
            socket.send_fds(self._runner, [json.dumps(reply).encode()], [pidfd] if pidfd >= 0 else [])
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _launch(self, request: dict[str, Any], segments: bytes, fds: list[int]) -> tuple[dict[str, Any], int]:
        """Start one process; the reply, and a pidfd if it runs."""
        flags, cgroup = request["flags"], None
        try:
            if request["owners"] is not None:
                # What goes along for the steps comes first, the cgroup last.
                place = len(fds) - request["into_cgroup"]
                fds.insert(place, self._executor.make_user_namespace(request["owners"]))
            if request["into_cgroup"]:
                flags, cgroup = flags | syscalls.CLONE_INTO_CGROUP, fds[-1]
            with _children_in_time_namespace(request["clocks"]):
                # Who shares memory cannot enter one before Linux 6.3, as the kernel keeps time in a page of it.
                copied = request["clocks"] is not None
                pid, pidfd, outcome = self._executor.spawn(flags, cgroup, segments, fds, copied=copied)
        except OSError as error:
            return {"error": str(error)}, -1
        if outcome.failed is not None:
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
            return {"failed": outcome.failed, "errno": outcome.errno}, -1
        # The process has stamped by its own clock.
        ahead = (request["clocks"] or {}).get("monotonic", 0) * 10**9
        stamps = {phase: at - ahead for phase, at in outcome.stamps.items()}
        self._children[pidfd] = request["procs_files"]
        self._poll.register(pidfd, select.POLLIN)
        return {"pid": pid, "stamps": stamps}, pidfd

    def _reap(self, pidfd: int) -> None:
        self._poll.unregister(pidfd)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        del self._children[pidfd]

    def _kill_all(self) -> None:
        for pidfd, procs_files in self._children.items():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            _kill_cgroup(procs_files)


@contextlib.contextmanager
def _children_in_time_namespace(offsets: dict[str, int] | None) -> Iterator[None]:
    """Have processes that are made meanwhile start in a time namespace of their own; None for ours.

    The offsets can be set only until somebody is in it, so that it is made by the parent (time_namespaces(7)).
    """
    if offsets is None:
        yield
        return
    own = os.open("/proc/self/ns/time", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.unshare(syscalls.CLONE_NEWTIME)
        try:
            lines = (f"{clock} {seconds} 0\n" for clock, seconds in offsets.items())
            Path("/proc/self/timens_offsets").write_text("".join(lines))
            yield
        finally:
            syscalls.setns(own, syscalls.CLONE_NEWTIME)
    finally:
        os.close(own)


def _kill_cgroup(procs_files: list[str]) -> None:
    """Kill what is in a cgroup until nothing is, for a second at most; what resists is for the next run to reclaim."""
    deadline = time.monotonic() + 1
    while procs_files and time.monotonic() < deadline:
        try:
            pids = [int(pid) for pid in Path(procs_files[0]).read_text().split()]
        except FileNotFoundError:
            return
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
