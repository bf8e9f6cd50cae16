"""``bench nightly``: measure, look for regressions, report, clear up, publish, as a timer would have it."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import store_option, workloads_option
from results.retention import Keep, parse_keep

if TYPE_CHECKING:
    from results.history.regress import Regress


class _KeepType(click.ParamType[Keep]):
    name = "keep"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Keep:
        try:
            return parse_keep(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("suite")
@store_option
@workloads_option
@click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of a static site to bring up to date, as 'bench site -o' does.",
)
@click.option(
    "--keep",
    type=_KeepType(),
    metavar="N|AGE",
    help="Remove runs of this suite but for the newest N complete ones, or those younger than AGE: 90d, 12w.",
)
@click.option("--baseline", metavar="NAME", help="Compare with this baseline, as 'bench regress --baseline' does.")
@click.option("--confirm", is_flag=True, help="Run what stands out again before it is an alarm.")
@click.option("--strict", is_flag=True, help="Exit with 4 where a metric is inconclusive and none is worse.")
@click.option("--allow-noisy", is_flag=True, help="Measure also while others are at work on this host.")
def nightly(
    suite: str,
    store_directory: Path,
    workload_directories: tuple[Path, ...],
    site: Path | None,
    keep: Keep | None,
    baseline: str | None,
    confirm: bool,
    strict: bool,
    allow_noisy: bool,
) -> int:
    """Run SUITE, compare it with its past, report it, remove what is too old, bring the site up to date.

    Says nothing where standard output is no terminal, but for failures and one line at the end:
    'bench-nightly: suite=… status=… exit=… run=…'. Exits with 0, 1 where a trial or the tool failed, 2 where nothing
    could be started (another night is at work, or this host cannot or must not measure now), 3 on a regression.
    """
    from bench.apart import Errand, measure_apart
    from bench.interruption import one_interruption
    from bench.nightly.night import carry_out
    from bench.nightly.steps import Steps, Wishes
    from bench.suite import load_suite
    from workloads.loader import open_catalogue

    loaded = load_suite(suite, catalogue=open_catalogue(workload_directories))
    wishes = Wishes(loaded, store_directory, site, keep, strict, allow_noisy)
    shown = sys.stdout.isatty()
    errand = Errand(str(store_directory), tuple(map(str, workload_directories)), quiet=not shown, suite=suite)
    judge = partial(_judge, store_directory, workload_directories, baseline, confirm, shown)
    with ExitStack() as held, one_interruption():
        steps = Steps(wishes, partial(measure_apart, errand), judge, held)
        night = carry_out(steps.in_order(), lambda step: click.echo(step) if shown else None)
    click.echo(night.line(loaded.name))
    return night.exit_code


def _judge(
    store_directory: Path,
    workload_directories: tuple[Path, ...],
    baseline: str | None,
    confirm: bool,
    shown: bool,
    run: str,
) -> Regress:
    """Compare a run with its past as 'bench regress' does."""
    from bench.confirm import confirm as run_again
    from bench.regression import judged
    from results.history.regress import NIGHTS
    from results.selection import Selection
    from results.store import Store

    with Store(store_directory).open(create=False) as store:
        found = judged(store, store.resolve(run), baseline, Selection(), frozenset(), NIGHTS)
    if confirm and any(each.new for each in found.findings):
        return run_again(store_directory, found, quiet=not shown, workload_directories=workload_directories)
    return found
