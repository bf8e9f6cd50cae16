"""Bringing the runs of one store, or of a bundle, into another store."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from results.errors import StoreError
from results.records import ACKNOWLEDGEMENT_KEY, is_baseline_name
from results.whole_run import RunSource, WholeRun, files_of, is_run_id

if TYPE_CHECKING:
    from results.store import Store

Action = Literal["imported", "skipped", "refused"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one thing that was to be imported.

    Attributes:
        what: ``run``, ``baseline`` or ``acknowledgement``.
        name: a run's id, a baseline's name, the metric and arm of a known change.
        action: ``imported``; ``skipped`` where ours stays as it is; ``refused`` where it contradicts ours.
        reason: why, in words; empty where it was imported.
    """

    what: Literal["run", "baseline", "acknowledgement"]
    name: str
    action: Action
    reason: str = ""


def merge(source: RunSource, store: Store | None, dry_run: bool) -> Iterator[Outcome]:
    """Import all that a source has and a store has not. Each run comes whole or not at all, the oldest first.

    What the store has stays as it is: a run with the same id and the same content is skipped, one with other content
    is refused. Baselines and known changes come along with runs that were imported or are there with the same content:
    those of a refused run are not about the one that has its id here.

    Args:
        source: another store, open, or an unpacked bundle.
        store: open; None for one that is not there yet.
        dry_run: tell what would be done, and do nothing.

    Raises:
        StoreError: the source or the store cannot be read or written; runs that were imported before are there.
    """
    known = {} if store is None else {run.id: run.status for run in store.runs()}
    same: set[str] = set()
    refused: set[str] = set()
    for run in reversed(source.runs()):
        if run.status == "running":
            yield Outcome("run", run.id, "skipped", "it is being written: import it when it has ended")
            continue
        if not is_run_id(run.id):
            refused.add(run.id)
            yield Outcome("run", repr(run.id), "refused", "its id cannot be the name of a directory")
            continue
        whole = source.whole_run(run.id)
        if store is not None and run.id in known:
            outcome = _known_run(whole, source.run_directory(run.id), store)
            (refused if outcome.action == "refused" else same).add(run.id)
            yield outcome
            continue
        if store is not None and not dry_run:
            _bring_in(whole, source.run_directory(run.id), store)
        same.add(run.id)
        yield Outcome("run", run.id, "imported")
    yield from _baselines(source, store, same, dry_run)
    yield from _acknowledgements(source, store, refused, dry_run)


def _known_run(whole: WholeRun, files: Path, store: Store) -> Outcome:
    run_id = whole.run.id
    try:
        ours = store.whole_run(run_id)
    except StoreError as error:
        return Outcome("run", run_id, "refused", str(error))
    if ours != whole:
        return Outcome("run", run_id, "refused", "there is another run with this id, whose figures are not these")
    if not _same_files(files, store.run_directory(run_id)):
        return Outcome("run", run_id, "refused", "there is a run with this id and these figures, and with other files")
    return Outcome("run", run_id, "skipped", "it is there already")


def _same_files(one: Path, other: Path) -> bool:
    names = [list(files_of(directory)) for directory in (one, other)]
    return names[0] == names[1] and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names[0])


def _bring_in(whole: WholeRun, files: Path, store: Store) -> None:
    with store.work_directory() as directory:
        copy = directory / "run"
        copy.mkdir()
        for path in files_of(files):
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files / path, copy / path)
        store.add_whole_run(whole, copy)


def _baselines(source: RunSource, store: Store | None, same: set[str], dry_run: bool) -> Iterator[Outcome]:
    ours = {} if store is None else {baseline.name: baseline for baseline in store.baselines()}
    for baseline in source.baselines():
        mine = ours.get(baseline.name)
        if not is_baseline_name(baseline.name):
            yield Outcome("baseline", repr(baseline.name), "refused", "it is no name that a baseline can have")
        elif baseline.run not in same:
            yield Outcome("baseline", baseline.name, "refused", f"its run {baseline.run} was not imported")
        elif mine is not None:
            why = "it is there already" if mine.run == baseline.run else f"here it names run {mine.run}, which stays so"
            yield Outcome("baseline", baseline.name, "skipped", why)
        else:
            if store is not None and not dry_run:
                store.set_baseline(baseline)
            yield Outcome("baseline", baseline.name, "imported")


def _acknowledgements(source: RunSource, store: Store | None, refused: set[str], dry_run: bool) -> Iterator[Outcome]:
    key = attrgetter(*ACKNOWLEDGEMENT_KEY)
    ours = set() if store is None else set(map(key, store.acknowledgements()))
    for known in source.acknowledgements():
        name = f"{known.metric} of {known.arm} in {known.workload} from run {known.run}"
        if key(known) in ours:
            yield Outcome("acknowledgement", name, "skipped", "it is known here already, with its reason")
        elif known.run in refused:
            yield Outcome("acknowledgement", name, "refused", f"its run {known.run} was not imported")
        else:
            if store is not None and not dry_run:
                store.acknowledge(known)
            yield Outcome("acknowledgement", name, "imported")
