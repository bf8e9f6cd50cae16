"""What a run's ``host.json`` tells of the host, of what differed between the arms, and of arms that it was without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from results.errors import StoreError


@dataclass(frozen=True)
class _Difference:
    fact: str
    values: dict[str, Any]


@dataclass(frozen=True)
class _Placed:
    instance: list[int]
    load_generator: list[int]
    harness: list[int]
    notes: list[str]


@dataclass(frozen=True)
class _Host:
    """The form of what is read of ``host.json``; what else is in it is passed over."""

    facts: dict[str, Any] = field(default_factory=dict)
    image: dict[str, str] = field(default_factory=dict)
    fairness: list[_Difference] = field(default_factory=list)
    placement: dict[str, _Placed] = field(default_factory=dict)
    observed: dict[str, dict[str, str | None]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def read_host(path: Path) -> Mapping[str, Any]:
    """The content of a run's ``host.json``; empty if there is none.

    Raises:
        StoreError: it is unreadable or damaged.
    """
    # Imported where it is needed: who wants one key of the file need not wait for it.
    from pydantic import TypeAdapter, ValidationError

    host = load_host(path)
    try:
        TypeAdapter(_Host).validate_python(host)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise StoreError(f"{path} is damaged ({where}): mend it, or remove it to report without host facts") from error
    return host


def load_host(path: Path) -> dict[str, Any]:
    """The same without looking at what the object holds.

    Raises:
        StoreError: it is unreadable, or no object.
    """
    try:
        host = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror}): mend it, or move it away to report without host facts"
        ) from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}): mend it, or remove it to report without host facts") from error
    if not isinstance(host, dict):
        raise StoreError(f"{path} holds {type(host).__name__}, expected an object: mend it, or remove it")
    return host
