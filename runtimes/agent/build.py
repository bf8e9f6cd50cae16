"""Compiling the agent."""

from __future__ import annotations

import hashlib
from pathlib import Path

from runtimes import compiler

_SOURCE_DIRECTORY = Path(__file__).parent


def build_agent(destination_directory: Path) -> Path:
    """Compile the agent to ``agent`` in ``destination_directory``, which is made if need be, and return its path.

    The binary appears whole or not at all; one that is there already is replaced, also while it runs.

    Raises:
        HostError: there is no compiler, or it failed.
    """
    destination_directory.mkdir(parents=True, exist_ok=True)
    binary = destination_directory / "agent"
    compiler.compile_program(binary, (path for path in _sources() if path.suffix == ".c"))
    return binary


def source_digest() -> str:
    """A hash, hexadecimal, of all that the binary is made from: the sources and the flags, though not the compiler."""
    digest = hashlib.sha256("\0".join((compiler.COMPILER, *compiler.FLAGS)).encode())
    for path in _sources():
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources() -> list[Path]:
    return sorted(path for path in _SOURCE_DIRECTORY.iterdir() if path.suffix in {".c", ".h"})
