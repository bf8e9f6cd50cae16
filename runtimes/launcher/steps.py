"""Steps: system calls written down as data, to be taken in a new process, or in the calling thread.

What a child of the launcher does between clone and execve is decided here, in the harness, and executed by a few lines
of C (``execute.c``) that know nothing of roots, namespaces or limits. So the process that is cloned needs no
interpreter, a part that is the same at every start is written down once, and what was about to be done is known by name
when the kernel refuses it.

The encoding
------------
Steps are encoded as one *segment*, and segments may follow each other. A segment is two ``uint32``, the number of its
steps and the size of its data, then the steps, 56 bytes each, then the data. A step is ``int32`` the number of the
system call or one of the special ones below, ``uint16`` a bit for each argument that is an offset into the data,
``uint16`` a bit for each argument that is an index into the descriptors passed along, and six ``uint64`` arguments. All
is in the machine's own byte order and aligned to eight bytes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

PHASES = ("clone", "join", "mounts", "pivot", "hardening", "exec")
"""What can be stamped, each at its place in the outcome."""

MAX_STAMPS = 16

_STAMP, _WRITE_FILE, _OPEN_AS, _FILTER, _SET_UP, _MAP_MOUNT, _EXECUTE = range(-1, -8, -1)
"""``enum special`` of execute.c."""

_CALLS = {
    "dup3": 292,
    "setsid": 112,
    "umask": 95,
    "setresgid": 119,
    "setresuid": 117,
    "capset": 126,
    "prctl": 157,
    "pivot_root": 155,
    "chroot": 161,
    "chdir": 80,
    "mount": 165,
    "umount2": 166,
    "sethostname": 170,
    "sched_setaffinity": 203,
    "keyctl": 250,
    "mkdirat": 258,
    "mknodat": 259,
    "fchownat": 260,
    "symlinkat": 266,
    "unshare": 272,
    "setns": 308,
    "close_range": 436,
}
"""Numbers of system calls on x86-64 (asm/unistd_64.h)."""

_AT_FDCWD = -100
_HEADER = struct.Struct("=II")
_STEP = struct.Struct("=iHH6Q")
_ALIGNMENT = 8
_IFF_UP = 1


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Stands for a file descriptor that is passed along, by its place among them."""

    place: int


Argument = int | str | bytes | Descriptor


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of steps.

    Attributes:
        failed: number of the step that failed, over all segments; None if none did.
        errno: why.
        stamps: when each phase ended, nanoseconds of CLOCK_MONOTONIC.
    """

    failed: int | None
    errno: int
    stamps: dict[str, int]


class StepError(OSError):
    """A step failed; the message says what was about to be done, by which call, on what, and the kernel's answer."""


