"""``bench baseline``: runs with a name, to hold later ones against."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from bench.cli.options import format_option, open_run, print_rows, store_option


@click.group()
def baseline() -> None:
    """Give runs names, for 'bench regress --baseline NAME'."""


@baseline.command("set")
@click.argument("name")
@click.argument("run", default="latest")
@store_option
@click.option("--reason", default="", help="Why this one, for a reader.")
def set_baseline(name: str, run: str, store_directory: Path, reason: str) -> None:
    """Give RUN this NAME; one that has it already loses it."""
    from results.records import Baseline, is_baseline_name

    if not is_baseline_name(name):
        raise click.UsageError(
            f"{name!r} is no name of a baseline: one has at most 32 small letters, digits, '.', '_' and '-', and "
            "starts with a letter or digit"
        )
    with open_run(store_directory, run) as (store, record):
        store.set_baseline(Baseline(name, record.id, datetime.now(UTC).isoformat(timespec="seconds"), reason))
    click.echo(f"{name} is run {record.id}")


@baseline.command("list")
@store_option
@format_option("table", "json")
def list_baselines(store_directory: Path, output_format: str) -> None:
    """List the named runs."""
    from results.store import Store

    with Store(store_directory).open(create=False) as store:
        rows = [
            {"name": each.name, "run": each.run, "created": each.created, "reason": each.reason}
            for each in store.baselines()
        ]
    print_rows(rows, output_format, empty="no run has a name")


@baseline.command("remove")
@click.argument("name")
@store_option
def remove_baseline(name: str, store_directory: Path) -> None:
    """Take NAME away from its run; the run stays."""
    from results.errors import StoreError
    from results.store import Store

    with Store(store_directory).open(create=False) as store:
        if not store.remove_baseline(name):
            there = ", ".join(each.name for each in store.baselines()) or "none"
            raise StoreError(f"no baseline {name!r}; there are {there}")
    click.echo(f"{name} is no run any more")
