"""Compiling the agent."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from runtimes.base import HostError

COMPILER = "gcc"

FLAGS = ("-std=gnu11", "-O2", "-static", "-s", "-Wall", "-Wextra", "-Werror")
"""Static, so that it runs in any image and starts without a dynamic linker; stripped, as the image carries it."""

_SOURCE_DIRECTORY = Path(__file__).parent


def build_agent(destination_directory: Path) -> Path:
    """Compile the agent to ``agent`` in ``destination_directory``, which is made if need be, and return its path.

    The binary appears whole or not at all; one that is there already is replaced, also while it runs.

    Raises:
        HostError: there is no compiler, or it failed.
    """
    compiler = shutil.which(COMPILER)
    if compiler is None:
        raise HostError(f"no C compiler to build the agent with: {COMPILER} not found (apt-get install gcc libc6-dev)")
    destination_directory.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".agent-", dir=destination_directory)
    os.close(handle)
    temporary, binary = Path(name), destination_directory / "agent"
    try:
        command = [compiler, *FLAGS, "-o", name, *(str(path) for path in _sources() if path.suffix == ".c")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise HostError(f"{COMPILER} could not build the agent (it needs libc6-dev):\n{result.stderr}")
        temporary.chmod(0o755)
        temporary.rename(binary)
    finally:
        temporary.unlink(missing_ok=True)
    return binary


def source_digest() -> str:
    """A hash, hexadecimal, of all that the binary is made from: the sources and the flags, though not the compiler."""
    digest = hashlib.sha256("\0".join((COMPILER, *FLAGS)).encode())
    for path in _sources():
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources() -> list[Path]:
    return sorted(path for path in _SOURCE_DIRECTORY.iterdir() if path.suffix in {".c", ".h"})
