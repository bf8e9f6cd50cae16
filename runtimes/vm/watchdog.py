"""A limit for what waits for QEMU and has none of its own: libvirt waits for an answer for as long as QEMU lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def killed_after(seconds: float, kill: Callable[[], None]) -> Iterator[threading.Event]:
    """Have QEMU killed, which ends the wait, if it takes longer.

    Args:
        seconds: how long it may take.
        kill: kills QEMU; called in another thread.

    Yields:
        An event that is set when ``kill`` was called.
    """
    late = threading.Event()

    def give_up() -> None:
        late.set()
        kill()

    timer = threading.Timer(max(seconds, 0.0), give_up)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()
