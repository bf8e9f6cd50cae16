"""Which devices the processes in a cgroup may open or make: by the controller ``devices`` on version 1, by a program of
type BPF_PROG_TYPE_CGROUP_DEVICE on version 2.

Capabilities do not say that: root with CAP_MKNOD makes a node of the host's disk and opens it.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runtimes.base import HostError

_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_… of linux/bpf.h
_KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_…
_SYS_BPF = 321
_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE = 15
_ATTACH_CGROUP_DEVICE = 6
_ALLOW_MULTI = 2

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Device:
    """A device, or several, and what may be done with it.

    Attributes:
        kind: ``c`` or ``b``, for a character or a block device.
        major: its number.
        minor: its number, or None for all.
        access: letters out of ``r`` (read), ``w`` (write) and ``m`` (make a node).
    """

    kind: str
    major: int
    minor: int | None
    access: str = "rwm"

    def as_rule(self) -> str:
        """As ``devices.allow`` takes it."""
        minor = "*" if self.minor is None else self.minor
        return f"{self.kind} {self.major}:{minor} {self.access}"


USUAL_DEVICES = (
    Device("c", 1, 3),  # null
    Device("c", 1, 5),  # zero
    Device("c", 1, 7),  # full
    Device("c", 1, 8),  # random
    Device("c", 1, 9),  # urandom
    Device("c", 5, 0),  # tty
    Device("c", 5, 2),  # ptmx
    Device("c", 136, None),  # pts
)
"""What every container may use (kernel documentation, devices.txt)."""


class DeviceFilter(Protocol):
    """Keeps instances to ``USUAL_DEVICES``."""

    def apply(self, cgroup: Path | None, scratch: Path | None) -> Path | None:
        """Have it hold for one instance.

        Args:
            cgroup: the instance's directory on version 2.
            scratch: the block device of its scratch disk, which it has yet to mount, or None.

        Returns:
            The file that the instance's first process has to write ``0`` to, once it has mounted its disks; None if
            there is nothing to be done.

        Raises:
            HostError: the kernel refused.
        """


class DirectoryFilter:
    """On version 1: one directory for all instances, which each joins for itself."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is a fresh one of the controller ``devices``.

        Raises:
            HostError: the kernel refused, as it does without CAP_SYS_ADMIN.
        """
        self._tasks = directory / "tasks"
        try:
            (directory / "devices.deny").write_text("a")
            for device in USUAL_DEVICES:
                (directory / "devices.allow").write_text(device.as_rule())
        except OSError as error:
            raise HostError(f"cannot filter devices in cgroup {directory}: {error.strerror}") from error

    def apply(self, cgroup: Path | None, scratch: Path | None) -> Path | None:
        """See :class:`DeviceFilter`."""
        return self._tasks


class ProgramFilter:
    """On version 2: a program, put on each instance's cgroup, with which it goes."""

    def __init__(self) -> None:
        """Load the program.

        Raises:
            HostError: the kernel refused, as it does without CAP_BPF or without CONFIG_CGROUP_BPF.
        """
        self._program = load_program(USUAL_DEVICES)

    def apply(self, cgroup: Path | None, scratch: Path | None) -> Path | None:
        """See :class:`DeviceFilter`. The program holds at once, so that it has to let the scratch disk be mounted."""
        assert cgroup is not None
        if scratch is None:
            attach_program(self._program, cgroup)
            return None
        number = scratch.stat().st_rdev
        program = load_program((*USUAL_DEVICES, Device("b", os.major(number), os.minor(number), "rw")))
        try:
            attach_program(program, cgroup)
        finally:
            os.close(program)
        return None

    def close(self) -> None:
        """Let the program go; it stays where it has been put."""
        os.close(self._program)


def load_program(allowed: Iterable[Device]) -> int:
    """Load a program that allows these devices only; a descriptor of it.

    Raises:
        HostError: the kernel refused, as it does without CAP_BPF or without CONFIG_CGROUP_BPF.
    """
    instructions = _program(allowed)
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_ = ctypes.create_string_buffer(b"Apache-2.0")
    # The beginning of the member of union bpf_attr for BPF_PROG_LOAD: type, count, instructions, license.
    attributes = struct.pack(
        "=IIQQ",
        _PROG_TYPE_CGROUP_DEVICE,
        len(instructions) // 8,
        ctypes.addressof(code),
        ctypes.addressof(license_),
    )
    return _bpf(_PROG_LOAD, attributes, "load the program that filters devices")


def attach_program(program: int, directory: Path) -> None:
    """Put a program on a cgroup (version 2); it goes with the cgroup.

    Raises:
        HostError: the kernel refused.
    """
    cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        attributes = struct.pack("=IIII", cgroup, program, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI)
        _bpf(_PROG_ATTACH, attributes, f"filter the devices of cgroup {directory}")
    finally:
        os.close(cgroup)


def _bpf(command: int, attributes: bytes, what: str) -> int:
    result: int = _libc.syscall(ctypes.c_long(_SYS_BPF), command, attributes, len(attributes))
    if result < 0:
        raise HostError(f"cannot {what}: bpf: {os.strerror(ctypes.get_errno())}")
    return result


def _program(allowed: Iterable[Device]) -> bytes:
    """The program, as the kernel documentation ("BPF instruction set") has it.

    Its argument is a ``struct bpf_cgroup_dev_ctx``: kind and access in one word, then major and minor.
    """
    kind, access, major, minor, excess = 2, 3, 4, 5, 0
    code = [
        _instruction(_LOAD_WORD, kind, source=1, offset=0),
        _instruction(_MOVE, access, source=kind),
        _instruction(_SHIFT_RIGHT, access, value=16),
        _instruction(_AND, kind, value=0xFFFF),
        _instruction(_LOAD_WORD, major, source=1, offset=4),
        _instruction(_LOAD_WORD, minor, source=1, offset=8),
    ]
    for device in allowed:
        forbidden = sum(bit for letter, bit in _ACCESS.items() if letter not in device.access)
        conditions = [(kind, _KINDS[device.kind]), (major, device.major)]
        if device.minor is not None:
            conditions.append((minor, device.minor))
        if forbidden:
            conditions.append((excess, 0))
        rule = [_instruction(_SET, 0, value=1), _instruction(_EXIT, 0)]
        for register, value in reversed(conditions):
            rule.insert(0, _instruction(_JUMP_IF_NOT, register, offset=len(rule), value=value))
            if register == excess:
                # Jumps over the rule count from behind themselves, and these two stand before.
                rule[:0] = [_instruction(_MOVE, excess, source=access), _instruction(_AND, excess, value=forbidden)]
        code += rule
    return b"".join([*code, _instruction(_SET, 0, value=0), _instruction(_EXIT, 0)])


_LOAD_WORD, _MOVE, _SHIFT_RIGHT, _AND, _SET, _JUMP_IF_NOT, _EXIT = 0x61, 0xBF, 0x77, 0x54, 0xB4, 0x55, 0x95


def _instruction(operation: int, destination: int, *, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """``struct bpf_insn`` of linux/bpf.h."""
    return struct.pack("=BBhi", operation, destination | source << 4, offset, value)
