"""Compiling the library that takes steps; it is kept in the cache under a hash of its source."""

from __future__ import annotations

import hashlib
from pathlib import Path

from runtimes import compiler
from runtimes.cache import cache_directory

_SOURCE = Path(__file__).with_name("execute.c")
_EXTRA_FLAG = "-mno-red-zone"
"""The child shares its parent's stack: nothing of the parent's may lie where no stack pointer protects it."""


def build_executor() -> Path:
    """The library, compiled if the cache does not have it.

    Raises:
        HostError: there is no compiler, or it failed, or the cache cannot be written.
    """
    parts = (compiler.COMPILER, *compiler.LIBRARY_FLAGS, _EXTRA_FLAG, _SOURCE.read_text())
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    library = cache_directory("launcher", digest) / "execute.so"
    if not library.exists():
        compiler.compile_library(library, [_SOURCE], _EXTRA_FLAG)
    return library
