"""``bench ack``: changes that are known, and no longer an alarm."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option, print_rows, store_option
from bench.cli.watching import join_option, joinables, run_option, watched_run

if TYPE_CHECKING:
    from results.history.changes import Change
    from results.history.series import Joinable
    from results.records import RunRecord
    from results.store import Store


@click.command()
@click.argument("changes", nargs=-1, metavar="[ID]...")
@run_option
@store_option
@join_option
@click.option("--reason", help="Why it is all right; kept in the store and shown wherever the change is.")
@click.option("--all", "every", is_flag=True, help="All that alarm now.")
@click.option("--undo", is_flag=True, help="Have them be alarms again.")
@format_option("table", "json")
def ack(
    changes: tuple[str, ...],
    run: str | None,
    store_directory: Path,
    join: tuple[str, ...],
    reason: str | None,
    every: bool,
    undo: bool,
    output_format: str,
) -> None:
    """Acknowledge the changes with these IDs, which 'bench regress' and 'bench history' tell, or list what is known.

    What is acknowledged is no alarm any more; a further change of the same metric is.
    """
    from results.store import Store

    if (changes or every) and not undo and not (reason or "").strip():
        raise click.UsageError("a change is acknowledged with a reason: --reason TEXT")
    if undo and not changes:
        raise click.UsageError("--undo needs the IDs of the changes")
    with Store(store_directory).open(create=False) as store:
        if every:
            _acknowledge(store, _alarming(store, watched_run(store, run), joinables(join)), reason)
        if changes:
            found = _found(store, run, joinables(join))
            _acknowledge(store, _chosen(found, changes, undo=undo), None if undo else reason)
        rows = [
            {
                "run": each.run,
                "suite": each.suite,
                "arm": each.arm,
                "workload": f"{each.workload} {each.params}".rstrip(),
                "metric": each.metric,
                "change": f"{each.ratio - 1:+.1%}",
                "reason": each.reason,
                "created": each.created,
            }
            for each in store.acknowledgements()
        ]
    print_rows(rows, output_format, empty="no change is acknowledged", only_json=["suite", "created"])


def _alarming(store: Store, run: RunRecord, joined: frozenset[Joinable]) -> list[Change]:
    """What ``bench regress`` gives alarm of."""
    from bench.regression import judged
    from results.history.regress import NIGHTS
    from results.selection import EVERYTHING

    found = judged(store, run, None, EVERYTHING, joined, NIGHTS)
    return [each.change for each in found.alarms if each.change is not None]


def _found(store: Store, text: str | None, joined: frozenset[Joinable]) -> list[Change]:
    """All changes of the history of a run; without one, of the history of the newest run of everything there is.

    Where exactly a change is found can depend on how much of the past is looked at, so that what ``bench regress``
    looks at is told apart from the whole.
    """
    from bench.regression import policy_of_run
    from results.history.changes import changes_of
    from results.history.regress import NIGHTS
    from results.history.series import Lineage, Wanted, alike, series_of

    runs, known = store.runs(), store.acknowledgements()
    newest = {Lineage.of(run): run for run in reversed(runs)}
    found = []
    for run in newest.values() if text is None else [store.resolve(text)]:
        policy, history = policy_of_run(store.run_directory(run.id)), alike(runs, run, joined)
        for part in (history, history[-NIGHTS:]):
            for series in series_of(store, part, Wanted(parts=True)):
                found += changes_of(policy.directed(series), policy.threshold_of(series.key.metric), known)
    return found


def _chosen(found: list[Change], ids: tuple[str, ...], *, undo: bool) -> list[Change]:
    """The changes that are meant.

    Raises:
        StoreError: one of the IDs is that of no change, or has nothing to undo.
    """
    from results.errors import StoreError

    by_id = {change.id: change for change in found}
    for each in ids:
        if each not in by_id:
            there = ", ".join(dict.fromkeys(change.id for change in found if change.alarming)) or "none that alarms"
            raise StoreError(
                f"no change {each!r} in the histories of this store, with --run and --join as given; there are {there}"
            )
        if undo and by_id[each].known is None:
            raise StoreError(f"change {each} is not acknowledged")
    return [by_id[each] for each in ids]


def _acknowledge(store: Store, chosen: list[Change], reason: str | None) -> None:
    """Record the reason; None takes the acknowledgement back."""
    for change in chosen:
        if reason is not None:
            store.acknowledge(change.acknowledged(reason.strip(), datetime.now(UTC).isoformat(timespec="seconds")))
        elif change.known is not None:
            store.remove_acknowledgement(change.known)
