"""What a step of tuning is, and the host that it works on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Values = Mapping[str, str]
"""What a step governs: place → value. A place is a path such as ``/proc/sys/kernel/numa_balancing``, or what else the
step knows by that name."""


def _run_program(argv: Sequence[str]) -> None:
    """Run a program of the host's.

    Raises:
        OSError: it is not there, or failed; with what it said.
    """
    finished = subprocess.run(argv, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise OSError(f"{' '.join(argv)}: {finished.stderr.strip() or f'exit status {finished.returncode}'}")


@dataclass(frozen=True, slots=True)
class Host:
    """The host that is tuned.

    Attributes:
        root: directory that its ``/proc`` and ``/sys`` are in; another one stands for a host in tests.
        measured: CPUs that instances will run on.
        run_program: runs a program of the host's.
    """

    root: Path = Path("/")
    measured: frozenset[int] = frozenset()
    run_program: Callable[[Sequence[str]], None] = _run_program

    def path(self, place: str) -> Path:
        """Where a place is: an absolute path as the host has it."""
        return self.root / place.lstrip("/")

    def read(self, place: str) -> str | None:
        """The stripped text of a file; None where the host has none, or will not show it."""
        try:
            return self.path(place).read_text().strip()
        except OSError:
            return None

    def find(self, pattern: str) -> list[str]:
        """The places of files that match a pattern, in order."""
        return sorted("/" + str(path.relative_to(self.root)) for path in self.root.glob(pattern.lstrip("/")))


class Step(Protocol):
    """One thing that can be tuned.

    Attributes:
        name: by which it is asked for.
        summary: what it does, in a few words.
        unasked: whether it is taken where nobody names steps.
        insists: whether it is an error if the kernel refuses a value.
    """

    name: str
    summary: str
    unasked: bool
    insists: bool

    def missing(self, host: Host) -> str:
        """Why this host cannot have it; empty where it can."""

    def show(self, host: Host) -> Values:
        """The present values."""

    def wanted(self, host: Host) -> Values:
        """The values to be set, by the places of :meth:`show`; those that are left out stay as they are."""

    def apply(self, host: Host, place: str, value: str) -> None:
        """Set one value; to restore is to set the value that there was before.

        Raises:
            OSError: the kernel refused.
        """


class FileStep:
    """A step whose places are files, with the same values wherever they can be read."""

    def __init__(
        self, name: str, summary: str, files: Sequence[str], value: str, *, absent: str, unasked: bool = True
    ) -> None:
        """``files`` are patterns of places, all set to ``value``; ``absent`` is why there may be none of them."""
        self.name = name
        self.summary = summary
        self.unasked = unasked
        self.insists = True
        self._files = files
        self._value = value
        self._absent = absent

    def missing(self, host: Host) -> str:
        return "" if self.show(host) else self._absent

    def show(self, host: Host) -> Values:
        places = (place for pattern in self._files for place in host.find(pattern))
        return {place: value for place in places if (value := self._value_of(host, place)) is not None}

    def _value_of(self, host: Host, place: str) -> str | None:
        return host.read(place)

    def wanted(self, host: Host) -> Values:
        return dict.fromkeys(self.show(host), self._value)

    def apply(self, host: Host, place: str, value: str) -> None:
        host.path(place).write_text(value)
