from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.stats.steady_state import MIN_ITERATIONS, TOLERANCE, SteadyState, steady_state

SERIES = st.lists(st.floats(0.1, 1000), min_size=1, max_size=60)
DIRECTIONS = st.sampled_from(["lower", "higher"])


def noisy(levels: list[float], spread: float = 0.02, seed: int = 1) -> list[float]:
    return (np.array(levels) * np.exp(np.random.default_rng(seed).normal(0, spread, len(levels)))).tolist()


SHAPES = {
    "flat": ([10.0] * 20, "steady", 0),
    "the first iteration is slow": ([15.0] + [10.0] * 19, "warming", 1),
    "the first three are": ([16.0, 14.0, 13.0] + [10.0] * 17, "warming", 3),
    "it gets slow": ([10.0] * 8 + [13.0] * 12, "slowing", 8),
    "slow, fast, between": ([14.0] * 5 + [10.0] * 5 + [12.0] * 10, "slowing", 10),
    "slow, slower, fast": ([12.0] * 5 + [14.0] * 5 + [10.0] * 10, "warming", 10),
    "a change near the end": ([10.0] * 17 + [13.0] * 3, "no steady state", None),
    "levels that come and go": ([10.0, 10.0, 10.0, 14.0, 14.0, 14.0] * 3 + [10.0, 10.0], "no steady state", None),
    "one outlier": ([10.0] * 9 + [30.0] + [10.0] * 10, "steady", 0),
    "an outlier at the end": ([10.0] * 19 + [30.0], "steady", 0),
    "back to where it began": ([10.0] * 6 + [14.0] * 4 + [10.0] * 10, "warming", 10),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_known_shapes_with_noise(name: str, seed: int) -> None:
    levels, label, begins = SHAPES[name]
    assert steady_state(noisy(levels, seed=seed), "lower") == SteadyState(label, begins)


@pytest.mark.parametrize("name", SHAPES)
def test_a_higher_value_is_the_better_one_if_the_metric_says_so(name: str) -> None:
    levels, label, begins = SHAPES[name]
    assert steady_state([1e4 / value for value in noisy(levels)], "higher") == SteadyState(label, begins)


@pytest.mark.parametrize("count", range(1, MIN_ITERATIONS))
def test_too_few_iterations_are_no_steady_state_and_no_other(count: int) -> None:
    assert steady_state([float(number) for number in range(count)], "lower") == SteadyState("too few iterations", None)


def test_as_many_as_needed_are_enough() -> None:
    assert steady_state(noisy([10.0] * MIN_ITERATIONS), "lower").label == "steady"


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0])
def test_what_never_changes_is_steady(value: float) -> None:
    assert steady_state([value] * 10, "lower") == SteadyState("steady", 0)


def test_mostly_equal_figures_of_a_coarse_clock_are_steady() -> None:
    values = [100.0] * 30
    values[4] = values[5] = values[20] = 101.0
    assert steady_state(values, "higher") == SteadyState("steady", 0)


def test_zeros_with_a_change_are_told() -> None:
    assert steady_state([5.0] * 4 + [0.0] * 16, "lower") == SteadyState("warming", 4)


def test_a_certain_change_that_is_too_small_to_matter_is_none() -> None:
    values = noisy([10 * (1 + 0.8 * TOLERANCE)] * 50 + [10.0] * 50, spread=0.0001)
    assert steady_state(values, "lower") == SteadyState("steady", 0)


@given(SERIES, DIRECTIONS)
def test_the_steady_part_is_the_last_quarter_at_least(values: list[float], better: str) -> None:
    found = steady_state(values, better)  # type: ignore[arg-type]
    assert (found.begins is None) == (found.label in {"no steady state", "too few iterations"})
    assert (found.begins == 0) == (found.label == "steady")
    assert found.begins is None or found.begins <= 0.75 * len(values)


@given(SERIES, DIRECTIONS, st.integers(-8, 8))
def test_the_unit_does_not_matter(values: list[float], better: str, exponent: int) -> None:
    # By powers of two, which change no digit: at the borders of a decision, rounding would.
    scaled = [value * 2.0**exponent for value in values]
    assert steady_state(scaled, better) == steady_state(values, better)  # type: ignore[arg-type]


@given(SERIES)
def test_the_direction_decides_on_the_word_alone(values: list[float]) -> None:
    lower, higher = steady_state(values, "lower"), steady_state(values, "higher")
    assert lower.begins == higher.begins
    opposite = {"warming": {"slowing"}, "slowing": {"warming", "slowing"}}  # "slowing" may have been both
    assert higher.label in opposite.get(lower.label, {lower.label})


@given(SERIES, DIRECTIONS)
def test_turned_upside_down_it_is_the_same(values: list[float], better: str) -> None:
    other = "higher" if better == "lower" else "lower"
    turned = steady_state([-value for value in values], other)  # type: ignore[arg-type]
    assert turned == steady_state(values, better)  # type: ignore[arg-type]


NOISE = {
    "normal": lambda generator, count: generator.normal(size=count),
    "heavy tails": lambda generator, count: generator.standard_t(3, size=count),
    "skewed": lambda generator, count: generator.exponential(size=count),
}


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("count", [8, 10, 20, 50, 200])
def test_noise_alone_is_steady(noise: str, count: int) -> None:
    """In 300 sequences each; 1 to 4 % are given another label with 8 iterations, under 1 % with 50."""
    generator = np.random.default_rng(count)
    found = [steady_state((100 + 2 * NOISE[noise](generator, count)).tolist(), "lower") for _ in range(300)]
    assert sum(one.label == "steady" for one in found) / len(found) >= (0.93 if count < 20 else 0.97)


@pytest.mark.parametrize("count", [10, 20, 50, 200])
def test_warming_up_is_found(count: int) -> None:
    """A first iteration 60 % slower, decaying by a factor e every second iteration, with 2 % of noise."""
    generator = np.random.default_rng(count)
    levels = 100 + 60 * np.exp(-np.arange(count) / 2)
    found = [steady_state((levels + 2 * generator.normal(size=count)).tolist(), "lower") for _ in range(200)]
    assert sum(one.label == "warming" for one in found) / len(found) >= 0.97
    assert 1 <= np.median([one.begins for one in found if one.begins is not None]) <= 6
