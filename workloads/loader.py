"""Finds workloads: by name or tag in a catalogue, by path anywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workloads.errors import InvalidInput, expected

if TYPE_CHECKING:
    from workloads.model import Workload

CATALOGUE = Path(__file__).parent / "catalogue"
"""One YAML file a workload, named like it."""

_ENDINGS = (".yaml", ".yml")


def is_path(reference: str) -> bool:
    """Whether ``reference`` is the path of a file rather than a name."""
    return "/" in reference or reference.endswith(_ENDINGS)


class Catalogue:
    """Workloads by name, from one file each; a file is read when it is first needed, and only once.

    Attributes:
        files: where each workload is, by its name, in alphabetical order.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = dict(sorted(files.items()))
        self._read: dict[str, Workload] = {}

    def load(self, reference: str, relative_to: Path = Path()) -> Workload:
        """The workload of that name, or in that file.

        Args:
            reference: a name in the catalogue, or a path: with a ``/`` in it, or ending in ``.yaml`` or ``.yml``.
            relative_to: the directory that a relative path starts from.

        Raises:
            InvalidInput: there is none, or its file is wrong.
        """
        path = self.path(reference, relative_to)
        if is_path(reference):
            return _read(path)
        if reference not in self._read:
            self._read[reference] = _read(path, reference)
        return self._read[reference]

    def path(self, reference: str, relative_to: Path = Path()) -> Path:
        """The file of the workload that :meth:`load` gives; it may not be there.

        Raises:
            InvalidInput: there is no workload of that name.
        """
        if is_path(reference):
            return relative_to / reference
        if reference not in self.files:
            raise InvalidInput(f"unknown workload '{reference}'; {expected(reference, self.files)}")
        return self.files[reference]

    def workloads(self) -> dict[str, Workload]:
        """All of them, by name.

        Raises:
            InvalidInput: a file is wrong.
        """
        return {name: self.load(name) for name in self.files}

    def tagged(self, tag: str) -> dict[str, Workload]:
        """Those with a tag, by name, in alphabetical order.

        Raises:
            InvalidInput: none has it, or a file is wrong.
        """
        workloads = self.workloads()
        found = {name: workload for name, workload in workloads.items() if tag in workload.tags}
        if not found:
            known = sorted({each for workload in workloads.values() for each in workload.tags})
            raise InvalidInput(f"unknown tag '{tag}'; {expected(tag, known)}")
        return found

    def lasting_reference(self, reference: str, relative_to: Path = Path()) -> str:
        """How the same workload is referred to from anywhere: the name of a shipped one, else its absolute path."""
        path = self.path(reference, relative_to)
        return reference if not is_path(reference) and path.parent == CATALOGUE else str(path.resolve())


def open_catalogue(directories: Iterable[Path] = ()) -> Catalogue:
    """The shipped workloads, and those in ``directories``, one YAML file each.

    Raises:
        InvalidInput: a directory cannot be read, or two files mean workloads of one name.
    """
    files = {path.stem: path for path in _workload_files(CATALOGUE)}
    opened = {CATALOGUE.resolve()}
    for directory in directories:
        if directory.resolve() in opened:
            continue
        opened.add(directory.resolve())
        for path in _workload_files(directory):
            if path.stem in files:
                both = f"{files[path.stem]} and {path}"
                raise InvalidInput(f"two workloads are named '{path.stem}': {both}; give one of them another name")
            files[path.stem] = path
    return Catalogue(files)


def workload_names() -> tuple[str, ...]:
    """The names of the shipped workloads, in alphabetical order."""
    return tuple(open_catalogue().files)


def load_workload(reference: str, relative_to: Path = Path()) -> Workload:
    """The shipped workload of that name, or the one in that file; see :meth:`Catalogue.load`."""
    return open_catalogue().load(reference, relative_to)


def load_catalogue() -> dict[str, Workload]:
    """Every shipped workload by name.

    Raises:
        InvalidInput: a file is wrong.
    """
    return open_catalogue().workloads()


def _workload_files(directory: Path) -> Iterator[Path]:
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        raise InvalidInput(f"{directory}: cannot be read as a directory of workloads: {error.strerror}") from None
    return (path for path in entries if path.suffix in _ENDINGS)


def _read(path: Path, name: str | None = None) -> Workload:
    """The workload in a file, which must have the name ``name`` if one is given."""
    from workloads.document import invalid, read_document, validate
    from workloads.model import Workload

    document = read_document(path)
    workload = validate(document, Workload)
    if name is not None and workload.name != name:
        message = f"'{workload.name}': expected '{name}', as the file is called, by which it is found"
        raise invalid([document.problem(("name",), message)])
    return workload
