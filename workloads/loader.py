"""Finds workloads: by name in the catalogue that is shipped, by path anywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workloads.errors import InvalidInput, expected

if TYPE_CHECKING:
    from workloads.model import Workload

CATALOGUE = Path(__file__).parent / "catalogue"
"""One YAML file a workload, named like it."""


def workload_names() -> tuple[str, ...]:
    """The names in the catalogue, in alphabetical order."""
    return tuple(sorted(path.stem for path in CATALOGUE.glob("*.yaml")))


def is_path(reference: str) -> bool:
    """Whether ``reference`` is the path of a file rather than a name."""
    return "/" in reference or reference.endswith((".yaml", ".yml"))


def load_workload(reference: str, relative_to: Path = Path()) -> Workload:
    """The workload of that name, or in that file.

    Args:
        reference: a name in the catalogue, or a path: with a ``/`` in it, or ending in ``.yaml``.
        relative_to: the directory that a relative path starts from.

    Raises:
        InvalidInput: there is none, or its file is wrong.
    """
    from workloads.document import read_document, validate
    from workloads.model import Workload

    if is_path(reference):
        path = relative_to / reference
    elif reference in workload_names():
        path = CATALOGUE / f"{reference}.yaml"
    else:
        raise InvalidInput(f"unknown workload '{reference}'; {expected(reference, workload_names())}")
    return validate(read_document(path), Workload)


def load_catalogue() -> dict[str, Workload]:
    """Every workload of the catalogue by name.

    Raises:
        InvalidInput: a file is wrong.
    """
    return {name: load_workload(name) for name in workload_names()}
