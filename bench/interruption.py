"""Ctrl-C and SIGTERM in a run: the first one stops it in order, later ones do not disturb the clearing up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether somebody has asked for the end."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._let_in = True

    def request(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: raise KeyboardInterrupt the first time, and do nothing from then on."""
        if self._name is None and self._let_in:
            self._name = signal.Signals(number).name
            raise KeyboardInterrupt(self._name)

    def keep_out(self) -> None:
        """Ignore the signals from here on: all that is left to do is the clearing up."""
        self._let_in = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if the end was asked for.

        For where an exception may have been lost: what fails while things are torn down takes the place of the
        KeyboardInterrupt that had them torn down.
        """
        if self._name is not None:
            raise KeyboardInterrupt(self._name)


@contextmanager
def one_interruption() -> Iterator[Interruption]:
    """Let the first of SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, and those after it do nothing.

    A signal that was ignored before stays so: that is how ``nohup`` and a shell's background jobs want it.

    What a run has on the host is undone by context managers while the exception passes. A second signal in the
    middle of that would leave things half undone, so it is not let in.
    """
    interruption = Interruption()
    wanted = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interruption.request) for number in wanted}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
