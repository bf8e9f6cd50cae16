from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from results.stats.verdict import THRESHOLD, judge

SIGNIFICANT = 0.01


@pytest.mark.parametrize(
    ("interval", "better", "verdict"),
    [
        ((1.06, 1.20), "lower", "worse"),
        ((1.06, 1.20), "higher", "better"),
        ((0.80, 0.94), "lower", "better"),
        ((0.80, 0.94), "higher", "worse"),
        ((0.96, 1.04), "lower", "same"),
        ((1.01, 1.04), "higher", "same"),
        ((1.0, 1.0), "neutral", "same"),
        ((1.04, 1.06), "lower", "inconclusive"),
        ((0.90, 1.10), "lower", "inconclusive"),
        ((1.20, 1.30), "neutral", "inconclusive"),
        (None, "lower", "inconclusive"),
    ],
)
def test_the_interval_decides(interval: tuple[float, float] | None, better: str, verdict: str) -> None:
    assert judge(interval, better, SIGNIFICANT)[0] == verdict


@pytest.mark.parametrize("q_value", [0.051, 1.0, None])
def test_a_difference_must_stand_after_control_of_false_discoveries(q_value: float | None) -> None:
    verdict, warnings = judge((1.5, 1.6), "lower", q_value)
    assert verdict == "inconclusive"
    assert "false discoveries" in warnings[0]


def test_a_difference_without_good_direction_is_pointed_out() -> None:
    assert judge((1.5, 1.6), "neutral", None) == (
        "inconclusive",
        ("differs, and neither direction is the better one",),
    )


@pytest.mark.parametrize(
    ("threshold", "verdict"), [(0.0, "worse"), (0.01, "worse"), (0.05, "inconclusive"), (0.2, "same")]
)
def test_the_threshold_is_a_matter_of_choice(threshold: float, verdict: str) -> None:
    assert judge((1.02, 1.08), "lower", SIGNIFICANT, threshold)[0] == verdict


@given(st.floats(0.5, 2), st.floats(1, 2), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_larger_threshold_calls_fewer_different_and_more_the_same(
    low: float, width: float, threshold: float, more: float
) -> None:
    strict, lax = (judge((low, low * width), "lower", SIGNIFICANT, bound)[0] for bound in (threshold, threshold + more))
    assert lax in {"same", "inconclusive", strict}
    assert not (strict == "same" and lax != "same")


@given(
    st.floats(0.8, 1.25) | st.floats(0.01, 100),
    st.floats(1, 1.2) | st.floats(1, 10),
    st.sampled_from(["lower", "higher"]),
)
def test_exchanging_the_arms_exchanges_the_verdict(low: float, width: float, better: str) -> None:
    interval = (low, low * width)
    # At the threshold itself 1/x is rounded to one side or the other.
    assume(all(abs(abs(math.log(end)) - math.log1p(THRESHOLD)) > 1e-12 for end in interval))
    opposite = {"better": "worse", "worse": "better", "same": "same", "inconclusive": "inconclusive"}
    forth, _ = judge(interval, better, SIGNIFICANT)
    back, _ = judge((1 / interval[1], 1 / interval[0]), better, SIGNIFICANT)
    assert back == opposite[forth]
