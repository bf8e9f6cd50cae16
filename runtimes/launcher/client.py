"""The runner's side of the launcher."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtimes.base import HostError, InstanceError
from runtimes.cgroup import Cgroup
from runtimes.launcher.build import build_executor
from runtimes.launcher.executor import Executor
from runtimes.launcher.limits import set_limits
from runtimes.launcher.steps import Outcome, Steps, failure
from runtimes.rootless import is_unprivileged
from runtimes.syscalls import CLONE_INTO_CGROUP

STREAM, LOG, FURTHER = range(3)
"""Places of the descriptors that go with every request, and of the first that goes with some."""

_LARGEST_REPLY = 1 << 16
_REPLY_TIMEOUT = 30.0
"""Seconds within which a process gets from clone to execve or fails; it needs milliseconds."""

_END_TIMEOUT = 30.0
"""Seconds for the launcher to kill what it started; it gives each child's cgroup one second at most."""

_SOURCE_ROOT = Path(__file__).resolve().parents[2]


_Answer = tuple[bytes, list[int]]
"""The text of a reply, and the descriptors that came with it; nothing of either at the end of the channel."""


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One program to start.

    Attributes:
        steps: what the new process does, in order; the last step executes the program. The program's stream, and the
            log for its standard output and error, are the descriptors at ``STREAM`` and ``LOG``.
        cgroup: the cgroup that the steps have it join; where it can be started in one, it is.
        flags: CLONE_NEW… flags of clone3(2).
        descriptors: further file descriptors that the steps refer to, from the place ``FURTHER`` on.
        owners: a mapping of users and groups (user_namespaces(7)): a user namespace with it is made for the steps, and
            its descriptor comes after those. None for none.
        clocks: the offsets of a time namespace to start in, seconds by clock (time_namespaces(7)), or None for the
            launcher's.
    """

    steps: tuple[Steps, ...]
    cgroup: Cgroup
    flags: int = 0
    descriptors: tuple[int, ...] = ()
    owners: str | None = None
    clocks: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Launched:
    """A program that runs.

    Attributes:
        pid: as the host sees it.
        pidfd: readable once it has ended; to be closed by who got it.
        stamps: end of each phase, nanoseconds of CLOCK_MONOTONIC.
    """

    pid: int
    pidfd: int
    stamps: Mapping[str, int]


class _Process:
    """One launcher process and our end of its channel, on which it answers requests in the order they came.

    Several threads may have requests under way. Whoever wants a reply reads the channel until its own has come, and
    keeps those that come before for who has asked for them.

    Attributes:
        pid: of the process.
    """

    def __init__(self, library: Path) -> None:
        self._process, self._channel = _start_process(library)
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self._asked = 0
        self._answered = 0
        self._kept: dict[int, _Answer] = {}
        self.pid = self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it serves no more."""
        return self._process.poll() is not None

    def ask(self, request: bytes, descriptors: Sequence[int]) -> int:
        """Send a request; returns its number.

        Raises:
            OSError: the process does not take it, and has been killed.
        """
        with self._sending:
            try:
                socket.send_fds(self._channel, [request], descriptors)
            except OSError:
                self.kill()
                raise
            self._asked += 1
            return self._asked

    def answer(self, number: int) -> _Answer:
        """Wait for the reply to a request; to be called once for each.

        Raises:
            OSError: the process does not answer, and has been killed.
        """
        with self._receiving:
            while self._answered < number:
                answer: _Answer = (b"", [])
                try:
                    text, fds, _, _ = socket.recv_fds(self._channel, _LARGEST_REPLY, 1, socket.MSG_CMSG_CLOEXEC)
                    answer = text, fds
                finally:
                    # Also when interrupted: a reply that is still to come would be taken for the next.
                    if not answer[0]:
                        self.kill()
                self._answered += 1
                self._kept[self._answered] = answer
            return self._kept.pop(number)

    def kill(self) -> None:
        """End the process, and with it all that it started."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Have the process kill what it started and still lives, and end."""
        self._channel.close()
        try:
            self._process.wait(_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()


class Launcher:
    """The launcher process of a run; the protocol stands in :mod:`runtimes.launcher.process`.

    One that has died, or has not answered in time, is replaced at the next request. A late answer can so never be taken
    for that to another request.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library = build_executor()
        self._executor = Executor(str(self._library))
        self._process = _Process(self._library)

    def take(self, steps: Steps, descriptors: Sequence[int] = ()) -> None:
        """Take steps in the calling thread.

        Args:
            steps: what is done.
            descriptors: what their descriptors stand for.

        Raises:
            StepError: one failed; those before it have been taken.
        """
        outcome = self._executor.take(steps.encode(), descriptors)
        if outcome.failed is not None:
            raise failure((steps,), outcome)

    def execute(self, steps: Sequence[Steps], cgroup: Cgroup, descriptors: Sequence[int]) -> tuple[int, int]:
        """Take steps in a child of the harness itself, the last of which executes a program; the calling thread waits.

        Args:
            steps: what the child does.
            cgroup: with version 2, the one to be made in; with version 1 it is in those of the calling thread.
            descriptors: what the steps' descriptors stand for.

        Returns:
            The pid, and a pidfd that is to be reaped and closed by the caller.

        Raises:
            OSError: there is no process, or a step failed; then nothing is left of it.
        """
        with ExitStack() as stack:
            flags, directory = 0, None
            if cgroup.clone_into is not None:
                flags = CLONE_INTO_CGROUP
                directory = os.open(cgroup.clone_into, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, directory)
            segments = b"".join(each.encode() for each in steps)
            pid, pidfd, outcome = self._executor.spawn(flags, directory, segments, descriptors)
        if outcome.failed is not None:
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
            raise failure(steps, outcome)
        return pid, pidfd

    def make_user_namespace(self, mapping: str) -> int:
        """A descriptor of a new user namespace; see :meth:`runtimes.launcher.executor.Executor.make_user_namespace`.

        Raises:
            OSError: the kernel refused.
        """
        return self._executor.make_user_namespace(mapping)

    @property
    def pid(self) -> int:
        """Of the present process."""
        return self._process.pid

    @contextmanager
    def begin(self, request: LaunchRequest, stream: socket.socket, log: int) -> Iterator[PendingLaunch]:
        """Send a request, and have the reply read later: the program may be up before the reply is.

        Both ``stream`` and ``log`` are duplicated to the program; the caller closes its own. To be called in the run's
        namespaces, as a new process may have to be started.

        Raises:
            HostError: there was no process any more, and a new one could not be started.
            InstanceError: the launcher has ended.
        """
        with ExitStack() as stack:
            process = self._living()
            fds = [stream.fileno(), log, *request.descriptors]
            if request.cgroup.clone_into is not None:
                fds.append(os.open(request.cgroup.clone_into, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                stack.callback(os.close, fds[-1])
            try:
                number = process.ask(_encode(request), fds)
            except OSError as error:
                raise InstanceError(
                    f"the launcher does not take the request: {error}; the next one gets a new one"
                ) from error
        pending = PendingLaunch(process, number, request)
        try:
            yield pending
        finally:
            pending.discard()

    def _living(self) -> _Process:
        with self._lock:
            if self._process.ended:
                self._process.close()
                self._process = _Process(self._library)
            return self._process

    def kill(self) -> None:
        """End the process, and with it all that it started; the next request gets a new one."""
        self._process.kill()

    def close(self) -> None:
        """Have the process kill what it started and still lives, and end."""
        self._process.close()


class PendingLaunch:
    """A request whose reply has not been read."""

    def __init__(self, process: _Process, number: int, request: LaunchRequest) -> None:
        self._process = process
        self._number = number
        self._request = request
        self._outstanding = True

    def finish(self) -> Launched:
        """Wait for the reply.

        Raises:
            InstanceError: the program could not be started; the message names the step, or says that the launcher has
                ended or does not answer.
        """
        self._outstanding = False
        try:
            text, fds = self._process.answer(self._number)
        except OSError as error:
            raise InstanceError(f"no answer from the launcher: {error}; the next request gets a new one") from error
        if not text:
            raise InstanceError("no answer from the launcher: it has ended; the next request gets a new one")
        reply = json.loads(text)
        if "error" in reply:
            raise InstanceError(f"could not make the process: {reply['error']}")
        if "failed" in reply:
            outcome = Outcome(reply["failed"], reply["errno"], {})
            raise InstanceError(str(failure(self._request.steps, outcome).strerror))
        return Launched(reply["pid"], fds[0], reply["stamps"])

    def discard(self) -> None:
        """Take a reply that nobody waited for off the channel."""
        if self._outstanding:
            with contextlib.suppress(InstanceError):
                os.close(self.finish().pidfd)


@contextmanager
def open_launcher() -> Iterator[Launcher]:
    """Start the launcher in the calling thread's namespaces; at the end it kills what it started and still lives.

    Raises:
        HostError: it could not be started.
    """
    with contextlib.closing(Launcher()) as launcher:
        yield launcher


def _start_process(library: Path) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a launcher process; returns it with our end of its channel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # -I -S: neither the user's environment nor site packages, whose start-up hooks may load anything.
    program = (
        f"import sys; sys.path.insert(0, {str(_SOURCE_ROOT)!r}); "
        f"from runtimes.launcher.process import main; main({theirs.fileno()}, {str(library)!r})"
    )
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", program],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the runner, which tears down in order
            )
        except OSError as error:
            ours.close()
            raise HostError(f"cannot start the launcher: {error}") from error
    try:
        set_limits(process.pid, rootless=is_unprivileged())
    except HostError:
        ours.close()
        process.kill()
        process.wait()
        raise
    ours.settimeout(_REPLY_TIMEOUT)
    return process, ours


def _encode(request: LaunchRequest) -> bytes:
    header = {
        "flags": request.flags,
        "into_cgroup": request.cgroup.clone_into is not None,
        "owners": request.owners,
        "clocks": request.clocks,
        "procs_files": [str(path) for path in request.cgroup.procs_files],
    }
    return b"".join([json.dumps(header).encode(), b"\0", *(steps.encode() for steps in request.steps)])
