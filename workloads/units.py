"""Sizes, durations and widths as people write them: ``512M``, ``30s``, ``5%``.

The annotated types :data:`Size`, :data:`Duration` and :data:`Width` do the same inside pydantic models. Importing them
does not import pydantic: they only carry the hook that it looks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any

SIZES: dict[str, int] = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
"""Bytes in one unit; letters of either case, powers of 1024."""

DURATIONS: dict[str, Fraction] = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
"""Seconds in one unit."""

_QUANTITY = re.compile(r"(?P<number>[0-9]{1,20}(?:\.[0-9]{1,9})?)\s?(?P<unit>[A-Za-z]*)", re.ASCII)
_WIDTH = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,9})?)\s?%", re.ASCII)


def parse_size(value: object) -> int:
    """Bytes from ``512M``, ``4k``, ``1G`` or a plain number of bytes.

    Raises:
        ValueError: it is no size, its unit is unknown, or it is no whole number of bytes.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"expected a size of at least 0 bytes, got {value}")
        return value
    known = "k, M, G, T (powers of 1024), or none for bytes"
    number, unit = _quantity(value, "a size such as 512M or 4k")
    if unit.lower() not in SIZES:
        raise ValueError(f"unknown unit '{unit}' in '{value}'; the units of size are {known}")
    size = number * SIZES[unit.lower()]
    if size.denominator != 1:
        raise ValueError(f"'{value}' is no whole number of bytes")
    return int(size)


def parse_duration(value: object) -> float:
    """Seconds from ``500ms``, ``30s``, ``10m`` or ``1h``.

    Raises:
        ValueError: it is no duration, or its unit is missing or unknown.
    """
    known = "ms, s, m, h"
    if isinstance(value, int | float) and not isinstance(value, bool):
        message = f"expected a duration with its unit, such as {value}s, got {value}; the units are {known}"
        raise ValueError(message)  # noqa: TRY004 - pydantic wants a ValueError
    number, unit = _quantity(value, "a duration such as 30s or 10m")
    if unit not in DURATIONS:
        missing = f"no unit in '{value}'" if not unit else f"unknown unit '{unit}' in '{value}'"
        raise ValueError(f"{missing}; the units of duration are {known}")
    return float(number * DURATIONS[unit])


def parse_width(value: object) -> float:
    """A fraction from a percentage: 0.05 from ``5%``.

    Raises:
        ValueError: it is no percentage.
    """
    found = _WIDTH.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"expected a width in per cent, such as 5%, got {_shown(value)}")
    return float(Fraction(found["number"]) / 100)


def format_size(size: int) -> str:
    """``size`` bytes in the largest unit that gives a whole number, so that :func:`parse_size` gives the same back."""
    for unit, factor in reversed(SIZES.items()):
        if size and size % factor == 0:
            return f"{size // factor}{unit.upper() if unit != 'k' else unit}"
    return str(size)


def format_duration(seconds: float) -> str:
    """``seconds``, to the millisecond, in the largest unit that gives a whole number: ``90s``, ``10m``, ``1500ms``."""
    milliseconds = round(seconds * 1000)
    for unit, factor in reversed(DURATIONS.items()):
        if milliseconds and (milliseconds / (factor * 1000)).denominator == 1:
            return f"{milliseconds / (factor * 1000)}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def format_width(width: float) -> str:
    """The fraction ``width`` as a percentage, to six significant digits."""
    return f"{width * 100:.6g}%"


def _quantity(value: object, what: str) -> tuple[Fraction, str]:
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"expected {what}, got {_shown(value)}")
    return Fraction(found["number"]), found["unit"]


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else repr(value)


class _Parsed:
    """Lets pydantic use one of the parsers above for a field."""

    def __init__(self, parse: Callable[[object], object]) -> None:
        self._parse = parse

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Any:  # noqa: ANN401 - pydantic's type
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self._parse)


Size = Annotated[int, _Parsed(parse_size)]
"""A field in bytes, written as for :func:`parse_size`."""

Duration = Annotated[float, _Parsed(parse_duration)]
"""A field in seconds, written as for :func:`parse_duration`."""

Width = Annotated[float, _Parsed(parse_width)]
"""A field that is a fraction, written as for :func:`parse_width`."""
