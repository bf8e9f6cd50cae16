"""Ctrl-C and SIGTERM in a run: the first one stops it in order, later ones do not disturb the clearing up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def one_interruption() -> Iterator[None]:
    """Let the first of SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, and those after it do nothing.

    What a run has on the host is undone by context managers while the exception passes. A second signal in the
    middle of that would leave things half undone, so it is not let in.
    """
    seen = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        if not seen:
            seen = True
            raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
