from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from results.stats.false_discovery import enough_blocks, q_values
from results.stats.paired import PairedRatio, paired_ratio
from results.stats.verdict import LEVEL, MIN_BLOCKS


def with_p(p_value: float | None, could: bool = True) -> PairedRatio:
    return PairedRatio(10, 1.0, (1.0, 1.0), p_value, could, ())


FAMILIES = st.lists(st.floats(0.001, 1), min_size=1, max_size=30).map(
    lambda p_values: {number: with_p(p_value) for number, p_value in enumerate(p_values)}
)


def test_a_worked_example() -> None:
    """By hand: 0.01 · 4 / 1, 0.02 · 4 / 2 and 0.03 · 4 / 3 are all 0.04; 0.5 is the greatest of four."""
    family = {name: with_p(p_value) for name, p_value in (("a", 0.03), ("b", 0.01), ("c", 0.5), ("d", 0.02))}
    assert q_values(family) == pytest.approx({"a": 0.04, "b": 0.04, "c": 0.5, "d": 0.04})


def test_who_has_no_test_or_cannot_be_significant_takes_no_part() -> None:
    family = {"one": with_p(0.04), "none": with_p(None), "hopeless": with_p(0.5, could=False)}
    assert q_values(family) == {"one": 0.04}
    assert q_values({"none": with_p(None)}) == {}
    assert q_values({}) == {}


@given(FAMILIES)
def test_a_q_value_is_never_below_its_p_value_and_keeps_the_order(family: dict[int, PairedRatio]) -> None:
    adjusted = q_values(family)
    pairs = sorted((one.p_value or 0, adjusted[key]) for key, one in family.items())
    assert all(p_value <= q_value * (1 + 1e-9) <= 1 + 1e-9 for p_value, q_value in pairs)
    assert [q_value for _, q_value in pairs] == sorted(q_value for _, q_value in pairs)


@given(FAMILIES, st.randoms(use_true_random=False))
def test_the_order_of_the_tests_does_not_matter(family: dict[int, PairedRatio], random: object) -> None:
    keys = list(family)
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert q_values({key: family[key] for key in keys}) == q_values(family)


@given(FAMILIES)
def test_a_certain_difference_more_never_raises_another_one_s_q_value(family: dict[int, PairedRatio]) -> None:
    with_certain = q_values(family | {-1: with_p(0.0)})
    assert all(with_certain[key] <= q_value * (1 + 1e-9) for key, q_value in q_values(family).items())


@given(FAMILIES)
def test_it_is_what_scipy_gives(family: dict[int, PairedRatio]) -> None:
    expected = false_discovery_control([one.p_value or 0 for one in family.values()]).tolist()
    assert list(q_values(family).values()) == expected


@given(st.integers(1, 40), st.integers(0, 200))
def test_so_many_blocks_and_no_fewer_decide_what_differs_in_each(alike: int, others: int) -> None:
    def decided(blocks: int) -> bool:
        different = paired_ratio([float(2 + number) for number in range(blocks)], [1.0] * blocks)
        family = {number: different if number < alike else with_p(1.0) for number in range(alike + others)}
        return q_values(family)[0] <= LEVEL

    enough = enough_blocks(alike, alike + others)
    assert decided(enough)
    assert enough == MIN_BLOCKS or not decided(enough - 1)
