from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from results.stats.detectable import _HALF_WIDTHS, POWER, detectable_ratio
from results.stats.paired import paired_ratio
from results.stats.unpaired import unpaired_ratio

ENDS = st.floats(1e-3, 1e3)
WIDTHS = st.floats(1, 10)
THRESHOLDS = st.floats(0, 1)


def test_the_factor_is_that_of_the_normal_distribution() -> None:
    assert pytest.approx((norm.ppf(0.975) + norm.ppf(POWER)) / norm.ppf(0.975), abs=1e-4) == _HALF_WIDTHS


def test_no_interval_no_figure() -> None:
    assert detectable_ratio(None, 0.05) is None


def test_certainty_sees_whatever_is_beyond_the_threshold() -> None:
    assert detectable_ratio((3.0, 3.0), 0.05) == pytest.approx(1.05)


def test_an_interval_of_any_width_has_a_finite_figure_or_none() -> None:
    assert detectable_ratio((1e-300, 1e300), 0.05) is None


@given(ENDS, WIDTHS, THRESHOLDS, st.floats(1e-3, 1e3))
def test_the_ratio_itself_does_not_matter(low: float, width: float, threshold: float, factor: float) -> None:
    moved = detectable_ratio((factor * low, factor * low * width), threshold)
    assert moved == pytest.approx(detectable_ratio((low, low * width), threshold), rel=1e-6)


@given(ENDS, WIDTHS, THRESHOLDS)
def test_exchanging_the_arms_changes_nothing(low: float, width: float, threshold: float) -> None:
    back = detectable_ratio((1 / (low * width), 1 / low), threshold)
    assert back == pytest.approx(detectable_ratio((low, low * width), threshold), rel=1e-6)


@given(ENDS, WIDTHS, st.floats(1.01, 3), THRESHOLDS, st.floats(0.01, 1))
def test_wider_intervals_and_thresholds_see_less(
    low: float, width: float, wider: float, threshold: float, more: float
) -> None:
    found = detectable_ratio((low, low * width), threshold)
    of_wider, of_threshold = (
        detectable_ratio((low, low * width * wider), threshold),
        detectable_ratio((low, low * width), threshold + more),
    )
    assert found is not None
    assert of_wider is not None
    assert of_threshold is not None
    assert 1 + threshold <= found * (1 + 1e-9) < of_wider
    assert found < of_threshold


NOISE = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "heavy tails": lambda generator, shape: generator.standard_t(3, size=shape),
    "skewed": lambda generator, shape: generator.exponential(size=shape),
}


@pytest.mark.parametrize(("noise", "least"), [("normal", 0.75), ("heavy tails", 0.71), ("skewed", 0.69)])
@pytest.mark.parametrize("blocks", [6, 8, 10, 20])
@pytest.mark.parametrize("threshold", [0.0, 0.05])
def test_an_effect_of_that_size_is_seen_in_four_runs_of_five(
    noise: str, least: float, blocks: int, threshold: float
) -> None:
    """Half of 1,600 runs say what could be seen; in the other half an effect of that size is there, and looked for.

    The standard error of the power is 1.4 %, that of the median adds as much again.
    """
    generator = np.random.default_rng(blocks)
    arm, baseline = 0.02 * NOISE[noise](generator, (2, 1600, blocks))
    outcomes = [
        paired_ratio(np.exp(one).tolist(), np.exp(other).tolist()) for one, other in zip(arm, baseline, strict=True)
    ]
    told = [detectable_ratio(outcome.interval, threshold) for outcome in outcomes[:800]]
    effect = float(np.median([one for one in told if one is not None]))
    bound = math.log1p(threshold)
    seen = [
        outcome.interval is not None and math.log(effect * outcome.interval[0]) > bound for outcome in outcomes[800:]
    ]
    assert least <= np.mean(seen) <= 0.85


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(("ours", "theirs"), [(6, 6), (10, 20)])
def test_the_same_holds_for_samples_that_are_not_paired(noise: str, ours: int, theirs: int) -> None:
    generator = np.random.default_rng(ours)
    above, below = (0.02 * NOISE[noise](generator, (1200, size)) for size in (ours, theirs))
    intervals = [unpaired_ratio(np.exp(one), np.exp(other)).interval for one, other in zip(above, below, strict=True)]
    effect = float(np.median([detectable_ratio(interval, 0.05) or math.nan for interval in intervals[:600]]))
    seen = [interval is not None and effect * interval[0] > 1.05 for interval in intervals[600:]]
    assert 0.68 <= np.mean(seen) <= 0.86
