"""libvirt's event loop, in a thread, as long as connections are open.

By it libvirt tells the end of domains and of connections. The embedded driver does not work without; a daemon's client
hears of nothing without.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import libvirt


class _Shared:
    """The one loop of this process, and how many use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._held = ExitStack()

    @contextmanager
    def used(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._held.enter_context(_thread())
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._held.close()


_shared = _Shared()


@contextmanager
def running_events() -> Iterator[None]:
    """Have the event loop running; several may want it at once."""
    with _shared.used():
        yield


@functools.cache
def _register() -> None:
    """Make libvirt's own event loop the one of this process, which can be done once.

    Errors are raised anyway: libvirt's default is to print them to standard error too.
    """
    libvirt.registerErrorHandler(_ignore, None)
    libvirt.virEventRegisterDefaultImpl()


@contextmanager
def _thread() -> Iterator[None]:
    _register()
    ending = threading.Event()

    def run() -> None:
        while not ending.is_set():
            libvirt.virEventRunDefaultImpl()

    thread = threading.Thread(target=run, name="libvirt events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        # A timer that is due at once is what ends the iteration that waits for events.
        timer = libvirt.virEventAddTimeout(0, _ignore, None)
        thread.join()
        libvirt.virEventRemoveTimeout(timer)


def _ignore(_context: object, _error: object) -> None:
    return None
