"""Compiling the agent."""

from __future__ import annotations

from pathlib import Path

from runtimes import compiler

_SOURCE_DIRECTORY = Path(__file__).parent


def build_agent(destination_directory: Path) -> Path:
    """Compile the agent to ``agent`` in ``destination_directory``, which is made if need be, and return its path.

    The binary appears whole or not at all; one that is there already is replaced, also while it runs.

    Raises:
        HostError: there is no compiler, or it failed.
    """
    return compiler.compile_directory(_SOURCE_DIRECTORY, destination_directory, "agent")


def source_digest() -> str:
    """A hash, hexadecimal, of all that the binary is made from: the sources and the flags, though not the compiler."""
    return compiler.directory_digest(_SOURCE_DIRECTORY)
