"""Terminal tables of what others have published, beside our own figures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from results.charts.cases import case_labels
from results.charts.quantities import MISSING, interval, quantity, ratio
from results.references import Reference, sources_of


def reference_tables(references: Sequence[Reference]) -> list[RenderableType]:
    """A table a source, with its host and its caveats; empty for none."""
    return [
        renderable
        for source in sources_of(references)
        for renderable in _of_source([each for each in references if each.published.source == source])
    ]


def no_reference(source: str) -> Text:
    """That nothing here was published by a source."""
    return Text(f"Nothing in this run is what {source} has figures of: neither the workloads nor the parameters.")


def _of_source(references: Sequence[Reference]) -> list[RenderableType]:
    source = references[0].published.source
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column(Text(f"published: {source.key}", "bold underline"), ratio=1, overflow="fold")
    for name in ("ratio", "95 % interval", "published"):
        table.add_column(name, justify="right", no_wrap=True)
    labels = case_labels((each.comparison.workload, each.comparison.params) for each in references)
    for _, members in groupby(references, key=lambda each: (_case(each), id(each.published))):
        rows = list(members)
        published, ours = rows[0].published, rows[0].comparison
        theirs = f"  theirs: {published.setting}" if published.setting else ""
        table.add_row(Text.assemble((labels[_case(rows[0])], "bold"), f" {ours.metric}", (theirs, "dim")))
        baseline, native = (quantity(value, ours.unit) for value in (ours.baseline_median, published.native))
        table.add_row(Text(f"  {ours.baseline}"), Text(baseline), "", Text(native))
        for row in rows:
            one = row.comparison
            emulated = (" tcg", "bold red") if one.accel == "tcg" else ""
            between = interval(one.ci_low, one.ci_high) or MISSING
            table.add_row(Text.assemble(f"  {one.arm}", emulated), ratio(one.ratio), between, ratio(row.ratio))
    notes = ("A reference from other hardware, never a target.", f"{source.title}.", *source.notes)
    text = Text("\n".join(notes), "dim")
    return [table, Padding(text, (0, 0, 1, 0))]


def _case(reference: Reference) -> tuple[str, str]:
    return reference.comparison.workload, reference.comparison.params
