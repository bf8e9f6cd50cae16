"""``bench query``: questions to the store in SQL."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import DURATION, format_option, print_renderable, store_option

if TYPE_CHECKING:
    from results.query import Answer, Value


@click.command()
@click.argument("query", metavar="SELECT")
@store_option
@click.option(
    "--timeout", type=DURATION, default="60s", show_default=True, metavar="DURATION", help="Give up after this time."
)
@format_option("table", "json", "csv", "markdown")
def query(query: str, store_directory: Path, timeout: float, output_format: str) -> None:
    """Print what a SELECT finds in the store. It only reads, whatever it says.

    Tables: run, trial, sample, metric, noise, baseline, acknowledgement. Views: samples (tidy data), trial_values (one
    value a trial), points (the median of each arm in each run). docs/results.md describes their columns.

    For example: bench query "SELECT started, arm, median FROM points WHERE metric = 'startup_time' ORDER BY started"
    """
    from results.query import open_for_queries
    from results.store import DATABASE

    with open_for_queries(store_directory / DATABASE) as store:
        answer = store.ask(query, timeout)
        if output_format == "table":
            _print_table(answer)
            return
        for text in {"json": _json, "csv": _csv, "markdown": _markdown}[output_format](answer):
            click.echo(text, nl=False)


def _text(value: Value) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return "" if value is None else str(value)


def _json(answer: Answer) -> Iterator[str]:
    """One object a line; bytes are hexadecimal."""
    separator = "[\n"
    for row in answer.rows:
        values = (value.hex() if isinstance(value, bytes) else value for value in row)
        yield f"{separator}{json.dumps(dict(zip(answer.columns, values, strict=True)), ensure_ascii=False)}"
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def _csv(answer: Answer) -> Iterator[str]:
    for row in _chained(answer):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([_text(value) for value in row])
        yield line.getvalue()


def _markdown(answer: Answer) -> Iterator[str]:
    from results.markdown import table_lines

    rows = ([_text(value) for value in row] for row in answer.rows)
    for line in table_lines(answer.columns, ("text",) * len(answer.columns), rows):
        yield f"{line}\n"


def _chained(answer: Answer) -> Iterator[tuple[Value, ...]]:
    yield answer.columns
    for row in answer.rows:
        yield tuple(row)


def _print_table(answer: Answer) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = [tuple(row) for row in answer.rows]
    for place, column in enumerate(answer.columns):
        numbers = all(isinstance(row[place], int | float | None) for row in rows)
        table.add_column(Text(column), overflow="fold", justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))
    print_renderable(table)
