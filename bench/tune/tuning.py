"""Tuning a host and putting it back, place by place, with the journal always ahead of what is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from bench.tune.journal import Entry, Journal, held, read_journal, write_journal
from bench.tune.step import Host, Step
from bench.tune.steps import STEPS
from workloads.errors import InvalidInput, expected

Outcome = Literal[
    "set",
    "would set",
    "as wanted",
    "refused",
    "kept by the kernel",
    "restored",
    "gone",
    "would restore",
    "was back already",
    "changed by others",
]
"""What came of one place:

* ``set``, ``restored``, and what a dry run says in their place;
* ``as wanted`` and ``was back already``: there was nothing to do;
* ``refused``: the kernel would not, and the value is as before; ``kept by the kernel``, where that is nothing to
  worry about;
* ``changed by others``: it is neither what was set nor what there was before, and is left as it is.
"""

Others = Literal["tell", "leave", "overwrite"]
"""What to do with values that somebody else has changed since: leave them and keep the journal's entries, leave them
and forget the entries, or put back what there was before all the same.
"""


_OFF = "off"
"""The value of a place that is not there because it was switched off."""


@dataclass(frozen=True, slots=True)
class Change:
    """What came of one place.

    Attributes:
        step: name of the step.
        place: what was to be set.
        before: its value when it was looked at; None where it is gone.
        after: the value that it was to have.
        outcome: what came of it.
        detail: why, where it did not go as it should.
    """

    step: str
    place: str
    before: str | None
    after: str
    outcome: Outcome
    detail: str = ""

    @property
    def failed(self) -> bool:
        """Whether the place does not have the value that it was to have."""
        return self.outcome in ("refused", "changed by others")


@dataclass(frozen=True, slots=True)
class Offer:
    """A step as this host has it.

    Attributes:
        step: the step.
        missing: why the host cannot have it; empty where it can.
        places: of each place the present value and the one that the step would set.
        tuned: what the journal has of it, by place.
    """

    step: Step
    missing: str
    places: dict[str, tuple[str, str]]
    tuned: dict[str, Entry]


def choose_steps(names: Iterable[str], steps: Sequence[Step] = STEPS) -> list[Step]:
    """The steps with these names, in the order of taking them; without names, those that need not be asked for.

    Raises:
        InvalidInput: there is no such step.
    """
    wanted = list(names)
    known = {step.name: step for step in steps}
    if unknown := [name for name in wanted if name not in known]:
        raise InvalidInput(f"no step '{unknown[0]}'; {expected(unknown[0], known)}")
    return [step for step in steps if (step.name in wanted if wanted else step.unasked)]


def offers(host: Host, directory: Path, steps: Sequence[Step] = STEPS) -> list[Offer]:
    """Every step, what it would do here, and what of it is done.

    Raises:
        HostError: the journal cannot be read.
    """
    journal = read_journal(directory)
    found: list[Offer] = []
    for step in steps:
        missing = step.missing(host)
        present = step.show(host)
        wanted = {} if missing else step.wanted(host)
        places = {place: (value, wanted.get(place, value)) for place, value in present.items()}
        tuned = dict(journal.entries.get(step.name, {})) if journal else {}
        found.append(Offer(step, missing, places, tuned))
    return found


def tune(host: Host, directory: Path, steps: Sequence[Step], *, dry_run: bool = False) -> list[Change]:
    """Take steps, those left out that the host cannot have.

    Every place's present value is in the journal, on disk, before it is changed; of a place that is there already, the
    value noted first stays.

    Raises:
        HostError: the journal cannot be read or written, or somebody else is at work; what was done until then is in
            the journal.
    """
    if dry_run:
        return [
            _would_set(step, host, place, value) for step in _had(host, steps) for place, value in _places(step, host)
        ]
    with held(directory):
        journal = _current(host, read_journal(directory))
        changes: list[Change] = []
        for step in _had(host, steps):
            for place, value in _places(step, host):
                change, journal = _set(step, host, directory, journal, place, value)
                changes.append(change)
        return changes


def untune(
    host: Host, directory: Path, *, others: Others = "tell", dry_run: bool = False, steps: Sequence[Step] = STEPS
) -> list[Change]:
    """Put back what the journal has, in the order in which steps are taken: what is set for every CPU can be put back
    only once all are online.

    After the host was started anew the kernel has its own values, and there is nothing to put back: the journal is
    removed.

    Args:
        host: the host.
        directory: where the journal is.
        others: what to do with values that somebody else has changed since.
        dry_run: whether only to tell what would be done.
        steps: those there are.

    Raises:
        HostError: the journal cannot be read or written, or somebody else is at work.
    """
    if dry_run:
        journal = read_journal(directory)
        return (
            [] if journal is None or journal.boot != _boot(host) else _restore_all(host, None, journal, others, steps)
        )
    if read_journal(directory) is None:
        return []
    with held(directory):
        journal = read_journal(directory)
        if journal is None:
            return []
        if journal.boot != _boot(host):
            write_journal(directory, Journal("", ""))
            return []
        return _restore_all(host, directory, journal, others, steps)


def tuned_steps(host: Host, directory: Path) -> tuple[str, ...]:
    """Names of the steps that are in force by the journal; none after the host was started anew.

    Raises:
        HostError: the journal cannot be read.
    """
    journal = read_journal(directory)
    return () if journal is None or journal.boot != _boot(host) else tuple(journal.entries)


def _boot(host: Host) -> str:
    return host.read("/proc/sys/kernel/random/boot_id") or "unknown"


def _current(host: Host, journal: Journal | None) -> Journal:
    """The journal of this boot; one of an earlier boot has nothing that could be put back."""
    if journal is not None and journal.boot == _boot(host):
        return journal
    return Journal(_boot(host), datetime.now(UTC).isoformat(timespec="seconds"))


def _had(host: Host, steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if not step.missing(host)]


def _places(step: Step, host: Host) -> list[tuple[str, str]]:
    return list(step.wanted(host).items())


def _would_set(step: Step, host: Host, place: str, value: str) -> Change:
    before = step.show(host).get(place)
    return Change(step.name, place, before, value, "as wanted" if before == value else "would set")


def _set(step: Step, host: Host, directory: Path, journal: Journal, place: str, value: str) -> tuple[Change, Journal]:
    before = step.show(host).get(place)
    if before is None or before == value:
        return Change(step.name, place, before, value, "as wanted"), journal
    noted = journal.with_entry(step.name, place, Entry(before, value))
    write_journal(directory, noted)
    detail = ""
    try:
        step.apply(host, place, value)
    except OSError as error:
        detail = error.strerror or str(error)
    after = _value(step, host, place)
    if after == value:
        return Change(step.name, place, before, value, "set"), noted
    # Where the kernel made something else of it, that is what is to be found later.
    noted = journal if after == before else journal.with_entry(step.name, place, Entry(before, after))
    write_journal(directory, noted)
    detail = detail or f"the kernel made it {after}"
    outcome: Outcome = "refused" if step.insists else "kept by the kernel"
    return Change(step.name, place, before, value, outcome, detail), noted


def _value(step: Step, host: Host, place: str) -> str:
    """The present value of a place; one that a step has taken away, such as a swap area, is ``off``."""
    return step.show(host).get(place, _OFF)


def _restore_all(
    host: Host, directory: Path | None, journal: Journal, others: Others, steps: Sequence[Step]
) -> list[Change]:
    """Without a directory, only tell what would be done."""
    known = {step.name: step for step in steps}
    changes = [
        Change(name, place, None, entry.saved, "changed by others", "this program knows no such step")
        for name, places in journal.entries.items()
        if name not in known
        for place, entry in places.items()
    ]
    for name in [name for name in known if name in journal.entries]:
        for place, entry in journal.entries[name].items():
            change = _restore(known[name], host, place, entry, others, dry_run=directory is None)
            changes.append(change)
            if directory is not None and (not change.failed or (others == "leave" and change.outcome != "refused")):
                journal = journal.without(name, place)
                write_journal(directory, journal)
    return changes


def _restore(step: Step, host: Host, place: str, entry: Entry, others: Others, *, dry_run: bool) -> Change:
    shown = step.show(host)
    if place not in shown and entry.tuned != _OFF:
        return Change(step.name, place, None, entry.saved, "gone", "the host does not have it any more")
    present = shown.get(place, _OFF)
    if present == entry.saved:
        return Change(step.name, place, present, entry.saved, "was back already")
    if present != entry.tuned and others != "overwrite":
        return Change(step.name, place, present, entry.saved, "changed by others", f"it was set to {entry.tuned}")
    if dry_run:
        return Change(step.name, place, present, entry.saved, "would restore")
    detail = ""
    try:
        step.apply(host, place, entry.saved)
    except OSError as error:
        detail = error.strerror or str(error)
    after = _value(step, host, place)
    if after == entry.saved:
        return Change(step.name, place, present, entry.saved, "restored")
    return Change(step.name, place, present, entry.saved, "refused", detail or f"the kernel made it {after}")
