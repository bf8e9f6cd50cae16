from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_selection import comparison

from results.terminal.bar import LEAST, MOST, Axis, Bar, axis_of

RATIOS = st.floats(1e-4, 1e4)
WIDTHS = st.integers(LEAST, MOST)


def drawn(low: float | None, ratio: float | None, high: float | None, limit: float = 2, width: int = 21) -> str:
    row = comparison(ratio=ratio, ci_low=low, ci_high=high)
    return Bar(row, Axis(limit), "red")(width, plain=False).plain


def test_one_is_in_the_middle_and_the_limits_at_the_ends() -> None:
    assert drawn(0.5, 1, 2) == "━" * 10 + "●" + "━" * 10
    assert drawn(2, 2, 2) == " " * 10 + "│" + " " * 9 + "●"
    assert drawn(0.5, 0.5, 0.5) == "●" + " " * 9 + "│" + " " * 10


def test_an_interval_shows_on_which_side_of_one_it_lies() -> None:
    assert drawn(1.1, 1.2, 1.3).index("│") < drawn(1.1, 1.2, 1.3).index("●")
    assert "┿" in drawn(0.8, 1.2, 1.5)
    assert "│" not in drawn(0.8, 1.2, 1.5)


def test_what_lies_beyond_the_axis_has_an_arrow() -> None:
    assert drawn(3, 5, 9).endswith("▶")
    assert drawn(0.01, 0.1, 0.3).startswith("◀")
    assert drawn(0.1, 1, 9)[0] + drawn(0.1, 1, 9)[-1] == "◀▶"


def test_without_a_ratio_there_is_only_the_axis() -> None:
    assert drawn(None, None, None).strip() == "│"
    assert drawn(None, 1.5, None).count("●") == 1


def test_plain_characters_are_ascii() -> None:
    bar = Bar(comparison(ratio=1.2, ci_low=0.8, ci_high=9.0), Axis(2), "red")
    assert bar(21, plain=True).plain.isascii()
    assert Axis(2)(21, plain=True).plain.isascii()


@given(RATIOS, RATIOS, RATIOS, st.sampled_from([1.25, 2.0, 100.0]), WIDTHS)
def test_a_bar_is_as_wide_as_it_may_be_and_has_one_point_or_an_arrow(
    one: float, other: float, third: float, limit: float, width: int
) -> None:
    low, ratio, high = sorted((one, other, third))
    bar = drawn(low, ratio, high, limit, width)
    assert len(bar) == width - (1 - width % 2)
    assert bar.count("●") == 1 or bar[0] == "◀" or bar[-1] == "▶"


@given(RATIOS, RATIOS, RATIOS, WIDTHS)
def test_exchanging_the_sides_mirrors_the_bar(one: float, other: float, third: float, width: int) -> None:
    low, ratio, high = sorted((one, other, third))
    axis = axis_of([comparison(ratio=ratio, ci_low=low, ci_high=high)])
    place, mirrored = axis.place(ratio, width), axis.place(1 / ratio, width)
    assert place + mirrored == pytest.approx(width - 1)


@given(st.lists(st.tuples(RATIOS, RATIOS, RATIOS).map(sorted), min_size=1, max_size=8))
def test_an_axis_holds_all_that_it_is_for(intervals: list[list[float]]) -> None:
    rows = [comparison(ratio=ratio, ci_low=low, ci_high=high) for low, ratio, high in intervals]
    axis = axis_of(rows)
    for row in rows:
        for end in (row.ci_low, row.ratio, row.ci_high):
            assert end is not None and -1e-9 <= axis.place(end, 21) <= 20 + 1e-9


def test_an_axis_may_leave_out_the_farthest() -> None:
    rows = [comparison(ratio=1.1, ci_low=1.05, ci_high=1.2)] * 3
    far = replace(rows[0], ratio=900.0, ci_low=800.0, ci_high=1000.0)
    assert axis_of([*rows, far]).limit == 1000
    assert axis_of([*rows, far], 0.75).limit == 1.25
    assert axis_of([replace(rows[0], ratio=None)]).limit == 1.25


@pytest.mark.parametrize(("width", "label"), [(9, "÷2  1  ×2"), (5, "÷2 ×2"), (4, "  ×2")])
def test_an_axis_is_labelled_as_far_as_there_is_room(width: int, label: str) -> None:
    assert Axis(2)(width, plain=False).plain.replace("   ", "  ").strip() == label.strip()
