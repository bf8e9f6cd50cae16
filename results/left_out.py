"""Arms of a suite that a run was without, because its host did not have their runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from results.errors import StoreError
from results.host_record import load_host


def left_out_arms(directory: Path) -> Mapping[str, str]:
    """Why, by arm, as ``host.json`` in the directory of a run tells it.

    Raises:
        StoreError: the file cannot be read, or is damaged.
    """
    path = directory / "host.json"
    found = load_host(path).get("left_out", {})
    if not isinstance(found, dict) or not all(isinstance(why, str) for why in found.values()):
        raise StoreError(f"{path} is damaged (left_out is no text by arm): mend it, or remove it")
    return found


def left_out_lines(left_out: Mapping[str, str]) -> list[str]:
    """A sentence for each."""
    return [f"arm {name} was left out: {why}" for name, why in left_out.items()]
