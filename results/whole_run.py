"""All that a store records of one run, as one value: what moves between stores."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from results.noise import NoiseReading
from results.records import Acknowledgement, Baseline, RunRecord, Sample, TrialRecord

_STAYS = ("lock", "report")
"""What of a run's directory belongs to the machine it is on: who writes the run, and what can be made again."""


_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")


def is_run_id(text: str) -> bool:
    """Whether ``text`` can be a run's id and the name of its directory: nothing else, and hidden from nobody."""
    return _RUN_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class WholeTrial:
    """A trial, failed or not, and its samples in the order of recording."""

    trial: TrialRecord
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class WholeRun:
    """A run's rows; its files are in its directory (:func:`files_of`).

    Attributes:
        run: never of status ``running``.
        trials: in order of execution.
        noise: readings in the order taken.
    """

    run: RunRecord
    trials: tuple[WholeTrial, ...]
    noise: tuple[NoiseReading, ...]


class RunSource(Protocol):
    """Where whole runs come from: another store, or a bundle."""

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        ...

    def whole_run(self, run_id: str) -> WholeRun:
        """The rows of one of them.

        Raises:
            StoreError: they cannot be read.
        """
        ...

    def run_directory(self, run_id: str) -> Path:
        """Where its files are."""
        ...

    def baselines(self) -> list[Baseline]:
        """The named runs."""
        ...

    def acknowledgements(self) -> list[Acknowledgement]:
        """The known changes."""
        ...


def files_of(directory: Path) -> Iterator[Path]:
    """The files that belong to a run, relative to its directory and sorted.

    These are plain files alone, without the lock and the report, which is made anew from the rest.
    """
    found = []
    for parent, directories, names in os.walk(directory):
        here = Path(parent)
        if here == directory:
            directories[:] = [name for name in directories if name not in _STAYS]
        paths = [here / name for name in names if here != directory or name not in _STAYS]
        found += [path.relative_to(directory) for path in paths if path.is_file() and not path.is_symlink()]
    return iter(sorted(found))
