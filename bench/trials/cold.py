"""A trial whose instance finds nothing of its image in the page cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import metrics
from runtimes.storage import drop_from_cache, read_into_cache

if TYPE_CHECKING:
    from bench.trials.attempt import Attempt


def carry_out(attempt: Attempt) -> None:
    """Start one instance from a cold page cache.

    Nothing else is measured of it: pages that it reads first are charged to it. Afterwards all are there again.
    """
    runtime = attempt.opened.runtime
    files = runtime.start_files(attempt.context.image)
    for path in files:
        drop_from_cache(path)
    try:
        with runtime.start(attempt.specification()) as instance:
            attempt.measured.facts = instance.facts
            instance.stop()
            attempt.measured.samples = list(metrics.cold_start_samples(instance.timeline))
    finally:
        for path in files:
            read_into_cache(path)
