from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from results.stats.signed_rank import hodges_lehmann, signed_rank_interval, signed_rank_test, walsh_averages

FINITE = st.floats(-1e6, 1e6, allow_subnormal=False)
DIFFERENCES = st.lists(FINITE, min_size=1, max_size=25).map(np.array)
SMALL_WHOLE = st.lists(st.integers(-3, 3), min_size=1, max_size=9).map(lambda values: np.array(values, dtype=float))


def by_enumeration(differences: np.ndarray) -> float:
    """The two-sided p-value from all 2^n signs."""
    kept = differences[differences != 0]
    ranks = stats.rankdata(np.abs(kept))
    observed = ranks[kept > 0].sum()
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(kept))
    ]
    tail = min(np.mean(np.array(sums) <= observed + 1e-9), np.mean(np.array(sums) >= observed - 1e-9))
    return min(1.0, 2 * float(tail))


@pytest.mark.parametrize("n", [1, 2, 5, 6, 10, 20, 50])
def test_p_value_is_that_of_scipy_where_scipy_is_exact(n: int) -> None:
    generator = np.random.default_rng(n)
    for shift in (0.0, 0.3, 2.0):
        differences = generator.normal(shift, 1, n)
        expected = stats.wilcoxon(differences, method="exact").pvalue
        assert signed_rank_test(differences).p_value == pytest.approx(expected, rel=1e-9)


@given(SMALL_WHOLE)
def test_p_value_is_exact_with_ties_and_zeros(differences: np.ndarray) -> None:
    assert signed_rank_test(differences).p_value == pytest.approx(by_enumeration(differences))


def test_no_difference_at_all_is_no_evidence() -> None:
    assert signed_rank_test(np.zeros(10)).p_value == 1


@given(DIFFERENCES)
def test_p_value_lies_between_the_least_possible_and_one_and_ignores_the_sign(differences: np.ndarray) -> None:
    outcome = signed_rank_test(differences)
    assert outcome.smallest_p <= outcome.p_value * (1 + 1e-9) <= 1 + 1e-9
    assert signed_rank_test(-differences) == outcome


def test_estimate_of_a_worked_example() -> None:
    """By hand: the Walsh averages of 1, 2, 6 are 1, 1.5, 2, 3.5, 4, 6."""
    differences = np.array([2.0, 6.0, 1.0])
    assert walsh_averages(differences).tolist() == [1, 1.5, 2, 3.5, 4, 6]
    assert hodges_lehmann(differences) == 2.75


def test_estimate_needs_a_difference() -> None:
    with pytest.raises(ValueError, match="at least one"):
        hodges_lehmann(np.array([]))


def test_interval_of_the_depression_data() -> None:
    """Hollander & Wolfe, 2nd ed., examples 3.1, 3.3 and 3.4: nine patients before and after tranquilizer therapy.

    They give -.46 as the estimate, and (-.786, -.010) with 96 % confidence from the 6th Walsh average on either side.
    """
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    assert hodges_lehmann(after - before) == pytest.approx(-0.46)
    assert signed_rank_interval(after - before) == pytest.approx((-0.786, -0.010))
    assert signed_rank_test(after - before).p_value == pytest.approx(2 * 0.020, abs=0.001)


@pytest.mark.parametrize(("n", "exists"), [(1, False), (5, False), (6, True), (7, True)])
def test_an_interval_exists_from_six_differences_on(n: int, exists: bool) -> None:
    assert (signed_rank_interval(np.arange(n, dtype=float)) is not None) == exists


@pytest.mark.parametrize(
    ("n", "rank"), [(6, 1), (7, 3), (8, 4), (9, 6), (10, 9), (11, 11), (12, 14), (15, 26), (20, 53), (25, 90)]
)
def test_ranks_of_the_ends_are_those_of_the_published_table(n: int, rank: int) -> None:
    """One more than the tabled critical values for a two-sided 5 %: 0, 2, 3, 5, 8, 10, 13, 25, 52, 89."""
    generator = np.random.default_rng(n)
    differences = generator.normal(size=n)
    averages = walsh_averages(differences)
    assert signed_rank_interval(differences) == (averages[rank - 1], averages[-rank])


@given(st.lists(FINITE, min_size=6, max_size=25).map(np.array))
def test_interval_contains_the_estimate(differences: np.ndarray) -> None:
    interval = signed_rank_interval(differences)
    assert interval is not None
    assert interval[0] <= hodges_lehmann(differences) <= interval[1]


@given(st.lists(FINITE, min_size=6, max_size=20, unique_by=abs).map(np.array))
def test_interval_excludes_zero_exactly_when_the_test_rejects(differences: np.ndarray) -> None:
    if 0 in differences or 0 in walsh_averages(differences):
        return
    interval = signed_rank_interval(differences)
    assert interval is not None
    low, high = interval
    assert (low > 0 or high < 0) == (signed_rank_test(differences).p_value <= 0.05)


@given(st.lists(FINITE, min_size=6, max_size=25).map(np.array), st.integers(-10, 10))
def test_estimate_and_interval_go_with_the_scale_and_the_test_does_not(differences: np.ndarray, power: int) -> None:
    scale = 2.0**power  # changes no digit: ties stay ties, and nothing is rounded
    interval = signed_rank_interval(differences)
    assert interval is not None
    assert signed_rank_interval(scale * differences) == (scale * interval[0], scale * interval[1])
    assert hodges_lehmann(scale * differences) == scale * hodges_lehmann(differences)
    assert signed_rank_test(scale * differences) == signed_rank_test(differences)


@given(st.lists(FINITE, min_size=6, max_size=25).map(np.array), st.floats(0.5, 0.96), st.floats(0.5, 0.96))
def test_more_confidence_is_never_narrower(differences: np.ndarray, one: float, other: float) -> None:
    less, more = (signed_rank_interval(differences, level) for level in sorted((one, other)))
    assert less is not None
    if more is not None:
        assert more[0] <= less[0] <= less[1] <= more[1]


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20).map(np.array), st.integers(0, 19))
def test_a_difference_that_turns_over_weakens_the_evidence(differences: np.ndarray, place: int) -> None:
    turned = differences.copy()
    turned[place % turned.size] *= -1
    assert signed_rank_test(turned).p_value >= signed_rank_test(differences).p_value


@given(st.lists(FINITE, min_size=1, max_size=12, unique_by=abs).map(np.array))
def test_p_value_is_that_of_scipy_for_any_differences(differences: np.ndarray) -> None:
    kept = differences[differences != 0]
    if kept.size:
        assert signed_rank_test(differences).p_value == pytest.approx(stats.wilcoxon(kept, method="exact").pvalue)
