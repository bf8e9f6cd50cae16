"""Options that verbs about many runs share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from results.history.series import Joinable
    from results.records import RunRecord
    from results.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])

_JOINABLE: dict[str, Joinable] = {"suite": "suite_hash", "image": "image", "host": "host_fingerprint"}

run_option = click.option("--run", metavar="RUN", help="The newest run of the history [the newest of the store].")

join_option = click.option(
    "--join",
    multiple=True,
    type=click.Choice(list(_JOINABLE)),
    help="Join runs although they differ in this; may be given again.",
)


def selection_options(command: Command) -> Command:
    """``--workload`` and ``--arm``."""
    for name in ("arm", "workload"):
        command = click.option(
            f"--{name}",
            f"{name}s",
            multiple=True,
            metavar="PATTERN",
            help=f"Only {name}s of this name, or that this shell pattern matches; may be given again.",
        )(command)
    return command


def joinables(names: tuple[str, ...]) -> frozenset[Joinable]:
    """What ``--join`` has named."""
    return frozenset(_JOINABLE[name] for name in names)


def watched_run(store: Store, text: str | None) -> RunRecord:
    """The run that is meant; without a name the newest that has ended and does not only confirm another.

    Raises:
        StoreError: there is none.
    """
    from results.records import CONFIRMING

    if text is None:
        for run in store.runs():
            if run.status == "complete" and not run.suite.endswith(CONFIRMING):
                return run
    return store.resolve(text or "latest")
