"""The command line. Every verb is a module of its own, imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from bench import __version__

_VERBS = {
    "run": ("bench.cli.run", "Run a suite: a shipped one by name, or a file."),
    "rerun": ("bench.cli.rerun", "Carry out a run again, and tell what is different around it."),
    "nightly": ("bench.cli.nightly", "Run a suite, look for regressions, report, and bring a site up to date."),
    "list": ("bench.cli.list", "List runs, suites, workloads or runtimes."),
    "show": ("bench.cli.compare", "Print what a run measured."),
    "compare": ("bench.cli.compare", "Compare the arms of a run with its baseline, or runs with each other."),
    "report": ("bench.cli.report", "Write a run's HTML and Markdown report, or one of two runs."),
    "chart": ("bench.cli.chart", "Write one chart of a run, fit to publish."),
    "site": ("bench.cli.site", "Write the store as a static site, or bring one up to date."),
    "export": ("bench.cli.export", "Write a run's samples as tidy data, or whole runs as a bundle."),
    "import": ("bench.cli.import_runs", "Bring in the runs of bundles and of other stores."),
    "query": ("bench.cli.query", "Print what a SELECT finds in the store."),
    "remove": ("bench.cli.remove", "Delete runs from the store."),
    "history": ("bench.cli.history", "Show a metric over all runs of the same thing."),
    "regress": ("bench.cli.regress", "Find out whether the newest run is worse than what was before it."),
    "baseline": ("bench.cli.baseline", "Give runs names, for others to be held against."),
    "ack": ("bench.cli.ack", "Acknowledge changes that are known, or list them."),
    "doctor": ("bench.cli.doctor", "Tell what this host can do, and how to mend what it cannot."),
    "tune": ("bench.cli.tune", "Make the host quiet for measurements."),
    "untune": ("bench.cli.tune", "Put back what 'bench tune' has changed."),
    "workload": ("bench.cli.workload", "Show a workload, or run it once and show what is found in its output."),
    "schema": ("bench.cli.schema", "Print the JSON Schema of suite or workload files."),
    "image": ("bench.cli.image", "Build, list, show, export and prune images."),
    "clean": ("bench.cli.clean", "Remove what runs that died have left on the host."),
}
"""Verb → where it lives, and the line of help that does not need it imported."""

_TAKEN_NAMES = ("list", "import")
"""Verbs that are words of Python; their functions have another name."""

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class _LazyGroup(click.Group):
    """A group that knows its verbs without importing them, so that help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(_VERBS[cmd_name][0])
        command = getattr(module, f"{cmd_name}_command" if cmd_name in _TAKEN_NAMES else cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], _VERBS, n=1)
            ctx.fail(f"no verb '{args[0]}'" + (f"; did you mean '{near[0]}'?" if near else ""))
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", message="bench %(version)s")
def cli() -> None:
    """Run identical workloads on the bare host, in a container and in a virtual machine, and compare."""


def _explain(error: Exception) -> int | None:
    """Print a user's error as one message and give its exit code; None for what is a defect of ours."""
    from bench.cli.options import harmless
    from bench.errors import RunError
    from results.errors import SelectionError, StoreError
    from runtimes.base import HostError, InstanceError
    from workloads.errors import InvalidInput
    from workloads.image.errors import ImageError

    if isinstance(error, InvalidInput | HostError | StoreError | SelectionError):
        click.echo(harmless(f"bench: {error}"), err=True)
        return EXIT_BAD_INPUT
    if isinstance(error, RunError | InstanceError | ImageError):
        click.echo(harmless(f"bench: {error}"), err=True)
        return EXIT_FAILED
    return None


def run_command_line(arguments: Sequence[str]) -> int:
    """Carry out one command line and give its exit code. This is the one exception boundary of the program."""
    try:
        result = cli.main(args=[*arguments], prog_name="bench", standalone_mode=False)
    except click.exceptions.Abort:
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        click.echo("bench: interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        code = _explain(error)
        if code is None:
            raise
        return code
    return result if isinstance(result, int) else 0


def main() -> None:
    """The ``bench`` console script."""
    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        from bench.cli.plain_text import spell_plainly

        spell_plainly()
    sys.exit(run_command_line(sys.argv[1:]))
