"""Synthetic histories whose changes are known, and how well a detector finds them.

A history is what one metric, of which less is better, was in each night: a level, noise that is multiplied to it, and
what the kind of history adds. A detector is asked every night, as a nightly job asks, with what there is until then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
from stored_runs import run_record

from results.history.changes import changes_of
from results.history.policy import THRESHOLD
from results.history.series import Series, SeriesKey

Floats = npt.NDArray[np.float64]
Detector = Callable[[Floats], list[int]]
"""Where the changes for the worse are of which it would give alarm tonight, the last value being tonight's."""

NOISES = (0.01, 0.015, 0.02)
WARM_UP = 30
"""Nights before the first question."""

KEY = SeriesKey("quick", "work", "", "container", "none", "startup_time")
BEGAN = datetime(2026, 1, 1, 3, tzinfo=UTC)
RUNS = tuple(
    run_record(suite=KEY.suite, id=f"20260101-{night:06d}-0000", started=(BEGAN + timedelta(days=night)).isoformat())
    for night in range(400)
)


@dataclass(frozen=True)
class History:
    """Nights, and from which of them on the level is worse; None for a quiet one."""

    values: Floats
    begins: int | None = None


def quiet(generator: np.random.Generator, noise: float, nights: int) -> History:
    return History(100 * np.exp(noise * generator.normal(size=nights)))


def with_outliers(generator: np.random.Generator, noise: float, nights: int) -> History:
    """Single nights, one in 25, on which something went wrong: a fifth to a half slower."""
    values = quiet(generator, noise, nights).values
    for night in generator.choice(nights, max(nights // 25, 1), replace=False):
        values[night] *= 1 + generator.uniform(0.2, 0.5)
    return History(values)


def with_noisy_stretch(generator: np.random.Generator, noise: float, nights: int) -> History:
    """Ten nights in a row with twice the noise."""
    logarithms = noise * generator.normal(size=nights)
    begins = int(generator.integers(10, nights - 10))
    logarithms[begins : begins + 10] *= 2
    return History(100 * np.exp(logarithms))


QUIET = {"none": quiet, "outliers": with_outliers, "noisy stretch": with_noisy_stretch}


def with_step(generator: np.random.Generator, noise: float, size: float, before: int = 60, after: int = 10) -> History:
    values = quiet(generator, noise, before + after).values
    values[before:] *= 1 + size
    return History(values, before)


def with_drift(generator: np.random.Generator, noise: float, size: float, over: int = 42, before: int = 40) -> History:
    """Slower by ``size`` in the end, a little more each night."""
    values = quiet(generator, noise, before + over).values
    values[before:] *= np.exp(np.log1p(size) * np.arange(1, over + 1) / over)
    return History(values, before)


def series_of_values(values: Floats, better: str = "lower") -> Series:
    return Series(KEY, "s", better, True, RUNS[: values.size], values, tuple(np.array([value]) for value in values))


def ours(values: Floats) -> list[int]:
    """The alarms of ``bench regress`` with its usual threshold."""
    return [change.shift.index for change in changes_of(series_of_values(values), THRESHOLD) if change.alarming]


def nights_to_alarm(history: History, detector: Detector, within: int) -> int | None:
    """How many nights after the change the alarm comes; None where it does not come within so many."""
    assert history.begins is not None
    for night in range(1, within + 1):
        found = detector(history.values[: history.begins + night])
        if any(place >= history.begins - 5 for place in found):
            return night
    return None


def recall(histories: Sequence[History], detector: Detector, within: int) -> float:
    """The share of changes that are found in time."""
    return float(np.mean([nights_to_alarm(each, detector, within) is not None for each in histories]))


def false_alarms(histories: Sequence[History], detector: Detector) -> int:
    """How many alarms nights give that have no reason to; one that stays, or moves a little, counts once."""
    count = 0
    for history in histories:
        known: list[int] = []
        for night in range(WARM_UP, history.values.size + 1):
            for place in detector(history.values[:night]):
                if not any(abs(place - other) <= 5 for other in known):
                    count += 1
                    known.append(place)
    return count
