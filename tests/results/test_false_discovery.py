from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from results.stats.false_discovery import benjamini_hochberg

P_VALUES = st.lists(st.floats(0, 1), max_size=40)


@given(P_VALUES.filter(bool))
def test_it_is_that_of_scipy(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values).tolist())


@given(P_VALUES)
def test_it_never_lowers_a_p_value_and_keeps_their_order(p_values: list[float]) -> None:
    adjusted = benjamini_hochberg(p_values)
    assert all(after >= before * (1 - 1e-12) for before, after in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(adjusted)[order]) >= 0)


def test_one_test_needs_no_adjustment_and_none_gives_none() -> None:
    assert benjamini_hochberg([0.03]) == [0.03]
    assert benjamini_hochberg([]) == []
