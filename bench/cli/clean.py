"""``bench clean``: remove what runs that died have left on the host."""

from __future__ import annotations

import click


@click.command()
def clean() -> None:
    """Remove cgroups, processes, loop devices and directories of runs that died.

    Runs that are alive are left alone, and so are those of other users.
    """
    from runtimes.facilities import reclaim

    removed = reclaim()
    for description in removed:
        click.echo(f"removed {description}")
    if not removed:
        click.echo("nothing was left behind")
