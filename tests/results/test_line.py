"""Slopes and knees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.stats.line import LEAST_CHANGE, MIN_POINTS, knee, slope

COUNTS = [1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 16]


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_the_slope_of_a_line_is_its_own_wherever_it_begins(base, rise):
    assert slope(COUNTS, [base + rise * count for count in COUNTS]) == pytest.approx(rise, rel=1e-6, abs=1e-5)


def test_one_odd_reading_does_not_carry_the_slope_away():
    levels = [100.0 + 7 * count for count in COUNTS]
    levels[-1] += 1000
    assert slope(COUNTS, levels) == pytest.approx(7, rel=0.01)
    assert np.polyfit(COUNTS, levels, 1)[0] > 20


def test_two_points_are_a_line_and_one_is_none():
    assert slope([1, 3], [10, 30]) == 10
    with pytest.raises(ValueError, match="two places"):
        slope([2, 2], [1, 3])


@pytest.mark.parametrize("after", [2.0, 0.4, -1.0])
@pytest.mark.parametrize("at", [4, 7])
def test_a_knee_is_found_where_it_is(at, after):
    noise = np.random.default_rng(3).normal(0, 0.05, len(COUNTS))
    levels = [count + (after - 1) * max(0, count - at) for count in COUNTS] + noise
    assert knee(COUNTS, levels) == at


def test_a_straight_line_has_no_knee_however_steep_and_exact():
    assert knee(COUNTS, [3e8 * count + 17 for count in COUNTS]) is None
    assert knee(COUNTS, [5.0] * len(COUNTS)) is None
    assert knee(COUNTS, [0.0] * len(COUNTS)) is None


@pytest.mark.parametrize("counts", [COUNTS, COUNTS[:8]])
def test_noise_around_a_line_has_a_knee_as_seldom_as_promised(counts):
    noise = np.random.default_rng(11).normal(size=(1500, len(counts)))
    found = sum(knee(counts, errors) is not None for errors in noise)
    assert found <= 1500 * 0.02


def test_a_change_that_does_not_matter_is_no_knee():
    bend = LEAST_CHANGE * 0.8
    assert knee(COUNTS, [count + bend * max(0, count - 5) for count in COUNTS]) is None
    assert knee(COUNTS, [count + 3 * bend * max(0, count - 5) for count in COUNTS]) == 5


def test_few_points_have_no_knee():
    few = COUNTS[: MIN_POINTS - 1]
    assert knee(few, [count + 9 * max(0, count - 3) for count in few]) is None
    assert knee([1, 2, 3, 3, 4, 5, 6], [1, 2, 3, 3, 9, 20, 30]) is None
