"""Building the program that libvirt takes for QEMU; see ``emulator.c`` for what it does.

It is kept in the cache, under a hash of its source and of the QEMU it becomes, and so is what libvirt found out about
that QEMU: asking takes seconds (3.6 s on the two-core machine this was measured on), which are so paid once and not in
every run.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtimes import compiler
from runtimes.base import HostError
from runtimes.cache import cache_directory

_SOURCE = Path(__file__).with_name("emulator.c")

FIRST_KEPT = 200
"""Number under which QEMU finds the first descriptor that it was handed; the others follow."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """The program that becomes QEMU.

    Attributes:
        path: what a domain names as its emulator.
        qemu: the QEMU it becomes.
        knowledge: a directory for what libvirt found out about this QEMU.
    """

    path: Path
    qemu: Path
    knowledge: Path


def find_qemu() -> Path:
    """The QEMU of this host.

    Raises:
        HostError: there is none.
    """
    found = shutil.which("qemu-system-x86_64")
    if found is None:
        raise HostError("qemu-system-x86_64 is not in PATH: needed by the runtime vm; apt-get install qemu-system-x86")
    return Path(found).resolve()


def build_emulator(qemu: Path) -> Emulator:
    """The emulator for ``qemu``, compiled if the cache does not have it.

    Raises:
        HostError: there is no compiler, or it failed, or the cache cannot be written.
    """
    knowledge = cache_directory("emulators", _digest(qemu), "libvirt")
    binary = knowledge.with_name("emulator")
    if not binary.exists():
        compiler.compile_program(binary, [_SOURCE], f'-DQEMU="{qemu}"')
    return Emulator(path=binary, qemu=qemu, knowledge=knowledge)


def spawn_environment(
    join_files: Sequence[Path], stamp_file: Path, descriptors: Path | None = None
) -> Mapping[str, str]:
    """The environment that has the emulator join a cgroup, ask at a socket for descriptors, and write its stamp."""
    asking = {} if descriptors is None else {"BENCH_DESCRIPTORS": str(descriptors)}
    return {"BENCH_CGROUP_JOIN": ":".join(map(str, join_files)), "BENCH_SPAWN_STAMP": str(stamp_file), **asking}


def parse_spawn_stamp(said: bytes) -> tuple[int | None, int | None]:
    """The pid, and the nanoseconds on CLOCK_MONOTONIC, of an emulator's stamp; None for what it has not said yet.

    Raises:
        ValueError: it is no stamp.
    """
    whole = said.split() if said[-1:].isspace() else said.split()[:-1]
    if len(whole) > 2:
        raise ValueError(f"more than a pid and a time: {said!r}")
    pid = int(whole[0]) if whole else None
    return pid, int(whole[1]) if len(whole) == 2 else None


def _digest(qemu: Path) -> str:
    status = qemu.stat()
    parts = (compiler.COMPILER, *compiler.FLAGS, str(qemu), str(status.st_size), str(status.st_mtime_ns))
    return hashlib.sha256("\0".join(parts).encode() + b"\0" + _SOURCE.read_bytes()).hexdigest()[:16]
