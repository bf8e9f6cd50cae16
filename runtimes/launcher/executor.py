"""The library that takes steps: compiled on the host, loaded by the harness and by the launcher.

It is loaded by path, so that the launcher needs nothing of what compiling takes.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from runtimes.launcher.steps import MAX_STAMPS, PHASES, Outcome
from runtimes.syscalls import CLONE_NEWUSER, CLONE_VM


class _Outcome(ctypes.Structure):
    """``struct outcome`` of execute.c."""

    _fields_ = (("failed", ctypes.c_int32), ("errno", ctypes.c_int32), ("stamps", ctypes.c_int64 * MAX_STAMPS))

    def read(self) -> Outcome:
        stamps = {phase: self.stamps[place] for place, phase in enumerate(PHASES) if self.stamps[place]}
        return Outcome(None if self.failed < 0 else self.failed, self.errno, stamps)


class Executor:
    """The loaded library."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        # Shared with a process that has a copy of everything else.
        self._shared = _Outcome.from_buffer(mmap.mmap(-1, ctypes.sizeof(_Outcome)))
        self._take_steps = library.take_steps
        self._take_steps.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p)
        self._take_steps.restype = None
        self._spawn = library.spawn
        self._spawn.argtypes = (
            ctypes.c_uint64,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        self._spawn.restype = ctypes.c_long
        self._hold = library.hold
        self._hold.argtypes = (ctypes.c_uint64, ctypes.c_void_p)
        self._hold.restype = ctypes.c_long

    def make_user_namespace(self, mapping: str) -> int:
        """Make a user namespace.

        Args:
            mapping: of users and of groups alike, a line each range (user_namespaces(7)).

        Returns:
            A descriptor of it.

        Raises:
            OSError: the kernel refused, or will not have the mapping.
        """
        pidfd = ctypes.c_int32(-1)
        pid = self._hold(CLONE_NEWUSER, ctypes.byref(pidfd))
        if pid < 0:
            raise _refused(CLONE_NEWUSER, -pid)
        try:
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{pid}/{name}").write_text(mapping)
            return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            signal.pidfd_send_signal(pidfd.value, signal.SIGKILL)
            os.waitid(os.P_PIDFD, pidfd.value, os.WEXITED)
            os.close(pidfd.value)

    def take(self, segments: bytes, descriptors: Sequence[int] = ()) -> Outcome:
        """Take steps in the calling thread, up to the first that fails; ``descriptors`` as of :meth:`spawn`."""
        outcome = _Outcome()
        numbers = (ctypes.c_int32 * len(descriptors))(*descriptors)
        self._take_steps(segments, len(segments), ctypes.byref(numbers), ctypes.byref(outcome))
        return outcome.read()

    def spawn(
        self, flags: int, cgroup: int | None, segments: bytes, descriptors: Sequence[int], *, copied: bool = False
    ) -> tuple[int, int, Outcome]:
        """Take steps, the last of which executes a program, in a new process; the calling thread waits for that.

        Args:
            flags: CLONE_NEW… flags of clone3(2), and CLONE_INTO_CGROUP together with ``cgroup``.
            cgroup: descriptor of the cgroup v2 directory to start in, or None.
            segments: the steps.
            descriptors: what the steps' descriptors stand for.
            copied: let the process have a copy of the caller's memory, as after fork, and not share it.

        Returns:
            The pid, a pidfd, and what came of the steps; if one of them failed the process is dead, and to be reaped.

        Raises:
            OSError: there is no process.
        """
        pidfd = ctypes.c_int32(-1)
        # Threads may do so at once where memory is shared; only the launcher, which has one, has it copied.
        outcome = self._shared if copied else _Outcome()
        ctypes.memset(ctypes.byref(outcome), 0, ctypes.sizeof(outcome))
        numbers = (ctypes.c_int32 * len(descriptors))(*descriptors)
        pid = self._spawn(
            flags | (0 if copied else CLONE_VM),
            -1 if cgroup is None else cgroup,
            segments,
            len(segments),
            ctypes.byref(numbers),
            ctypes.byref(outcome),
            ctypes.byref(pidfd),
        )
        if pid < 0:
            raise _refused(flags, -pid)
        return pid, pidfd.value, outcome.read()


def _refused(flags: int, number: int) -> OSError:
    return OSError(number, f"clone3 {flags:#x}: {os.strerror(number)}")
