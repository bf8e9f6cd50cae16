from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from results.terminal.grid import Column, Grid, Line, Table


def printed(grid: Grid, width: int, terminal: bool = True) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=terminal, color_system=None, legacy_windows=False).print(grid)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def bar(width: int, plain: bool) -> Text:
    return Text("#" * width)


COLUMNS = (
    Column("value"),
    Column("wide\N{NO-BREAK SPACE}text heading", spare=1),
    Column("drawn", "left", spare=2, widths=(5, 9)),
    Column("word", "left", spare=3),
)


def grid(*labels: str, title: str = "a title") -> Grid:
    lines = [Line(Text(label), (Text("1.5"), Text("10–20"), bar, Text("same"))) for label in labels]
    return Grid(COLUMNS, (Table(Text(title), (Line(Text("a label over all")), *lines)),))


def test_everything_has_room_in_a_wide_terminal() -> None:
    heading, over, line, _ = printed(grid("one"), 80)
    assert heading.split() == ["a", "title", "value", "wide", "text", "heading", "drawn", "word"]
    assert over == "a label over all"
    assert line.split() == ["one", "1.5", "10–20", "#" * 9, "same"]
    assert line.index("1.5") + 3 == heading.index("value") + 5  # to the right, as figures are
    assert line.index("same") == heading.index("word")


def test_headings_are_broken_before_a_column_is_left_out() -> None:
    first, second, *_ = printed(grid("one", title=""), 37)
    assert (first.strip(), second.split()) == ("wide text", ["value", "heading", "drawn", "word"])


def test_the_least_needed_column_goes_first() -> None:
    shown = [printed(grid("label"), width)[-2] for width in (40, 34, 27, 19)]
    assert [("same" in line, "#" in line, "10–20" in line, "1.5" in line) for line in shown] == [
        (True, True, True, True),
        (False, True, True, True),
        (False, False, True, True),
        (False, False, False, True),
    ]


def test_what_draws_itself_is_for_terminals() -> None:
    assert not any("#" in line for line in printed(grid("one"), 80, terminal=False))


def test_a_column_of_nothing_is_left_out() -> None:
    lines = (Line(Text("one"), (Text("1"), Text(), Text(), Text("x"))),)
    heading, line, _ = printed(Grid(COLUMNS, (Table(Text(), lines),)), 80)
    assert heading.split() == ["value", "word"]
    assert line.split() == ["one", "1", "x"]


def test_a_label_that_does_not_fit_is_above_its_figures() -> None:
    label = "a label much longer than a third of the terminal"
    _, above, below = printed(grid(label), 60)[-4:-1]
    assert above == label
    assert below.startswith(" ") and below.split()[0] == "1.5"


def test_a_title_that_does_not_fit_is_above_the_headings() -> None:
    title, heading, *_ = printed(grid("one", title="a title with all of its parameters: " + "x" * 20), 60)
    assert title.startswith("a title with")
    assert "value" in heading


def test_columns_of_several_tables_line_up() -> None:
    lines = [(Line(Text("a"), (Text(value), Text(), Text(), Text("x"))),) for value in ("1", "1,000,000")]
    shown = printed(Grid(COLUMNS, tuple(Table(Text("t"), of_table) for of_table in lines)), 60)
    assert len({line.index("word") for line in shown if "word" in line}) == 1


LABELS = st.text("abc µ×", max_size=40).map(lambda text: f"a{text}b")


@given(st.lists(LABELS, min_size=1), st.integers(30, 120))
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_lost(labels: list[str], width: int) -> None:
    shown = printed(grid(*labels), width)
    assert max(map(cell_len, shown)) <= width
    assert sum("1.5" in line for line in shown) == len(labels)
