"""The division into levels, against ruptures; and trends, against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruptures import KernelCPD
from scipy.stats import kendalltau, theilslopes

from results.stats.segmentation import PENALTY, Segmentation
from results.stats.trend import trend_of

SERIES = st.lists(st.floats(-20, 20), min_size=8, max_size=60).map(np.array)


def cost(series: np.ndarray, places: list[int]) -> float:
    parts = np.split(series, places)
    return sum(float(((part - part.mean()) ** 2).sum()) for part in parts) + PENALTY * math.log(series.size) * len(
        places
    )


@given(SERIES, st.integers(1, 4))
def test_no_division_of_ruptures_is_better(series: np.ndarray, shortest: int) -> None:
    ours = Segmentation(shortest).propose(series)
    search = KernelCPD(kernel="linear", min_size=shortest).fit(series.reshape(-1, 1))
    theirs = [int(at) for at in search.predict(pen=PENALTY * math.log(series.size))[:-1]]
    assert all(last - first >= shortest for first, last in zip([0, *ours], [*ours, series.size], strict=True))
    assert cost(series, ours) <= cost(series, theirs) + 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_steps_in_noise_are_put_where_ruptures_puts_them(seed: int) -> None:
    generator = np.random.default_rng(seed)
    series = np.repeat(generator.normal(scale=3, size=6), 50) + generator.normal(size=300)
    search = KernelCPD(kernel="linear", min_size=4).fit(series.reshape(-1, 1))
    theirs = [int(at) for at in search.predict(pen=PENALTY * math.log(series.size))[:-1]]
    assert Segmentation(4).propose(series) == theirs


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=40, unique=True).map(np.array))
def test_a_trend_is_that_of_scipy(values: np.ndarray) -> None:
    found = trend_of(values)
    nights = np.arange(values.size)
    slope = theilslopes(values, nights)
    assert (found.slope, found.low, found.high) == (
        pytest.approx(slope.slope),
        pytest.approx(slope.low_slope),
        pytest.approx(slope.high_slope),
    )
    assert found.p_value == pytest.approx(kendalltau(nights, values, method="asymptotic").pvalue)


def test_values_that_are_all_the_same_have_no_trend() -> None:
    found = trend_of(np.full(10, 3.0))
    assert (found.p_value, found.slope, found.low, found.high) == (1.0, 0.0, 0.0, 0.0)
