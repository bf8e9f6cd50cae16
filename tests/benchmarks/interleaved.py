"""Starting several contestants in turn."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from starts import Contestant, Start


def carry_out(
    contestants: Sequence[Contestant], rounds: int, order: random.Random, pause: float
) -> dict[str, list[Start]]:
    """Start each once a round, in an order of its own.

    Args:
        contestants: what is started.
        rounds: how often each is.
        order: decides on the order inside a round.
        pause: milliseconds before each start.

    Returns:
        the starts by contestant, in the order of the rounds.
    """
    starts: dict[str, list[Start]] = {contestant.name: [] for contestant in contestants}
    with _no_collection():
        for _ in range(rounds):
            for contestant in order.sample(contestants, len(contestants)):
                time.sleep(pause / 1e3)
                starts[contestant.name].append(contestant.start_and_stop())
            gc.collect()
    return starts


@contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage is collected between rounds, in nobody's time."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
