"""The one line that a night ends with: ``bench-nightly: key=value …``, made to be found and taken apart."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

PREFIX = "bench-nightly:"
_BARE = re.compile(r"[^\s\"'=\\]*")
_FIELD = re.compile(r' ([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)')


def format_line(fields: Mapping[str, object]) -> str:
    """The fields in their order; a value that is not one plain word is quoted as in JSON, None is left empty."""
    return " ".join([PREFIX, *(f"{key}={_value(value)}" for key, value in fields.items())])


def read_line(line: str) -> dict[str, str]:
    """The fields of a line from :func:`format_line`.

    Raises:
        ValueError: it is not such a line.
    """
    rest = line.rstrip("\n").removeprefix(PREFIX)
    found = _FIELD.findall(rest)
    if not line.startswith(PREFIX) or "".join(f" {key}={value}" for key, value in found) != rest:
        raise ValueError(f"not a line of bench nightly: {line!r}")
    return {key: json.loads(value) if value.startswith('"') else value for key, value in found}


def _value(value: object) -> str:
    text = "" if value is None else str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
