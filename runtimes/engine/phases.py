"""Phases of a start that an engine leaves traces of: files that it has written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runtimes.base import Timeline


def stamp_files(timeline: Timeline, files: Mapping[str, Path]) -> None:
    """Stamp phases by when the last byte of a file was written that an engine writes then, in the order of time.

    To be called when the last stamp is that before the first of them, and before those that come after them. The
    kernel's time of a file is the wall clock's at its last tick, up to 4 ms early; one that would be before the stamp
    before it is left out, and so is that of a file that is not there.
    """
    for name, file in files.items():
        with suppress(FileNotFoundError):
            stamp_wall_clock(timeline, name, file.stat().st_mtime_ns)


def stamp_wall_clock(timeline: Timeline, name: str, at: int) -> None:
    """Stamp a phase by the host's wall clock, ns since 1970; left out where that is not after all other stamps."""
    wall, monotonic = time.time_ns(), time.monotonic_ns()
    ended = at - (wall - monotonic)
    if max(timeline.stamps.values()) < ended < monotonic:
        timeline.stamp(name, ended)
