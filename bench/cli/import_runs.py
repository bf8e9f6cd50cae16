"""``bench import``: the runs of bundles and of other stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import EXIT_BAD_INPUT
from bench.cli.options import format_option, print_rows, store_option

if TYPE_CHECKING:
    from results.merge import Outcome
    from results.store import Store
    from results.whole_run import RunSource


@click.command("import")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="FROM...")
@store_option
@click.option("--dry-run", is_flag=True, help="Tell what would be imported; do nothing.")
@format_option("table", "json")
def import_command(sources: tuple[Path, ...], store_directory: Path, dry_run: bool, output_format: str) -> int:
    """Bring in the runs of each FROM: a bundle of 'bench export --bundle', or the directory of another store.

    A run that is here already is skipped, and one that has another's id is refused; each comes whole or not at all.
    Named baselines and known changes come along where there is none here. Exits with 2 where anything was refused.
    """
    outcomes: list[Outcome] = []
    try:
        with _target(store_directory, dry_run) as store:
            for source in sources:
                _import(source, store, dry_run, outcomes)
    finally:
        # Also where a later one is damaged: what was imported before it is here.
        if outcomes:
            print_rows([asdict(outcome) for outcome in outcomes], output_format, empty="")
    if not outcomes:
        print_rows([], output_format, empty="nothing is in it")
    return EXIT_BAD_INPUT if any(outcome.action == "refused" for outcome in outcomes) else 0


@contextmanager
def _target(directory: Path, dry_run: bool) -> Iterator[Store | None]:
    from results.store import DATABASE, Store

    if dry_run and not (directory / DATABASE).exists():
        yield None
        return
    with Store(directory).open(create=not dry_run) as store:
        yield store


def _import(source: Path, store: Store | None, dry_run: bool, outcomes: list[Outcome]) -> None:
    from results.merge import merge

    with _opened(source, store, dry_run) as runs:
        for outcome in merge(runs, store, dry_run):
            outcomes.append(outcome)  # noqa: PERF402  # what was done is told though a later one fails


@contextmanager
def _opened(source: Path, store: Store | None, dry_run: bool) -> Iterator[RunSource]:
    from tempfile import TemporaryDirectory

    from results.bundle import opened_bundle
    from results.store import Store

    with ExitStack() as stack:
        if source.is_dir():
            yield stack.enter_context(Store(source).open(create=False))
        elif store is None or dry_run:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
            yield stack.enter_context(opened_bundle(source, directory))
        else:
            yield stack.enter_context(opened_bundle(source, stack.enter_context(store.work_directory())))
