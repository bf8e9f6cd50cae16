"""The journal of what tuning has changed: on disk before anything is changed, so that a crash loses nothing.

It holds, for every place, the value that there was before the first change, and the one that was set. The file is
replaced whole, and both it and its directory are synced before a step is taken.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from runtimes.base import HostError

_NAME = "tuned.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One place that was changed.

    Attributes:
        saved: the value before the first change.
        tuned: the value that was set last.
    """

    saved: str
    tuned: str


@dataclass(frozen=True, slots=True)
class Journal:
    """What is tuned.

    Attributes:
        boot: id of the host's boot (random(4)); after another one, the kernel has its own values again.
        since: when it was begun, ISO 8601, UTC.
        entries: by step and place.
    """

    boot: str
    since: str
    entries: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)

    def with_entry(self, step: str, place: str, entry: Entry) -> Journal:
        """The journal with an entry of which the value before the first change stays as it was noted first."""
        known = self.entries.get(step, {}).get(place)
        kept = entry if known is None else replace(entry, saved=known.saved)
        return replace(self, entries={**self.entries, step: {**self.entries.get(step, {}), place: kept}})

    def without(self, step: str, place: str) -> Journal:
        """The journal without the entry of a place, and without the step if that was its last."""
        left = {other: entry for other, entry in self.entries.get(step, {}).items() if other != place}
        entries = {name: places for name, places in self.entries.items() if name != step}
        return replace(self, entries=entries | ({step: left} if left else {}))


def state_directory() -> Path:
    """``$BENCH_STATE``, or ``/var/lib/bench``: where it is kept what has been done to the host."""
    return Path(os.environ.get("BENCH_STATE") or "/var/lib/bench").absolute()


def read_journal(directory: Path) -> Journal | None:
    """The journal; None where nothing is tuned.

    Raises:
        HostError: it cannot be read, or is damaged.
    """
    path = directory / _NAME
    try:
        document = json.loads(path.read_text())
        if document["version"] != _VERSION:
            raise HostError(f"{path} is of version {document['version']}, this program knows {_VERSION}: update it")
        entries = {
            step: {place: Entry(**entry) for place, entry in places.items()}
            for step, places in document["entries"].items()
        }
        return Journal(document["boot"], document["since"], entries)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}; it says what is to be put back, so have it read") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HostError(
            f"{path} is damaged ({error!r}): start the host anew, which puts all back, and remove it"
        ) from error


def write_journal(directory: Path, journal: Journal) -> None:
    """Replace the journal, or remove it if it has no entries; on disk when this returns.

    Raises:
        HostError: it cannot be written; then the one before is there, whole.
    """
    path = directory / _NAME
    try:
        if journal.entries:
            part = path.with_suffix(".part")
            text = json.dumps({"version": _VERSION, **asdict(journal)}, indent=2) + "\n"
            with part.open("w") as stream:
                os.fchmod(stream.fileno(), 0o644)  # whatever the umask: every user's run records what is tuned
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path)
        else:
            path.unlink(missing_ok=True)
        _sync_directory(directory)
    except OSError as error:
        raise HostError(
            f"cannot write {path}: {error.strerror}; the host was changed no further, so mend that and go on"
        ) from error


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Have the state directory for ourselves; it is made if need be.

    Raises:
        HostError: it cannot be made, or somebody else is tuning.
    """
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True)
            directory.chmod(0o755)  # whatever the umask
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HostError(
            f"cannot write {directory}: {error.strerror}; run it as root, or set BENCH_STATE to another directory"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HostError(f"another bench tune or untune is at work ({directory}); wait for it to end") from error
        yield
    finally:
        os.close(lock)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