class Steps:
    """A list of steps under way; every method adds to it. To be encoded once it is complete."""

    def __init__(self, purpose: str) -> None:
        """``purpose`` is what the steps are for, as it goes on after ``could not``."""
        self._purpose = purpose
        self._steps: list[bytes] = []
        self._descriptions: list[tuple[str, str]] = []
        self._data = bytearray()
        self._offsets: dict[bytes, int] = {}
        self._encoded = b""

    def purpose(self, text: str) -> None:
        """What the steps from here on are for."""
        self._purpose = text

    def stamp(self, phase: str) -> None:
        """Stamp the end of a phase, one of ``PHASES``."""
        self._add(_STAMP, f"stamp {phase}", PHASES.index(phase))

    def mount(self, source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
        """Mount a file system (mount in section 2 of the manual); the empty string stands for a null argument."""
        self.call("mount", *(text or 0 for text in (source, target, fstype)), flags, data or 0, about=target)

    def unmount(self, target: str, flags: int) -> None:
        """umount2(2)."""
        self.call("umount2", target, flags, about=target)

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        """mkdir(2)."""
        self.call("mkdirat", _AT_FDCWD, path, mode, about=path)

    def make_file(self, path: str, mode: int) -> None:
        """mknod(2) of an empty regular file."""
        self.call("mknodat", _AT_FDCWD, path, 0o100000 | mode, 0, about=path)

    def make_device(self, path: str, mode: int, major: int, minor: int) -> None:
        """mknod(2) of a character device; ``mode`` is its permissions."""
        self.call("mknodat", _AT_FDCWD, path, 0o20000 | mode, os.makedev(major, minor), about=path)

    def make_link(self, path: str, target: str) -> None:
        """symlink(2): ``path`` leads to ``target``."""
        self.call("symlinkat", target, _AT_FDCWD, path, about=path)

    def change_owner(self, path: str, uid: int, gid: int) -> None:
        """chown(2)."""
        self.call("fchownat", _AT_FDCWD, path, uid, gid, 0, about=path)

    def write_file(self, path: str, text: str) -> None:
        """Open a file that is there, write to it once, and close it."""
        content = text.encode()
        self._add(_WRITE_FILE, f"write {text.strip()!r} to {path}", path, content, len(content))

    def open_as(self, path: str, flags: int, descriptor: int) -> None:
        """Open a file under the number ``descriptor``."""
        self._add(_OPEN_AS, f"open {path}", path, flags, descriptor)

    def filter_system_calls(self, program: bytes) -> None:
        """seccomp(2): install a filter, an array of ``struct sock_filter``."""
        self._add(_FILTER, f"install a seccomp filter of {len(program) // 8} instructions", program, len(program) // 8)

    def set_up_interface(self, name: str) -> None:
        """netdevice(7): set a network interface of the current namespace up."""
        self._add(_SET_UP, f"set up {name}", struct.pack("=16sh22x", name.encode(), _IFF_UP))

    def map_mount(self, source: str, target: str, user_namespace: Descriptor) -> None:
        """The mount at ``source`` once more at ``target``, with owners as the user namespace maps them
        (mount_setattr(2), "ID-mapped mounts").
        """
        self._add(_MAP_MOUNT, f"mount {source} with mapped owners at {target}", source, target, user_namespace)

    def execute(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """execve(2), with an empty environment unless one is given: the last step."""
        variables = [f"{name}={value}" for name, value in (environment or {}).items()]
        strings = b"".join(text.encode() + b"\0" for text in (*argv, *variables))
        self._add(_EXECUTE, f"execve {argv[0]}", argv[0], strings, len(argv), len(variables))

    def call(self, name: str, *arguments: Argument, about: str = "") -> None:
        """Any system call of those listed here; text becomes a pointer to it.

        Args:
            name: of the call.
            arguments: whole numbers (negative ones too), text, bytes, and descriptors.
            about: the path, or what else it is about, for the message of its failure.
        """
        self._add(_CALLS[name], f"{name} {about}".rstrip(), *arguments)

    def _add(self, number: int, description: str, *arguments: Argument) -> None:
        pointers = descriptors = 0
        words = [0] * 6
        for place, argument in enumerate(arguments):
            if isinstance(argument, int):
                words[place] = argument & 0xFFFFFFFFFFFFFFFF
            elif isinstance(argument, Descriptor):
                descriptors |= 1 << place
                words[place] = argument.place
            else:
                pointers |= 1 << place
                words[place] = self._offset(argument)
        self._steps.append(_STEP.pack(number, pointers, descriptors, *words))
        self._descriptions.append((self._purpose, description))
        self._encoded = b""

    def _offset(self, value: str | bytes) -> int:
        content = value.encode() + b"\0" if isinstance(value, str) else value
        known = self._offsets.get(content)
        if known is None:
            self._data += bytes(-len(self._data) % _ALIGNMENT)
            known = self._offsets[content] = len(self._data)
            self._data += content
        return known

    def encode(self) -> bytes:
        """The segment; encoded once for all later calls."""
        if not self._encoded:
            padding = bytes(-len(self._data) % _ALIGNMENT)
            header = _HEADER.pack(len(self._steps), len(self._data) + len(padding))
            self._encoded = b"".join([header, *self._steps, self._data, padding])
        return self._encoded

    def describe(self) -> list[tuple[str, str]]:
        """The purpose and the description of each step."""
        return self._descriptions


def failure(parts: Iterable[Steps], outcome: Outcome) -> StepError:
    """The error for steps of which one failed."""
    assert outcome.failed is not None
    purpose, description = [each for part in parts for each in part.describe()][outcome.failed]
    return StepError(outcome.errno, f"could not {purpose}: {description}: {os.strerror(outcome.errno)}")
