"""Limits for what waits without one: libvirt waits for an answer for as long as QEMU, or a daemon, lives.

It does so in C, where no signal ends the wait, and so neither does Ctrl-C.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from runtimes.base import HostError

Answer = TypeVar("Answer")


@contextmanager
def killed_after(seconds: float, kill: Callable[[], None]) -> Iterator[threading.Event]:
    """Have the process that is waited for killed, which ends the wait, if it takes longer.

    Args:
        seconds: how long it may take.
        kill: kills the process; called in another thread.

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


def answered_within(seconds: float, who: str, ask: Callable[[], Answer]) -> Answer:
    """What a question is answered, for where nobody is known who could be killed.

    It is asked in a thread of its own, in the caller's namespaces. One that is not answered stays behind, and does not
    keep the process from ending.

    Args:
        seconds: how long it may take.
        who: is asked; for the error's message.
        ask: asks, and waits.

    Raises:
        HostError: there was no answer.
    """
    answers: list[Answer] = []
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            answers.append(ask())
        except BaseException as error:  # raised by who asked
            failures.append(error)

    thread = threading.Thread(target=wait, name=f"ask {who}", daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not answers:
        raise HostError(f"{who} has not answered within {seconds:g} s: it hangs; see what it waits for, or restart it")
    return answers[0]
