"""Writing of reports and charts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from results.errors import StoreError


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Say what cannot be written, and why.

    Raises:
        StoreError: for an OSError within.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {place}: {error.strerror or error}; name another place with --output"
        ) from error
