"""Two groups of independent values: against SciPy, by their symmetries, and by simulation."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, rankdata

from results.stats.unpaired import interval_place, rank_sum_test, unpaired_ratio

POSITIVE = st.floats(min_value=1e-6, max_value=1e6)
FEW = st.lists(st.integers(min_value=1, max_value=5).map(float), min_size=2, max_size=6)


@given(st.lists(POSITIVE, min_size=2, max_size=9, unique=True), st.integers(min_value=1, max_value=8))
def test_without_ties_the_p_value_is_that_of_scipy(values, cut):
    ours, theirs = values[:cut], values[cut:]
    if theirs and len({math.log(value) for value in values}) == len(values):
        expected = mannwhitneyu(ours, theirs, method="exact").pvalue
        assert unpaired_ratio(ours, theirs).p_value == pytest.approx(expected)


@given(FEW, FEW)
def test_with_ties_the_p_value_is_that_of_every_arrangement(ours, theirs):
    ranks = rankdata(ours + theirs)
    sums = np.array([ranks[list(chosen)].sum() for chosen in combinations(range(len(ranks)), len(ours))])
    statistic = ranks[: len(ours)].sum()
    expected = min(1.0, 2 * min((sums <= statistic + 1e-9).mean(), (sums >= statistic - 1e-9).mean()))
    assert rank_sum_test(np.log(ours), np.log(theirs)) == pytest.approx(expected)


@given(st.lists(POSITIVE, min_size=4, max_size=12), st.lists(POSITIVE, min_size=4, max_size=12))
def test_exchanging_the_groups_inverts_the_ratio_and_nothing_else(ours, theirs):
    one, other = unpaired_ratio(ours, theirs), unpaired_ratio(theirs, ours)
    assert one.ratio is not None
    assert other.ratio == pytest.approx(1 / one.ratio)
    assert other.p_value == pytest.approx(one.p_value)
    assert one.interval is not None
    assert other.interval == pytest.approx((1 / one.interval[1], 1 / one.interval[0]))


@given(st.lists(POSITIVE, min_size=4, max_size=12), st.lists(POSITIVE, min_size=4, max_size=12))
def test_the_interval_holds_the_estimate_and_excludes_no_difference_only_where_the_test_does(ours, theirs):
    found = unpaired_ratio(ours, theirs)
    assert found.interval is not None
    assert found.interval[0] <= found.ratio <= found.interval[1]
    if len(set(ours + theirs)) == len(ours) + len(theirs) and not found.interval[0] <= 1 <= found.interval[1]:
        assert found.p_value <= 0.05 + 1e-9


def test_the_interval_exists_from_four_values_against_four():
    assert unpaired_ratio([1.0] * 4, [2.0] * 4).interval is not None
    few = unpaired_ratio([1.0] * 3, [2.0] * 3)
    assert few.interval is None
    assert "3 against 3" in few.warnings[0]


def test_values_without_a_logarithm_have_a_ratio_only_where_all_are_the_same():
    assert unpaired_ratio([0.0] * 4, [0.0] * 4).ratio == 1
    mixed = unpaired_ratio([0.0, 1.0, 1.0, 1.0], [1.0] * 4)
    assert mixed.ratio is None
    assert "zero or negative" in mixed.warnings[0]
    assert unpaired_ratio([], [1.0]).ratio is None


@pytest.mark.parametrize(("m", "n"), [(4, 4), (5, 30), (10, 10), (40, 40), (60, 60)])
def test_the_true_ratio_lies_in_the_interval_as_often_as_said(m, n):
    generator = np.random.default_rng(m * n)
    held = 0
    for _ in range(1500):
        interval = unpaired_ratio(1.1 * np.exp(generator.normal(size=m)), np.exp(generator.normal(size=n))).interval
        held += interval is not None and interval[0] <= 1.1 <= interval[1]
    assert held / 1500 >= 0.935


def test_the_approximation_for_many_pairs_goes_on_where_the_exact_distribution_ends():
    assert interval_place(50, 50, 0.95) <= interval_place(51, 50, 0.95) <= interval_place(53, 50, 0.95)
