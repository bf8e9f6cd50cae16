from __future__ import annotations

import pytest

from bench.sampling import Sampling
from bench.stopping import after_block, looks
from results.precision import Precision

ADAPTIVE = Sampling(min_blocks=10, max_blocks=30, ci_width=0.05)


def known(*widths: float | None, n: int = 10) -> list[Precision]:
    return [Precision("fio", "rw=read", f"metric{place}", "vm", n, width) for place, width in enumerate(widths)]


def test_a_fixed_number_of_blocks_is_not_looked_at() -> None:
    sampling = Sampling.fixed(8)
    assert not any(looks(sampling, block) for block in range(1, 9))
    outlooks = [after_block(sampling, block, 1.0, ()) for block in range(1, 9)]
    assert [(outlook.stop, outlook.blocks) for outlook in outlooks] == [(None, 8)] * 7 + [("all 8 blocks done", 8)]


def test_the_pilot_is_not_looked_at() -> None:
    assert [block for block in range(1, 13) if looks(ADAPTIVE, block)] == [10, 11, 12]
    assert after_block(ADAPTIVE, 9, 1.0, known(0.001)).stop is None


def test_it_stops_when_all_are_known_and_names_the_widest() -> None:
    outlook = after_block(ADAPTIVE, 10, 1.0, known(0.01, 0.05, 0.02))
    assert outlook.stop == (
        "all 3 ratios known to 5% after 10 blocks; the widest interval is 5.0 %: fio rw=read metric1 in vm"
    )


@pytest.mark.parametrize("worst", [0.0501, None])
def test_it_goes_on_while_one_is_not(worst: float | None) -> None:
    assert after_block(ADAPTIVE, 10, 1.0, known(0.01, worst)).stop is None


def test_it_stops_at_the_most_and_says_what_is_left_over() -> None:
    outlook = after_block(ADAPTIVE, 30, 1.0, known(0.01, 0.2, 0.1, n=30))
    assert outlook.stop == (
        "all 30 blocks done; 2 of 3 ratios not known to 5%; the widest interval is 20.0 %: fio rw=read metric1 in vm"
    )


def test_it_stops_when_the_time_is_used_up() -> None:
    sampling = Sampling(min_blocks=10, max_blocks=30, ci_width=0.05, time_budget=60)
    assert after_block(sampling, 3, 59.0, ()).stop is None
    assert after_block(sampling, 3, 61.0, ()).stop == "time budget of 60 s used up after block 3 (61 s)"
    late = after_block(sampling, 12, 61.0, known(None, 0.01))
    assert late.stop == (
        "time budget of 60 s used up after block 12 (61 s); "
        "1 of 2 ratios not known to 5%; no interval yet: fio rw=read metric0 in vm"
    )


def test_where_no_ratio_can_be_known_the_pilot_is_all() -> None:
    assert after_block(ADAPTIVE, 10, 1.0, ()).stop == "no ratio to know better after 10 blocks"


def test_the_number_of_blocks_is_foretold_from_the_widths() -> None:
    # Half the logarithmic width takes four times the blocks.
    assert after_block(ADAPTIVE, 10, 1.0, known(1.05**1.4 - 1)).blocks == 20
    assert after_block(ADAPTIVE, 10, 1.0, known(1.05**10 - 1)).blocks == 30
    assert after_block(ADAPTIVE, 10, 1.0, known(0.0501)).blocks == 11
    assert after_block(ADAPTIVE, 4, 1.0, ()).blocks == 10
