"""Where the VM runtime keeps what outlives a run."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """``$BENCH_CACHE``, or ``~/.cache/bench``; made if need be."""
    directory = Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "bench")
    directory.mkdir(parents=True, exist_ok=True)
    return directory
