"""``bench schema``: what suite and workload files may hold, for editors."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import print_json, workloads_option


@click.command()
@click.argument("what", type=click.Choice(["suite", "workload"]))
@workloads_option
def schema(what: str, workload_directories: tuple[Path, ...]) -> None:
    """Print the JSON Schema (draft 2020-12) of suite or workload files, for completion and checks in an editor.

    A suite's knows the workloads that there are, those of --workloads among them.
    """
    if what == "workload":
        from workloads.schema import workload_schema

        print_json(workload_schema())
        return
    from bench.suite_schema import suite_schema
    from workloads.loader import open_catalogue

    print_json(suite_schema(open_catalogue(workload_directories)))
