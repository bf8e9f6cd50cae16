"""When something of a start happened, by what an engine has left of it: a stamp that costs the start nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runtimes.base import Timeline


def stamp_files(timeline: Timeline, files: Mapping[str, Path], before: int) -> None:
    """Stamp the ends of phases by when files were last written to.

    File systems take their times from a clock that goes in ticks of one to ten milliseconds (``current_time`` in the
    kernel's fs/inode.c), always behind, so a stamp may be early by that. One that would not come after all others is
    left out.

    Args:
        timeline: with the stamps so far.
        files: by phase, in the order of time; one that is missing is not stamped.
        before: what all of it came before, CLOCK_MONOTONIC, ns.
    """
    for phase, file in files.items():
        with suppress(FileNotFoundError):
            stamp_wall_clock(timeline, phase, file.stat().st_mtime_ns, before)


def stamp_wall_clock(timeline: Timeline, phase: str, at: int, before: int) -> None:
    """The same for a time of the host's wall clock, ns since 1970."""
    ended = at - (time.time_ns() - time.monotonic_ns())
    if max(timeline.stamps.values()) < ended < before:
        timeline.stamp(phase, ended)
