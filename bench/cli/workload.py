"""``bench workload``: one workload, shown or tried out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import format_option, print_json, print_renderable, workloads_option

if TYPE_CHECKING:
    from bench.check import Checked
    from bench.plan import Plan, Trial
    from bench.progress import RunObserver
    from bench.runner import RunResult
    from bench.stopping import Outlook
    from results.records import TrialRecord
    from results.store import Store
    from workloads.fields import Scalar
    from workloads.loader import Catalogue
    from workloads.model import Workload


@click.group()
def workload() -> None:
    """Show a workload, or run it once and show what is found in its output."""


def _workload_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and the options that say which workload is meant, with which parameters."""
    for decorate in (
        workloads_option,
        click.option("--quick", is_flag=True, help="With the workload's own values for a trial of a second or two."),
        click.option(
            "--param",
            "given",
            multiple=True,
            metavar="NAME=VALUE",
            help="Value of a parameter instead of the default; may be given again.",
        ),
        click.argument("name"),
    ):
        command = decorate(command)
    return command


@workload.command()
@_workload_arguments
@format_option("table", "json", "yaml")
def show(
    name: str, given: tuple[str, ...], quick: bool, workload_directories: tuple[Path, ...], output_format: str
) -> None:
    """Show the workload NAME (or a file) resolved: parameters, commands with their values put in, metrics, source.

    YAML is the workload's file anew, without what has the default value: a beginning for one of your own.
    """
    from workloads.describe import commands_text, workload_data

    catalogue, loaded, params = _chosen(name, given, quick, workload_directories)
    path = catalogue.path(name)
    resolved = loaded.resolve(params)
    match output_format:
        case "yaml":
            from workloads.document import dump_document

            click.echo(dump_document(workload_data(loaded)), nl=False)
        case "json":
            commands = [{"what": what, "command": text} for what, text in commands_text(loaded, resolved)]
            more = {
                "file": str(path),
                "values": resolved,
                "commands": commands,
                "scratch": loaded.scratch_bytes(resolved),
            }
            print_json({**workload_data(loaded), "resolved": more})
        case _:
            from bench.cli.workload_view import workload_renderables

            print_renderable(*workload_renderables(loaded, resolved, path))


@workload.command()
@_workload_arguments
@format_option("table", "json")
def check(
    name: str, given: tuple[str, ...], quick: bool, workload_directories: tuple[Path, ...], output_format: str
) -> int:
    """Run the workload NAME (or a file) once on the bare host, and show its output and the metrics found in it.

    The image is built if need be; nothing is stored. Exits with 1 if the trial failed.
    """
    from bench.check import check_suite
    from bench.cli.run import run_and_tell
    from bench.plan import make_plan
    from bench.privileges import check_privileges
    from runtimes.leftovers import PREFIX, held_directory, run_parents

    catalogue, loaded, params = _chosen(name, given, quick, workload_directories)
    suite = check_suite(catalogue.lasting_reference(name), loaded, params)
    plan = make_plan(suite)
    check_privileges(suite, plan, [name])
    progress = partial(_open_steps, quiet=output_format == "json")
    directory = run_parents()[0] / f"{PREFIX}check-{secrets.token_hex(4)}"
    with held_directory(directory):
        return run_and_tell(suite, plan, directory / "store", progress, partial(_tell, loaded, output_format))


class _Steps:
    """Tells what is being done. What came of it is told in the end; the run's id is nobody's business."""

    def __init__(self, observer: RunObserver) -> None:
        self._observer = observer

    def preparing(self, what: str) -> None:
        self._observer.preparing(what)

    def planned(self, run: str, plan: Plan) -> None:
        pass

    def trial_started(self, trial: Trial) -> None:
        self._observer.preparing(f"running {trial.case.label}")

    def trial_finished(self, trial: Trial, record: TrialRecord, seconds: float) -> None:
        pass

    def block_finished(self, block: int, outlook: Outlook) -> None:
        pass


@contextmanager
def _open_steps(*, quiet: bool) -> Iterator[_Steps]:
    from bench.progress import open_progress

    with open_progress(quiet=quiet, verbose=False) as observer:
        yield _Steps(observer)


def _chosen(
    name: str, given: tuple[str, ...], quick: bool, directories: tuple[Path, ...]
) -> tuple[Catalogue, Workload, dict[str, Scalar]]:
    """Where workloads are looked up, the one that is meant, and the values given for its parameters."""
    from bench.check import chosen_params
    from workloads.loader import open_catalogue

    for each in given:
        if "=" not in each:
            raise click.UsageError(f"--param {each}: expected NAME=VALUE")
    catalogue = open_catalogue(directories)
    loaded = catalogue.load(name)
    if quick and loaded.parameters and not loaded.quick:
        click.echo(f"{loaded.name} has no values for quick trials ('quick'); the defaults hold", err=True)
    values = dict(each.split("=", 1) for each in given)
    return catalogue, loaded, chosen_params(loaded, values, quick=quick)


def _tell(loaded: Workload, output_format: str, store: Store, result: RunResult) -> None:
    from bench.check import read_checked

    checked: Checked | None = read_checked(store, result.run, loaded)
    if checked is None:
        click.echo("interrupted before the trial was done", err=True)
    elif output_format == "json":
        print_json(checked.as_data())
    else:
        from bench.cli.workload_view import checked_renderables, output_text

        print_renderable(output_text(checked), whole_lines=True)
        print_renderable(*checked_renderables(checked, loaded))
