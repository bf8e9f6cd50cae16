from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.sampling import Sampling, SamplingOverride
from bench.suite_file import SamplingFile
from workloads.errors import InvalidInput

samplings = st.builds(
    lambda least, more, width, threshold, seed: Sampling(
        least, least + more, width / 1000, threshold / 1000, seed, time_budget=60.0
    ),
    st.integers(6, 100),
    st.integers(0, 100),
    st.integers(1, 1000),
    st.integers(1, 1000),
    st.none() | st.integers(0, 2**62),
)


def of(**keys: object) -> Sampling:
    return Sampling.of_file(SamplingFile.model_validate(keys))


def test_without_a_word_it_is_adaptive() -> None:
    assert of() == Sampling(min_blocks=10, max_blocks=30, ci_width=0.05, threshold=0.05)


def test_blocks_fix_the_number() -> None:
    assert of(blocks=8, threshold="2%") == Sampling(8, 8, None, threshold=0.02)


@pytest.mark.parametrize(
    ("keys", "blocks"),
    [({"max_blocks": 8}, (8, 8)), ({"min_blocks": 40}, (40, 40)), ({"ci_width": "1%"}, (10, 30))],
)
def test_what_is_not_given_suits_what_is(keys: dict[str, object], blocks: tuple[int, int]) -> None:
    sampling = of(**keys)
    assert (sampling.min_blocks, sampling.max_blocks) == blocks
    assert sampling.ci_width is not None


@pytest.mark.parametrize(
    "keys",
    [
        {"blocks": 8, "max_blocks": 9},
        {"blocks": 8, "ci_width": "5%"},
        {"min_blocks": 9, "max_blocks": 8},
        {"min_blocks": 5},
        {"ci_width": 0.05},
        {"ci_width": "0%"},
        {"threshold": "101%"},
    ],
)
def test_contradictions_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        of(**keys)


@given(samplings)
def test_it_reads_back_from_its_own_data(sampling: Sampling) -> None:
    again = of(**sampling.as_data())
    assert asdict(again) == pytest.approx(asdict(sampling))


def test_overrides() -> None:
    fixed, adaptive = Sampling.fixed(8, seed=3), Sampling(12, 20, 0.03)
    assert SamplingOverride().applied_to(adaptive) == adaptive
    assert SamplingOverride(blocks=2).applied_to(adaptive) == Sampling(2, 2, None)
    assert SamplingOverride(max_blocks=40).applied_to(fixed) == Sampling(10, 40, 0.05, seed=3)
    assert SamplingOverride(max_blocks=6).applied_to(adaptive) == Sampling(6, 6, 0.03)
    assert SamplingOverride(ci_width=0.01, seed=9).applied_to(adaptive) == Sampling(12, 20, 0.01, seed=9)
    assert SamplingOverride(time_budget=5.0).applied_to(fixed) == Sampling.fixed(8, seed=3, time_budget=5.0)


@pytest.mark.parametrize("wrong", [{"blocks": 0}, {"max_blocks": 5}, {"blocks": 8, "ci_width": 0.1}, {"seed": -1}])
def test_wrong_overrides(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        SamplingOverride(**wrong)  # type: ignore[arg-type]
