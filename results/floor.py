"""The floor under every start: what executing the same agent costs on this host with nothing in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results.charts.cases import arm_medians
from results.charts.quantities import MISSING, ratio

if TYPE_CHECKING:
    import pandas as pd

FLOOR_RUNTIME = "bare"
"""The runtime whose arm is the floor."""


def floor_of(frame: pd.DataFrame) -> float | None:
    """Seconds that the bare exec takes, the median over its trials; None where it was not measured.

    Args:
        frame: samples of the case that stands for the usual start.
    """
    medians = arm_medians(frame[frame["runtime"] == FLOOR_RUNTIME], "startup_time")
    return min(medians.values(), default=None)


def times_floor(seconds: float | None, floor: float | None) -> str:
    """A start as a multiple of the floor, for reading."""
    return MISSING if seconds is None or not floor else ratio(seconds / floor)
