"""``bench remove``: delete runs from the store."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import store_option


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@store_option
def remove(runs: tuple[str, ...], store_directory: Path) -> None:
    """Delete each RUN from the store: its samples, its noise readings and its directory with logs and report.

    RUN is an id, a unique prefix of one, or 'latest'. A run that is being written, or that a baseline names, is
    refused.
    """
    from results.store import Store

    with Store(store_directory).open(create=False) as store:
        # All before the first is removed: a prefix or 'latest' means what it meant when it was typed.
        found = list(dict.fromkeys(store.resolve(run).id for run in runs))
        for run_id in found:
            store.remove_run(run_id)
            click.echo(f"removed {run_id}")
