from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from results.stats.ranks import doubled_midranks


def test_ties_share_the_mean_of_their_ranks() -> None:
    assert doubled_midranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [7, 2, 7, 4]


@given(st.lists(st.integers(-5, 5) | st.floats(-1e300, 1e300), max_size=40))
def test_it_is_what_scipy_gives(values: list[float]) -> None:
    array = np.array(values, dtype=np.float64)
    assert doubled_midranks(array).tolist() == (2 * rankdata(array)).tolist()
