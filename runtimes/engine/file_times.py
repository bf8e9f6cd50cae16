"""When something of a start happened, by files that an engine has left of it: stamps that cost the start nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from runtimes.base import Timeline


def stamp_files(timeline: Timeline, files: Mapping[str, Path], before: int) -> None:
    """Stamp the ends of phases by when files were last written to.

    File systems take their times from a clock that goes in ticks of one to ten milliseconds (``current_time`` in the
    kernel's fs/inode.c), always behind, so a stamp may be early by that. One that would not come after the one before
    it is left out.

    Args:
        timeline: with the stamps so far.
        files: by phase, in the order of time; one that is missing is not stamped.
        before: what all of it came before, CLOCK_MONOTONIC, ns.
    """
    ahead = time.time_ns() - time.monotonic_ns()
    for phase, file in files.items():
        try:
            at = file.stat().st_mtime_ns - ahead
        except FileNotFoundError:
            continue
        if max(timeline.stamps.values()) < at < before:
            timeline.stamp(phase, at)
