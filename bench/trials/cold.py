"""A trial whose instance finds some of what its start reads, or all of it, not in the page cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import metrics
from runtimes.base import HostError
from runtimes.page_cache import drop_from_cache, read_into_cache, resident

if TYPE_CHECKING:
    from bench.trials.attempt import Attempt
    from workloads.model import ColdLayer

_MOST_LEFT = 0.5
"""The part of what is to be dropped that may stay, as libraries and programs do that somebody else has mapped; a start
with more of it in the cache is no cold one."""


def carry_out(attempt: Attempt) -> None:
    """Start one instance with a layer of what it reads not in the page cache.

    An arm that does not have the layer is started all the same, with nothing dropped: how much longer a start takes
    without the layer in the cache is asked of every arm, and for one that reads nothing of it the answer is its usual
    start. That nothing was dropped is among its facts and figures (``page_cache.before`` is 0).

    Nothing else is measured: pages that it reads first are charged to it. Afterwards all are there again.

    Raises:
        HostError: too much of it stays in the page cache.
    """
    runtime, layer = attempt.opened.runtime, attempt.trial.case.cold
    assert layer is not None
    files = _files_of(layer, runtime.start_files(attempt.context.image))
    before = _resident(files)
    try:
        for path in files:
            drop_from_cache(path)
        left = _resident(files)
        if left > _MOST_LEFT * before:
            raise HostError(
                f"{left} of {before} bytes of {', '.join(map(str, files))} stay in the page cache, so that this is no "
                "cold start: somebody has them mapped, or keeps reading them; end that, and run again"
            )
        with runtime.start(attempt.specification()) as instance:
            read = _resident(files) - left
            attempt.measured.facts = {**instance.facts, "dropped_from_cache": _described(files)}
            instance.stop()
            attempt.measured.samples = [
                *metrics.cold_start_samples(instance.timeline),
                *metrics.page_cache_samples(before, left, read),
            ]
    finally:
        for path in files:
            read_into_cache(path)
    attempt.log.note(f"dropped from the page cache: {_described(files)}; {before} bytes before, {left} left")


def _files_of(layer: ColdLayer, by_layer: Mapping[str, Sequence[Path]]) -> tuple[Path, ...]:
    """The files of a layer, each once; none where the arm does not have it."""
    wanted = by_layer.values() if layer == "all" else [by_layer.get(layer, ())]
    return tuple(dict.fromkeys(file for files in wanted for file in files))


def _resident(files: Iterable[Path]) -> int:
    return sum(resident(path) for path in files)


def _described(files: Iterable[Path]) -> str:
    return " ".join(map(str, files)) or "nothing: this arm does not have the layer"
