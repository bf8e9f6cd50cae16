"""How files of a report are written: each whole or not at all, and with what is to be done where it cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from results.errors import StoreError
from results.files import replace_file


def replace_files(place: Path, files: Mapping[Path, bytes]) -> None:
    """Write files, each replaced whole.

    Args:
        place: what the user named.
        files: contents by path.

    Raises:
        StoreError: one cannot be written; the file before it stays.
    """
    try:
        for path, content in files.items():
            replace_file(path, content)
    except OSError as error:
        raise unwritable(place, error) from error


def unwritable(place: Path, error: OSError) -> StoreError:
    """What a user is told of a place that cannot be written."""
    return StoreError(f"cannot write {place}: {error.strerror or error}; name another place with --output")
