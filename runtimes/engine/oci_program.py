"""OCI runtimes as programs: whether one of them runs on this host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtimes.engine.programs import find_program, first_line


@dataclass(frozen=True, slots=True)
class OciProgram:
    """An OCI runtime that runs here.

    Attributes:
        path: of its program.
        version: the first line of what it says of that.
    """

    path: Path
    version: str


def require_oci_program(name: str) -> OciProgram:
    """Find one.

    Args:
        name: of its program, or a path to it.

    Raises:
        UnavailableError: it is not there, or does not run on this host.
    """
    path = find_program(name, Path(name).name)
    return OciProgram(path, first_line([path, "--version"]))
