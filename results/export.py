"""A run as tidy data: one row a sample, for other tools to load."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from results.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

    from results.records import RunRecord
    from results.store import Store

FORMATS = ("csv", "json", "parquet")


def export_run(store: Store, run: RunRecord, form: str, output: Path | None = None) -> None:
    """Write the samples of a run's successful trials with the columns of :data:`results.frame.COLUMNS`.

    Values keep their full precision. CSV has a header line, JSON is a list of objects, Parquet keeps names as
    dictionaries. A file appears under its name only when it is whole.

    A reader of the CSV should not take words for missing values: there is a workload named ``null``
    (``pandas.read_csv(path, keep_default_na=False)``).

    Args:
        store: an open store.
        run: what to export.
        form: one of :data:`FORMATS`.
        output: the file to write; None for standard output.

    Raises:
        StoreError: there is no such run, the file cannot be written, or Parquet would go to a terminal.
    """
    from results.frame import COLUMNS

    frame = store.frame(run.id)[list(COLUMNS)]
    if output is not None:
        with whole_file(output) as stream:
            _write(frame, form, stream)
    elif form == "parquet" and sys.stdout.isatty():
        raise StoreError("Parquet is binary and not written to a terminal: name a file with --output")
    else:
        sys.stdout.flush()
        _write(frame, form, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _write(frame: pd.DataFrame, form: str, stream: IO[bytes]) -> None:
    match form:
        case "csv":
            frame.to_csv(stream, index=False, lineterminator="\n")
        case "json":
            _write_json(frame, stream)
        case "parquet":
            frame.to_parquet(stream, engine="pyarrow", index=False)
        case _:
            raise ValueError(f"{form} is none of {', '.join(FORMATS)}")


def _write_json(frame: pd.DataFrame, stream: IO[bytes]) -> None:
    """One object a line. Not pandas' own writer: it keeps 15 digits at most, and a double needs 17."""
    separator = "[\n"
    rows: Iterator[Any] = frame.itertuples(index=False)
    for row in rows:
        stream.write(f"{separator}{json.dumps(row._asdict(), ensure_ascii=False)}".encode())
        separator = ",\n"
    stream.write(b"[]\n" if frame.empty else b"\n]\n")


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write beside ``path`` and rename at the end; a device or pipe is written as it is."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        if path.exists() and not path.is_file():
            unfinished = path
        with unfinished.open("wb") as stream:
            yield stream
        if unfinished != path:
            unfinished.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; name another file with --output") from error
    finally:
        if unfinished != path:
            with suppress(OSError):
                unfinished.unlink()
