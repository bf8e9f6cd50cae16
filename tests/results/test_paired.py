from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.stats.paired import paired_ratio

POSITIVE = st.floats(1e-6, 1e6)
PAIRS = st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=20)


def split(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [one for one, _ in pairs], [other for _, other in pairs]


def test_a_constant_ratio_is_found_with_certainty() -> None:
    baseline = [1.0, 3.0, 0.5, 8.0, 2.0, 5.0]
    outcome = paired_ratio([3 * value for value in baseline], baseline)
    assert outcome.ratio == pytest.approx(3)
    assert outcome.interval == pytest.approx((3, 3))
    assert outcome.p_value == pytest.approx(2 / 2**6)
    assert outcome.warnings == ()


@given(PAIRS, st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(pairs: list[tuple[float, float]], scale: float) -> None:
    arm, baseline = split(pairs)
    plain = paired_ratio(arm, baseline)
    scaled = paired_ratio([scale * value for value in arm], [scale * value for value in baseline])
    assert scaled.ratio == pytest.approx(plain.ratio, rel=1e-6)
    if plain.interval is not None:
        assert scaled.interval == pytest.approx(plain.interval, rel=1e-6)


@given(PAIRS)
def test_exchanging_the_arms_inverts_the_ratio_and_nothing_else(pairs: list[tuple[float, float]]) -> None:
    arm, baseline = split(pairs)
    forth, back = paired_ratio(arm, baseline), paired_ratio(baseline, arm)
    assert forth.ratio is not None
    assert back.ratio == pytest.approx(1 / forth.ratio)
    assert back.p_value == forth.p_value
    if forth.interval is not None:
        assert back.interval == pytest.approx((1 / forth.interval[1], 1 / forth.interval[0]))


@given(PAIRS, st.floats(1, 10))
def test_a_slower_arm_has_a_greater_ratio(pairs: list[tuple[float, float]], factor: float) -> None:
    arm, baseline = split(pairs)
    plain, slower = paired_ratio(arm, baseline), paired_ratio([factor * value for value in arm], baseline)
    assert plain.ratio is not None
    assert slower.ratio == pytest.approx(factor * plain.ratio)
    if plain.interval is not None:
        assert slower.interval == pytest.approx((factor * plain.interval[0], factor * plain.interval[1]))


@given(PAIRS, st.data())
def test_a_value_that_grows_never_lets_the_ratio_fall(pairs: list[tuple[float, float]], data: st.DataObject) -> None:
    arm, baseline = split(pairs)
    place = data.draw(st.integers(0, len(arm) - 1))
    grown = [*arm[:place], arm[place] * data.draw(st.floats(1, 100)), *arm[place + 1 :]]
    before, after = paired_ratio(arm, baseline), paired_ratio(grown, baseline)
    assert before.ratio is not None
    assert after.ratio is not None
    assert after.ratio >= before.ratio * (1 - 1e-12)
    if before.interval is not None and after.interval is not None:
        assert after.interval[0] >= before.interval[0] * (1 - 1e-12)
        assert after.interval[1] >= before.interval[1] * (1 - 1e-12)


@given(PAIRS, st.randoms())
def test_the_order_of_the_blocks_does_not_matter(pairs: list[tuple[float, float]], random: object) -> None:
    before = paired_ratio(*split(pairs))
    random.shuffle(pairs)  # type: ignore[attr-defined]
    assert paired_ratio(*split(pairs)) == before


@given(PAIRS)
def test_the_interval_contains_the_ratio(pairs: list[tuple[float, float]]) -> None:
    outcome = paired_ratio(*split(pairs))
    assert outcome.ratio is not None
    if outcome.interval is not None:
        assert outcome.interval[0] <= outcome.ratio <= outcome.interval[1]


def test_few_blocks_give_a_ratio_and_a_warning_but_no_interval() -> None:
    outcome = paired_ratio([2.0] * 5, [1.0] * 5)
    assert outcome.ratio == pytest.approx(2)
    assert outcome.interval is None
    assert not outcome.could_be_significant
    assert outcome.warnings == ("5 of at least 6 blocks: too few for a 95 % interval",)


def test_no_shared_block_gives_nothing_but_a_warning() -> None:
    outcome = paired_ratio([], [])
    assert (outcome.n, outcome.ratio, outcome.interval, outcome.p_value) == (0, None, None, None)
    assert outcome.warnings == ("no block in which both arms have a trial",)


@pytest.mark.parametrize("odd", [0.0, -1.0])
@pytest.mark.parametrize("swap", [False, True])
def test_a_zero_or_negative_value_has_no_ratio(odd: float, swap: bool) -> None:
    sides = ([odd, *[2.0] * 6], [1.0] * 7)
    outcome = paired_ratio(*(sides[::-1] if swap else sides))
    assert (outcome.n, outcome.ratio, outcome.interval, outcome.p_value) == (7, None, None, None)
    assert outcome.warnings == ("no ratio: some values are zero or negative",)


def test_zero_in_both_arms_throughout_is_equal() -> None:
    outcome = paired_ratio([0.0] * 6, [0.0] * 6)
    assert (outcome.ratio, outcome.interval, outcome.p_value) == (1, (1, 1), 1)
    assert outcome.warnings == ("zero or negative, and equal in every block",)


def test_extreme_values_do_not_overflow() -> None:
    outcome = paired_ratio([1e300] * 6, [1e-5] * 6)
    assert outcome.ratio == pytest.approx(1e305)


def test_pairs_need_the_same_number() -> None:
    with pytest.raises(ValueError, match="2 values against 1"):
        paired_ratio([1.0, 2.0], [1.0])
