"""``bench doctor``: what this host can and cannot do."""

from __future__ import annotations

from dataclasses import asdict

import click

from bench.cli.options import format_option, print_json, print_renderable

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "missing": ("✗", "red")}


@click.command()
@format_option("table", "json")
def doctor(output_format: str) -> int:
    """Tell what this host can do, and how to mend what it cannot. Exits with 1 where something is missing."""
    from bench.doctor import examine

    checks = list(examine())
    if output_format == "json":
        print_json([asdict(check) for check in checks])
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_header=False)
        for check in checks:
            mark, colour = _MARKS[check.status]
            detail = Text(check.detail, overflow="fold")  # a fix is to be copied whole
            if check.fix:
                detail.append(f"\n→ {check.fix}", style="italic")
            table.add_row(Text(mark, style=colour), Text(check.name, style="bold"), detail)
        print_renderable(table)
    return int(any(check.status == "missing" for check in checks))
