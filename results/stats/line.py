"""A line through a few points, and where they leave it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.01
"""How often a straight line with normal errors is taken to have a knee."""

LEAST_CHANGE = 0.25
"""The least change of the slope, as a part of the steeper one, that makes a knee in practice."""

MIN_POINTS = 6
"""The least number of points in which a knee is looked for: a line, another slope and a place leave two to judge by."""

_DRAWS = 1999


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """How much ``y`` grows with ``x``: the median of the slopes between all pairs of points.

    That is the estimate of Theil and Sen (Sen, J. Am. Stat. Assoc. 63 (1968) 1379–1389), which one odd reading among a
    few does not carry away.

    Raises:
        ValueError: fewer than two different ``x``.
    """
    if len(set(x)) < 2:
        raise ValueError("a slope needs points at two places at least")
    from scipy.stats import theilslopes

    return float(theilslopes(y, x).slope)


def knee(x: Sequence[float], y: Sequence[float]) -> float | None:
    """The ``x`` from which on the points follow another line, or None where one line serves for all.

    Lines with one bend at each of the inner ``x`` are fitted by least squares, two points at least on either side, and
    the bend that explains most is taken. The best of several bends always explains something; how much of the squared
    residuals it would explain by chance is drawn from normal errors around a straight line, for these very ``x``: a
    nuisance parameter present only under the alternative, as in Davies, Biometrika 74 (1987) 33–43. A knee is what
    would be found by chance at most once in ``1 / LEVEL`` cases and changes the slope by ``LEAST_CHANGE`` of the
    steeper one.

    Args:
        x: ascending.
        y: as many.
    """
    if len(x) < MIN_POINTS or len(set(x)) < len(x):
        return None
    places = tuple(float(at) for at in x)
    maker, bends, critical = _bends(places)
    values = np.asarray(y, dtype=np.float64)
    residuals = maker @ values
    left = float(residuals @ residuals)
    if left <= (1e-9 * float(np.abs(values).max())) ** 2 * len(x):
        return None  # nothing but rounding
    shares = (bends @ residuals) ** 2 / left
    best = int(shares.argmax())
    if shares[best] <= critical:
        return None
    at = places[2 + best]
    before, change = _slopes(places, values, at)
    return at if abs(change) >= LEAST_CHANGE * max(abs(before), abs(before + change)) else None


@lru_cache(maxsize=64)
def _bends(places: tuple[float, ...]) -> tuple[Floats, Floats, float]:
    """What makes residuals of a straight line of values; the bends as unit vectors among residuals; and the share of
    the squared residuals that the best bend explains by chance with the probability ``LEVEL``.
    """
    x = np.asarray(places)
    line = np.column_stack([np.ones_like(x), x])
    maker = np.eye(len(x)) - line @ np.linalg.pinv(line)
    hinges = np.maximum(x[None, :] - x[2:-2, None], 0.0) @ maker
    bends = hinges / np.linalg.norm(hinges, axis=1, keepdims=True)
    errors = np.random.default_rng(0).normal(size=(_DRAWS, len(x))) @ maker
    shares = ((errors @ bends.T) ** 2).max(axis=1) / (errors**2).sum(axis=1)
    return maker, bends, float(np.quantile(shares, 1 - LEVEL))


def _slopes(places: tuple[float, ...], values: Floats, at: float) -> tuple[float, float]:
    """The slope before a bend, and by how much it changes there."""
    x = np.asarray(places)
    design = np.column_stack([np.ones_like(x), x, np.maximum(x - at, 0.0)])
    _, before, change = np.linalg.lstsq(design, values, rcond=None)[0]
    return float(before), float(change)
