"""Compiling our own small C programs, on the host that runs them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from runtimes.base import HostError

COMPILER = "gcc"

_COMMON = ("-std=gnu11", "-O2", "-s", "-Wall", "-Wextra", "-Werror")

FLAGS = (*_COMMON, "-static")
"""Static, so that a program runs in any root and starts without a dynamic linker; stripped, as images carry it."""

LIBRARY_FLAGS = (*_COMMON, "-shared", "-fPIC")


def compile_program(binary: Path, sources: Iterable[Path], *definitions: str) -> None:
    """Compile a program to a temporary name beside ``binary`` and rename, so that it appears whole or not at all.

    One that is there already is replaced, also while it runs.

    Args:
        binary: the program to make; its directory exists.
        sources: C files.
        definitions: further arguments for the compiler, such as ``-DNAME=VALUE``.

    Raises:
        HostError: there is no compiler, or it failed.
    """
    _compile(binary, sources, FLAGS, definitions)


def compile_directory(directory: Path, destination: Path, name: str) -> Path:
    """Compile the program ``name`` from the C files of a directory into another, which is made if need be.

    Returns:
        the path of the program.

    Raises:
        HostError: there is no compiler, or it failed.
    """
    destination.mkdir(parents=True, exist_ok=True)
    binary = destination / name
    compile_program(binary, (path for path in _sources(directory) if path.suffix == ".c"))
    return binary


def directory_digest(directory: Path) -> str:
    """A hash, hexadecimal, of all that such a program is made from: sources and flags, though not the compiler."""
    digest = hashlib.sha256("\0".join((COMPILER, *FLAGS)).encode())
    for path in _sources(directory):
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.suffix in {".c", ".h"})


def compile_library(library: Path, sources: Iterable[Path], *definitions: str) -> None:
    """The same for a shared library.

    Raises:
        HostError: there is no compiler, or it failed.
    """
    _compile(library, sources, LIBRARY_FLAGS, definitions)


def _compile(binary: Path, sources: Iterable[Path], flags: Iterable[str], definitions: Iterable[str]) -> None:
    compiler = shutil.which(COMPILER)
    if compiler is None:
        raise HostError(
            f"no C compiler to build the {binary.name} with: {COMPILER} is not in PATH (apt-get install gcc libc6-dev)"
        )
    handle, name = tempfile.mkstemp(prefix=f".{binary.name}-", dir=binary.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        command = [compiler, *flags, *definitions, "-o", name, *map(str, sources)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise HostError(
                f"{COMPILER} could not build the {binary.name} (static glibc comes with libc6-dev):\n{result.stderr}"
            )
        temporary.chmod(0o755)
        temporary.rename(binary)
    finally:
        temporary.unlink(missing_ok=True)
