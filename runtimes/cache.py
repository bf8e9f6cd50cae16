"""Where runtimes keep what outlives a run."""

from __future__ import annotations

import os
from pathlib import Path

from runtimes.base import HostError


def cache_directory(*below: str) -> Path:
    """``$BENCH_CACHE``, or ``~/.cache/bench``, or a directory somewhere below; made if need be.

    Raises:
        HostError: it cannot be made.
    """
    cache = Path(os.environ.get("BENCH_CACHE") or "~/.cache/bench").expanduser().absolute()
    directory = cache.joinpath(*below)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"cannot make the cache directory {directory}: {error.strerror}; set BENCH_CACHE to one that can be written"
        ) from error
    return directory
