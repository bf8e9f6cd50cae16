"""The launcher's own process: a single thread and a small heap, so that forking it is cheap and safe.

The protocol
------------
The runner starts the launcher once a run, and anew if it has died, and talks to it over a SOCK_SEQPACKET socket pair.
One packet is one message.

A *request* is a JSON object with the file descriptors that it needs passed along (SCM_RIGHTS), in this order: the
agent's end of its stream; the log, for the agent's standard output and error; a network namespace, if ``network`` is
``join``; the cgroup's directory, if ``into_cgroup`` is true. Its keys:

``argv``          list of strings: the program and its arguments; it finds the stream at descriptor 3
``isolated``      true: new mount, pid, ipc, uts and cgroup namespaces and a root of its own, mounted by the child;
                  false: the caller's namespaces, and a chroot into a root that is mounted already
``root``          isolated: where the image is mounted; otherwise: the mounted root
``staging``       isolated: an empty directory to mount the new root on (each child sees its own mounts only)
``scratch``       isolated: block device for /scratch, or null
``hostname``      isolated: the host name
``network``       ``keep`` the caller's namespace, ``join`` the one passed along, or a ``new`` one with nothing but lo
``into_cgroup``   start the child in the cgroup (version 2) whose directory is passed along
``thread_files``  the files by which a process with one thread joins its cgroups, unless it is started in the cgroup
``procs_files``   the files that list the processes in its cgroups
``cpus``          list of the CPUs that the child may run on

There is one *reply* to each request, in order. After a success it is ``{"pid": …, "stamps": {phase: nanoseconds, …}}``
with a pidfd of the child passed along; stamps are CLOCK_MONOTONIC, one at the end of each phase. After a failure it is
``{"error": {"step": …, "errno": …, "message": …}}``, and nothing of the child is left.

The child sends its stamps, or its failure, over a pipe that is closed by a successful execve; so the end of the pipe
without a failure means that the program runs, and the launcher answers only then.

When the runner's end of the socket closes, whether in order or because the runner died, the launcher kills all children
that still live together with everything in their cgroups, and ends. Should the launcher itself be killed, the kernel
kills its children.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import time

from runtimes import syscalls
from runtimes.launcher.child import become

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
_LARGEST_REQUEST = 1 << 16


def main(fd: int) -> None:
    """Serve requests from the socket ``fd`` until its other end is closed."""
    # Neither may a collection in the middle of a start cost time, nor one in a child copy the heap.
    gc.collect()
    gc.disable()
    gc.freeze()
    # What a shell ignores for a job in the background must not reach the workloads. Python's own SIGPIPE stays.
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    with socket.socket(fileno=fd) as runner:
        runner.set_inheritable(False)
        _Launcher(runner).serve()


class _Launcher:
    def __init__(self, runner: socket.socket) -> None:
        self._runner = runner
        self._children: dict[int, tuple[int, list[str]]] = {}  # by pidfd: pid, cgroup.procs files
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
            text, fds, _, _ = socket.recv_fds(self._runner, _LARGEST_REQUEST, 4, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return False
        if not text:
            return False
        request = json.loads(text)
        pidfd = -1
        try:
            pid, pidfd, stamps = _launch(request, fds)
        except OSError as error:
            failure = {"step": getattr(error, "step", "clone"), "errno": error.errno, "message": str(error)}
            reply: dict[str, Any] = {"error": failure}
        else:
            self._children[pidfd] = (pid, request["procs_files"])
            self._poll.register(pidfd, select.POLLIN)
            reply = {"pid": pid, "stamps": stamps}
        finally:
            # Before the reply: the agent's stream must end with the child.
            for fd in fds:
                os.close(fd)
        try:
            socket.send_fds(self._runner, [json.dumps(reply).encode()], [pidfd] if pidfd >= 0 else [])
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _reap(self, pidfd: int) -> None:
        self._poll.unregister(pidfd)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        del self._children[pidfd]

    def _kill_all(self) -> None:
        for pidfd, (_, procs_files) in self._children.items():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            _kill_cgroup(procs_files)


def _kill_cgroup(procs_files: list[str]) -> None:
    """Kill what is in a cgroup until nothing is, for a second at most; what resists is for the next run to reclaim."""
    deadline = time.monotonic() + 1
    while procs_files and time.monotonic() < deadline:
        try:
            with open(procs_files[0]) as file:  # noqa: PTH123 pathlib costs the launcher more memory than it has in all
                pids = [int(pid) for pid in file.read().split()]
        except FileNotFoundError:
            return
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


class _ChildFailedError(OSError):
    """A step in the child failed."""

    def __init__(self, step: str, errno: int, message: str) -> None:
        super().__init__(errno, message)
        self.step = step

    def __str__(self) -> str:
        return str(self.strerror)


def _launch(request: dict[str, Any], fds: list[int]) -> tuple[int, int, dict[str, int]]:
    """Start one child and wait until it has executed its program.

    Returns:
        Its pid, a pidfd of it, and the stamps of the phases.

    Raises:
        OSError: it did not come that far; it is reaped.
    """
    flags = _NAMESPACES if request["isolated"] else 0
    if request["network"] == "new":
        flags |= syscalls.CLONE_NEWNET
    reading, writing = os.pipe()
    try:
        pid, pidfd = syscalls.clone3(flags, signal.SIGCHLD, fds[-1] if request["into_cgroup"] else None)
        if pid == 0:
            os.close(reading)
            become(request, fds, writing)  # does not return
    finally:
        os.close(writing)
    try:
        report = _read_to_end(reading)
    finally:
        os.close(reading)
    stamps: dict[str, int] = {}
    for line in report.splitlines():
        message = json.loads(line)
        if "error" in message:
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
            raise _ChildFailedError(message["error"]["step"], message["error"]["errno"], message["error"]["message"])
        stamps.update(message["stamps"])
    if not stamps:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        raise _ChildFailedError("clone", 0, "the child was killed before it could execute its program")
    return pid, pidfd, stamps


def _read_to_end(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 4096):
        parts.append(part)
    return b"".join(parts)
