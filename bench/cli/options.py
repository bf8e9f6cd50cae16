"""Options and output that several verbs share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workloads.units import parse_duration, parse_share

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from results.records import RunRecord
    from results.store import Store

store_option = click.option(
    "--store",
    "store_directory",
    envvar="BENCH_STORE",
    default="bench-results",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the result store [$BENCH_STORE].",
)

workloads_option = click.option(
    "--workloads",
    "workload_directories",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of workloads of your own, found like the shipped ones; may be given again.",
)


class _Quantity(click.ParamType[float]):
    """A value that people write with its unit."""

    def __init__(self, name: str, parse: Callable[[str], float | Fraction]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(self._parse(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


# Control characters of ISO 6429 but for tab and line feed, and Unicode's for the direction of writing.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

DURATION = _Quantity("duration", parse_duration)
WIDTH = _Quantity("width", parse_share)

run_argument = click.argument("run", default="latest")


def format_option(*choices: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The ``--format`` option with these choices, the first being the default."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help="Form of the output.",
    )


@contextmanager
def open_run(store_directory: Path, run: str) -> Iterator[tuple[Store, RunRecord]]:
    """The store and the run that a ``RUN`` argument means: an id, a unique prefix, or ``latest``."""
    from results.store import Store

    with Store(store_directory).open(create=False) as store:
        yield store, store.resolve(run)


def console() -> Console:
    """A console on standard output, without colour where it is not a terminal.

    Control characters of texts, which may be those of a workload or of another machine, do not reach the terminal.
    """
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class Harmless(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(harmless(segment.text), segment.style)

    return Harmless(highlight=False)


def harmless(text: str) -> str:
    """``text`` with a replacement for all that would steer a terminal or turn the direction of writing."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)


def print_json(data: object) -> None:
    """Print plain data as JSON."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_rows(
    rows: Sequence[Mapping[str, object]], output_format: str, *, empty: str, only_json: Sequence[str] = ()
) -> None:
    """Print records as a table whose columns are their keys, or as JSON.

    Args:
        rows: all with the same keys, in the order of the columns.
        output_format: ``table`` or ``json``.
        empty: what to say where there is no row.
        only_json: keys that a table leaves out, for want of room.
    """
    if output_format == "json":
        print_json(list(rows))
        return
    if not rows:
        click.echo(empty)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [column for column in rows[0] if column not in only_json]
    for place, column in enumerate(columns):
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    print_renderable(table)


def _cell(value: object) -> RenderableType:
    from rich.text import Text

    return Text(", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value))


def print_renderable(*renderables: RenderableType, whole_lines: bool = False) -> None:
    """Print rich renderables on standard output; ``whole_lines`` leaves it to a terminal to break long ones."""
    target = console()
    for renderable in renderables:
        target.print(renderable, soft_wrap=whole_lines)
